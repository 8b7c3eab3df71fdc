"""`/metrics`, read by the parser of Prometheus' own Python client."""

import json
import urllib.error
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from checks import URL, check, run, same

BASE = URL.removesuffix("/v1")
CHAT = "/v1/chat/completions"


def ask(model, key="demo"):
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    request = urllib.request.Request(BASE + CHAT, json.dumps(body).encode(), headers)
    try:
        return urllib.request.urlopen(request, timeout=20).status
    except urllib.error.HTTPError as error:
        return error.code


def families():
    with urllib.request.urlopen(BASE + "/metrics", timeout=20) as page:
        same(page.headers["Content-Type"].split(";")[0], "text/plain")
        return {family.name: family for family in text_string_to_metric_families(page.read().decode())}


def value(found, family, name, **labels):
    samples = found[family].samples if family in found else []
    return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())


@check
def every_family_has_a_type_and_a_help():
    ask("demo-echo")
    found = families()
    assert len(found) > 15, list(found)
    for family in found.values():
        assert family.type in ("counter", "gauge", "histogram"), family
        assert family.documentation and family.name.startswith(("poe2openai_", "process_")), family
    for name in (
        "poe2openai_requests", "poe2openai_first_byte_seconds", "poe2openai_request_duration_seconds", "poe2openai_tokens",
        "poe2openai_running", "poe2openai_queued", "poe2openai_connections", "poe2openai_connections_refused",
        "poe2openai_upstream_retries", "poe2openai_upstream_errors", "poe2openai_upload_cache_hits", "poe2openai_uploads",
        "poe2openai_limiter_waits", "poe2openai_limiter_refused", "poe2openai_build_info", "poe2openai_uptime_seconds",
    ):
        assert name in found, name


@check
def requests_are_counted():
    # a request is counted when it is over, which is just after its answer
    before = families()
    same([ask("demo-echo"), ask("demo-error-http-402"), ask('no "such"\\ model')], [200, 402, 404])
    for _ in range(100):
        after = families()

        def grown(**labels):
            name = "poe2openai_requests_total"
            labels |= {"endpoint": CHAT}
            return value(after, "poe2openai_requests", name, **labels) - value(before, "poe2openai_requests", name, **labels)

        seen = [grown(model="demo-echo", status="200"), grown(model="demo-error-http-402", status="402"), grown(status="404")]
        if seen == [1, 1, 1]:
            break
    same(seen, [1, 1, 1])
    assert value(after, "poe2openai_tokens", "poe2openai_tokens_total", model="demo-echo", kind="prompt") > 0


@check
def histograms_add_up():
    ask("demo-echo")
    found = families()
    for name in ("poe2openai_first_byte_seconds", "poe2openai_request_duration_seconds"):
        buckets = [s for s in found[name].samples if s.name.endswith("_bucket") and s.labels["endpoint"] == CHAT]
        bounds = [float(sample.labels["le"]) for sample in buckets]
        counts = [sample.value for sample in buckets]
        assert bounds == sorted(bounds) and bounds[-1] == float("inf"), bounds
        assert counts == sorted(counts) and counts[-1] > 0, counts
        same(value(found, name, name + "_count", endpoint=CHAT), counts[-1])
        assert value(found, name, name + "_sum", endpoint=CHAT) > 0


@check
def series_come_once():
    seen = set()
    for family in families().values():
        for sample in family.samples:
            series = (sample.name, tuple(sorted(sample.labels.items())))
            assert series not in seen, series
            seen.add(series)


run()

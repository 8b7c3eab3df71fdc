"""anthropic (Python), with its answers validated strictly: whole, streamed, tools, thought, files, counts, errors."""

import base64
import json
import time

import anthropic
from anthropic import beta_tool
from checks import URL, Arrivals, check, checks, raises, run, same
from pydantic import BaseModel

SERVER = URL.removesuffix("/v1")
client = anthropic.Anthropic(
    base_url=SERVER, api_key="demo", max_retries=0, timeout=30, _strict_response_validation=True
)
HELLO = [{"role": "user", "content": "Hello, wörld 🌍"}]
CITY = {
    "name": "weather",
    "description": "Weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\3\0\0\0\1\0").decode()
PDF = base64.b64encode(b"%PDF-1.4 << /Type /Page >>").decode()


def ask(bot, words="hi", **more):
    more.setdefault("max_tokens", 1000)
    return client.messages.create(model=bot, messages=[{"role": "user", "content": words}], **more)


def text(message):
    return "".join(block.text for block in message.content if block.type == "text")


@check
def create():
    message = client.messages.create(model="demo-echo", max_tokens=100, messages=HELLO, system="Be brief.")
    same((message.type, message.role, message.model), ("message", "assistant", "demo-echo"))
    same((message.stop_reason, message.stop_sequence), ("end_turn", None))
    same(message.content[0].text, HELLO[0]["content"])
    assert message.id.startswith("msg_")
    assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0
    same((message.usage.cache_creation_input_tokens, message.usage.cache_read_input_tokens), (0, 0))


@check
def create_with_a_bearer_token():
    with anthropic.Anthropic(base_url=SERVER, auth_token="demo", api_key=None, max_retries=0) as other:
        message = other.messages.create(model="demo-echo", max_tokens=100, messages=HELLO)
    same(text(message), HELLO[0]["content"])


@check
def below_anthropic():
    with anthropic.Anthropic(base_url=SERVER + "/anthropic", api_key="demo", max_retries=0) as other:
        same(text(other.messages.create(model="demo-echo", max_tokens=100, messages=HELLO)), HELLO[0]["content"])


@check
def raw_stream():
    names = []
    for event in client.messages.create(model="demo-echo", max_tokens=100, messages=HELLO, stream=True):
        names.append(event.type)
        if event.type == "message_start":
            assert event.message.usage.input_tokens > 0
        if event.type == "message_delta":
            same(event.delta.stop_reason, "end_turn")
            assert event.usage.output_tokens > 0
    same(names[:2] + names[-3:], ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"])


@check
def stream_helper():
    arrivals, said = Arrivals(), ""
    with client.messages.stream(
        model="demo-story", max_tokens=5000, messages=[{"role": "user", "content": "a story"}]
    ) as stream:
        for piece in stream.text_stream:
            arrivals.note()
            said += piece
        message = stream.get_final_message()
    arrivals.token_by_token()
    same(text(message), said)
    assert said.endswith("it did.\n"), said[-40:]


@check
async def async_stream_helper():
    async with anthropic.AsyncAnthropic(base_url=SERVER, api_key="demo", max_retries=0) as late:
        async with late.messages.stream(model="demo-echo", max_tokens=100, messages=HELLO) as stream:
            same(text(await stream.get_final_message()), HELLO[0]["content"])


@check
def leaving_a_stream_early():
    with client.messages.stream(model="demo-story", max_tokens=5000, messages=HELLO) as stream:
        next(iter(stream))
    same(text(ask("demo-echo")), "hi")


@check
def ends():
    stopped = ask("demo-stop", max_tokens=500, stop_sequences=["never", "seven"])
    same((stopped.stop_reason, stopped.stop_sequence), ("stop_sequence", "seven"))
    assert "seven" not in text(stopped) and "six" in text(stopped), text(stopped)
    same(ask("demo-story", max_tokens=5).stop_reason, "max_tokens")


@check
def thinking():
    plain = ask("demo-think")
    same([block.type for block in plain.content], ["text"])
    message = ask("demo-think", thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=2048)
    same([block.type for block in message.content], ["thinking", "text"])
    assert message.content[0].thinking and message.content[0].signature
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": "again"},
    ]
    second = client.messages.create(
        model="demo-think", max_tokens=2048, messages=messages, thinking={"type": "adaptive"}
    )
    assert "again" in second.content[-1].text


@check
def thinking_in_tags():
    message = ask("demo-think-tags", thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=2048)
    same([block.type for block in message.content], ["thinking", "text"])
    same((message.content[0].thinking[:8], message.content[1].text), ("The user", "You said: hi"))
    with client.messages.stream(
        model="demo-think-tags", max_tokens=2048, messages=HELLO, thinking={"type": "enabled", "budget_tokens": 1024}
    ) as stream:
        message = stream.get_final_message()
    same([block.type for block in message.content], ["thinking", "text"])
    same(text(message), "You said: " + HELLO[0]["content"])


@check
def thinking_streamed():
    kinds = []
    with client.messages.stream(
        model="demo-think", max_tokens=2048, messages=HELLO, thinking={"type": "enabled", "budget_tokens": 1024}
    ) as stream:
        for event in stream:
            if event.type in ("thinking", "signature", "text"):
                kinds.append(event.type)
        message = stream.get_final_message()
    same(list(dict.fromkeys(kinds)), ["thinking", "signature", "text"])
    same([block.type for block in message.content], ["thinking", "text"])


@check
def effort():
    quiet = ask("demo-claude", thinking={"type": "disabled"})
    same([block.type for block in quiet.content], ["text"])
    loud = ask("demo-claude", thinking={"type": "adaptive"}, output_config={"effort": "high"})
    same([block.type for block in loud.content], ["thinking", "text"])


BOTS = {"native": "demo-tools", "xml": "demo-xml-tools", "bare": "demo-xml-tools-bare", "named": "demo-xml-tools-named"}


@checks(**BOTS)
def tool_loop(bot):
    messages = [{"role": "user", "content": 'the weather for city="New York" days=3'}]
    first = client.messages.create(model=bot, max_tokens=500, messages=messages, tools=[CITY])
    same(first.stop_reason, "tool_use")
    call = first.content[-1]
    same((call.type, call.name, call.input), ("tool_use", "weather", {"city": "New York", "days": 3}))
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny & <warm>"}
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = client.messages.create(model=bot, max_tokens=500, messages=messages, tools=[CITY])
    same((text(second), second.stop_reason), ("weather says: sunny & <warm>", "end_turn"))


@checks(**BOTS)
def tool_loop_streamed(bot):
    messages = [{"role": "user", "content": 'both, please: city="New York" days=3'}]
    clock = {"name": "time", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    with client.messages.stream(model=bot, max_tokens=500, messages=messages, tools=[CITY, clock]) as stream:
        first = stream.get_final_message()
    same(first.stop_reason, "tool_use")
    calls = [block for block in first.content if block.type == "tool_use"]
    same([call.name for call in calls], ["weather", "time"])
    same((calls[0].input, calls[1].input), ({"city": "New York", "days": 3}, {"city": "New York"}))
    assert "<" not in text(first)
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": call.name}]}
        for call in calls
    ]
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    with client.messages.stream(model=bot, max_tokens=500, messages=messages, tools=[CITY, clock]) as stream:
        same(text(stream.get_final_message()), "weather says: weather\ntime says: time")


@checks(**BOTS)
def tool_choice(bot):
    clock = {"name": "time", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    message = ask(bot, "the weather of city=Rome", tools=[CITY, clock], tool_choice={"type": "tool", "name": "time"})
    same([block.name for block in message.content if block.type == "tool_use"], ["time"])


CALLED = []


@beta_tool
def weather(city: str, days: int) -> str:
    """Weather of a city.

    Args:
        city: its name
        days: how many
    """
    CALLED.append((city, days))
    return f"sunny in {city}"


@checks(native="demo-tools", xml="demo-xml-tools")
def tool_runner(bot):
    """Requests a stored thread and falls back to sending the whole conversation."""
    CALLED.clear()
    runner = client.beta.messages.tool_runner(
        model=bot, max_tokens=500, tools=[weather], messages=[{"role": "user", "content": 'city="New York" days=3'}]
    )
    last = runner.until_done()
    same(CALLED, [("New York", 3)])
    same(text(last), "weather says: sunny in New York")


@check
def a_thread_is_refused():
    with raises(anthropic.types.ThreadUnsupportedRequestError, status_code=400):
        client.beta.messages.create(
            model="demo-echo", max_tokens=10, messages=HELLO, extra_body={"thread": {"type": "create"}}
        )


@check
def pictures():
    data = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    link = {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.jpg"}}
    said = text(ask("demo-echo", [data, link, {"type": "text", "text": "what is this?"}]))
    assert "what is this?" in said and "image/png" in said, said
    same(said.count("http"), 2)


@check
def documents():
    pdf = {
        "type": "document",
        "title": "report.pdf",
        "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
        "citations": {"enabled": True},
        "cache_control": {"type": "ephemeral"},
    }
    plain = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "in plain words"}}
    said = text(ask("demo-echo", [pdf, plain, {"type": "text", "text": "sum up"}]))
    assert "report.pdf" in said and "application/pdf" in said and "in plain words" in said, said


@check
def pictures_in_results():
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    messages = [
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "x"}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "seen"}, picture]}]},
    ]
    message = client.messages.create(model="demo-tools", max_tokens=100, messages=messages, tools=[CITY])
    assert "weather says: seen" in text(message), text(message)


@check
def count_tokens():
    words = client.messages.count_tokens(model="demo-echo", messages=HELLO).input_tokens
    assert words > 0
    with_tools = client.messages.count_tokens(model="demo-echo", messages=HELLO, tools=[CITY]).input_tokens
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    seen = client.messages.count_tokens(model="demo-echo", messages=[{"role": "user", "content": [picture]}])
    assert with_tools > words and seen.input_tokens > 250, (with_tools, words, seen)
    same(ask("demo-echo", HELLO[0]["content"]).usage.input_tokens, words)


class Person(BaseModel):
    name: str
    age: int


@check
def structured_output():
    message = client.messages.parse(
        model="demo-json", max_tokens=500, messages=[{"role": "user", "content": "name=Ada age=36"}], output_format=Person
    )
    same(message.parsed_output, Person(name="Ada", age=36))


ERRORS = {
    "bad_request": ("demo-error-http-400", anthropic.BadRequestError, 400, "invalid_request_error"),
    "authentication": ("demo-error-http-401", anthropic.AuthenticationError, 401, "authentication_error"),
    "points": ("demo-error-http-402", anthropic.APIStatusError, 402, "billing_error"),
    "permission": ("demo-error-http-403", anthropic.PermissionDeniedError, 403, "permission_error"),
    "not_found": ("there-is-no-such-bot", anthropic.NotFoundError, 404, "not_found_error"),
    "rate_limit": ("demo-error-http-429", anthropic.RateLimitError, 429, "rate_limit_error"),
    "provider": ("demo-error-http-500", anthropic.InternalServerError, 502, "api_error"),
    "too_long": ("demo-error-user_message_too_long", anthropic.BadRequestError, 400, "invalid_request_error"),
}


def refused(row, act):
    bot, kind, status, name = row
    try:
        act(bot)
    except anthropic.APIStatusError as error:
        assert isinstance(error, kind), type(error)
        same((error.status_code, error.body["type"], error.body["error"]["type"]), (status, "error", name))
        return error
    raise AssertionError("nothing was raised")


@checks(**ERRORS)
def error(row):
    refused(row, ask)


@checks(**ERRORS)
def stream_error(row):
    refused(row, lambda bot: list(ask(bot, stream=True)))


@check
def error_words():
    error = refused(ERRORS["too_long"], ask)
    assert error.body["error"]["message"].startswith("prompt is too long"), error.body
    same(refused(ERRORS["rate_limit"], ask).response.headers["retry-after"], "7")
    with raises(anthropic.BadRequestError, status_code=400):
        client.messages.create(model="demo-echo", max_tokens=9, messages=[{"role": "user", "content": 7}])


@checks(late="demo-error-late", truncated="demo-truncated", broken="demo-broken")
def mid_stream(bot):
    said = ""
    try:
        for event in ask(bot, stream=True):
            assert event.type != "message_stop"
            if event.type == "content_block_delta":
                said += event.delta.text
    except anthropic.APIError:
        pass
    else:
        raise AssertionError("the stream has to fail")
    assert said.startswith("This"), said


@check
def timeout():
    began = time.monotonic()
    with raises(anthropic.APITimeoutError):
        client.with_options(timeout=1).messages.create(model="demo-slow-start", max_tokens=9, messages=HELLO)
    assert time.monotonic() - began < 3
    same(text(ask("demo-echo")), "hi")


@check
def models():
    listed = {model.id for model in client.models.list(limit=1000)}
    assert {"demo-echo", "demo-story", "demo-claude"} <= listed, json.dumps(sorted(listed))


run()

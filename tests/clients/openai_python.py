"""openai-python: sync and async, whole and streamed, errors, models; tools and structured output."""

import json
import time

import openai
from checks import URL, WEATHER, Arrivals, check, checks, raises, run, same
from pydantic import BaseModel

client = openai.OpenAI(base_url=URL, api_key="demo", max_retries=0, timeout=30)
late = openai.AsyncOpenAI(base_url=URL, api_key="demo", max_retries=0, timeout=30)
HELLO = [{"role": "user", "content": "Hello, wörld 🌍"}]


def ask(bot, words="hi", **more):
    return client.chat.completions.create(model=bot, messages=[{"role": "user", "content": words}], **more)


@check
def create():
    answer = client.chat.completions.create(model="demo-echo", messages=HELLO)
    same(answer.choices[0].message.content, HELLO[0]["content"])
    same((answer.object, answer.model, answer.choices[0].finish_reason), ("chat.completion", "demo-echo", "stop"))
    assert answer.id.startswith("chatcmpl-") and abs(answer.created - time.time()) < 60
    usage = answer.usage
    assert usage.prompt_tokens > 0 and usage.completion_tokens > 0
    same(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)


@check
def create_stream():
    arrivals, text, ids = Arrivals(), "", set()
    for chunk in ask("demo-story", stream=True):
        ids.add(chunk.id)
        if chunk.choices[0].delta.content:
            arrivals.note()
            text += chunk.choices[0].delta.content
        last = chunk
    same((len(ids), last.choices[0].finish_reason, last.usage), (1, "stop", None))
    assert text.startswith("Once there was") and text.endswith("it did.\n"), text
    arrivals.token_by_token()


@check
def include_usage():
    chunks = list(ask("demo-echo", stream=True, stream_options={"include_usage": True}))
    same([chunk.choices for chunk in chunks if chunk.usage], [[]])
    same(chunks[-1].usage.total_tokens, chunks[-1].usage.prompt_tokens + chunks[-1].usage.completion_tokens)
    whole = ask("demo-echo").usage
    same((chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens), (whole.prompt_tokens, whole.completion_tokens))


@check
async def async_create():
    async with openai.AsyncOpenAI(base_url=URL, api_key="demo", max_retries=0) as one:
        answer = await one.chat.completions.create(model="demo-echo", messages=HELLO)
        same(answer.choices[0].message.content, HELLO[0]["content"])


@check
async def async_stream():
    arrivals = Arrivals()
    async with openai.AsyncOpenAI(base_url=URL, api_key="demo", max_retries=0) as one:
        async for chunk in await one.chat.completions.create(model="demo-story", messages=HELLO, stream=True):
            if chunk.choices[0].delta.content:
                arrivals.note()
    arrivals.token_by_token()


@check
def content_parts_and_roles():
    parts = [{"type": "text", "text": "part one, "}, {"type": "text", "text": "part two"}]
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": "before"},
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "user", "content": parts},
    ]
    answer = client.chat.completions.create(model="demo-echo", messages=messages)
    assert answer.choices[0].message.content.endswith("part two"), answer.choices[0].message.content


@check
def leaving_a_stream_early():
    with ask("demo-story", stream=True) as stream:
        next(iter(stream))
    same(ask("demo-echo").choices[0].message.content, "hi")


ERRORS = {
    "bad_request": ("demo-error-http-400", openai.BadRequestError, 400),
    "authentication": ("demo-error-http-401", openai.AuthenticationError, 401),
    "points": ("demo-error-http-402", openai.APIStatusError, 402),
    "permission": ("demo-error-http-403", openai.PermissionDeniedError, 403),
    "not_found": ("demo-error-http-404", openai.NotFoundError, 404),
    "rate_limit": ("demo-error-http-429", openai.RateLimitError, 429),
    "provider": ("demo-error-http-500", openai.InternalServerError, 502),
    "too_long": ("demo-error-user_message_too_long", openai.BadRequestError, 400),
    "no_points_event": ("demo-error-insufficient_fund", openai.APIStatusError, 402),
    "no_such_bot": ("there-is-no-such-bot", openai.NotFoundError, 404),
    "truncated": ("demo-truncated", openai.InternalServerError, 502),
    "broken": ("demo-broken", openai.InternalServerError, 502),
}


@checks(**ERRORS)
def error(row):
    bot, kind, status = row
    with raises(kind, status_code=status):
        ask(bot)


@checks(**{name: row for name, row in ERRORS.items() if row[0] not in ("demo-truncated", "demo-broken")})
def stream_error(row):
    bot, kind, status = row
    with raises(kind, status_code=status):
        list(ask(bot, stream=True))


@checks(late="demo-error-late", truncated="demo-truncated", broken="demo-broken")
def mid_stream(bot):
    text = ""
    with raises(openai.APIError):
        for chunk in ask(bot, stream=True):
            text += chunk.choices[0].delta.content or ""
            assert chunk.choices[0].finish_reason is None
    assert text.startswith("This"), text


@check
def error_words():
    try:
        ask("demo-error-http-402")
    except openai.APIStatusError as error:
        same((error.code, error.type), ("insufficient_quota", "insufficient_quota"))
        assert "points" in error.message, error.message
    try:
        ask("there-is-no-such-bot")
    except openai.NotFoundError as error:
        same(error.code, "model_not_found")
    try:
        ask("demo-error-http-429")
    except openai.RateLimitError as error:
        same(error.response.headers["retry-after"], "7")


@checks(in_vain=("demo-error-final", 1), perhaps_not=("demo-error-internal", 2))
def trying_again(row):
    """Both are 502: only an error that Poe marks as permanent is not retried."""
    bot, times = row
    sent = []
    with openai.DefaultHttpxClient(event_hooks={"request": [sent.append]}) as carrier:
        patient = client.with_options(max_retries=1, http_client=carrier)
        with raises(openai.InternalServerError, status_code=502):
            patient.chat.completions.create(model=bot, messages=HELLO)
    same(len(sent), times)


@check
def wrong_key():
    with raises(openai.AuthenticationError, status_code=401, code="invalid_api_key"):
        client.with_options(api_key="wrong-key").chat.completions.create(model="demo-echo", messages=HELLO)


@check
def wrong_types():
    with raises(openai.BadRequestError, status_code=400, param="messages[0].content"):
        client.chat.completions.create(model="demo-echo", messages=[{"role": "user", "content": 7}])


@check
def models():
    listed = {model.id: model for model in client.models.list()}
    assert {"demo-echo", "demo-story", "demo-gpt"} <= set(listed)
    one = client.models.retrieve("demo-story")
    same((one.id, one.object), ("demo-story", "model"))
    assert 1_500_000_000 < one.created < 3_000_000_000
    with raises(openai.NotFoundError, status_code=404):
        client.models.retrieve("there-is-no-such-bot")


@check
def stream_helper():
    with client.chat.completions.stream(model="demo-echo", messages=HELLO) as stream:
        kinds = [event.type for event in stream]
        same(stream.get_final_completion().choices[0].message.content, HELLO[0]["content"])
    assert "content.delta" in kinds and kinds[-1] == "content.done", kinds


class Person(BaseModel):
    name: str
    age: int


@check
def parse():
    messages = [{"role": "user", "content": 'name=Ada age=36'}]
    answer = client.chat.completions.parse(model="demo-json", messages=messages, response_format=Person)
    same(answer.choices[0].message.parsed, Person(name="Ada", age=36))


@check
def parse_on_the_second_try():
    """The bot matches the schema only after an error message, with invented values."""
    messages = [{"role": "user", "content": 'name=Ada age=36'}]
    answer = client.chat.completions.parse(model="demo-json-late", messages=messages, response_format=Person)
    assert isinstance(answer.choices[0].message.parsed, Person)


@check
def parse_stream():
    messages = [{"role": "user", "content": 'name=Ada age=36'}]
    with client.chat.completions.stream(model="demo-json", messages=messages, response_format=Person) as stream:
        same(stream.get_final_completion().choices[0].message.parsed, Person(name="Ada", age=36))


@check
def json_object():
    answer = ask("demo-json", "as JSON: Rome", response_format={"type": "json_object"})
    assert isinstance(json.loads(answer.choices[0].message.content), dict)


# the last is in no list of models
BOTS = {
    "native": "demo-tools", "xml": "demo-xml-tools", "bare": "demo-xml-tools-bare", "named": "demo-xml-tools-named",
    "private": "demo-private-tools",
}


@checks(**BOTS)
def tool_loop(bot):
    messages = [{"role": "user", "content": 'the weather for city="New York" days=3'}]
    first = client.chat.completions.create(model=bot, messages=messages, tools=[WEATHER])
    same(first.choices[0].finish_reason, "tool_calls")
    message = first.choices[0].message
    call = message.tool_calls[0]
    same((call.function.name, json.loads(call.function.arguments)), ("weather", {"city": "New York", "days": 3}))
    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": "sunny & <warm>"}]
    second = client.chat.completions.create(model=bot, messages=messages, tools=[WEATHER])
    same(second.choices[0].message.content, "weather says: sunny & <warm>")
    same(second.choices[0].finish_reason, "stop")


@checks(**BOTS)
def tool_loop_streamed(bot):
    messages = [{"role": "user", "content": 'the weather for city="New York" days=3'}]
    with client.chat.completions.stream(model=bot, messages=messages, tools=[WEATHER]) as stream:
        first = stream.get_final_completion()
    same(first.choices[0].finish_reason, "tool_calls")
    call = first.choices[0].message.tool_calls[0]
    same((call.function.name, json.loads(call.function.arguments)), ("weather", {"city": "New York", "days": 3}))
    assert "<" not in (first.choices[0].message.content or "")
    asked = {"role": "assistant", "tool_calls": [call.to_dict(exclude_unset=True) | {"type": "function"}]}
    asked["tool_calls"][0]["function"].pop("parsed_arguments", None)
    asked["tool_calls"][0].pop("index", None)
    messages += [asked, {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    with client.chat.completions.stream(model=bot, messages=messages, tools=[WEATHER]) as stream:
        same(stream.get_final_completion().choices[0].message.content, "weather says: rain")



THOUGHT = "The user said something.\n\nIf a < b, I repeat it."


@check
def thought_in_tags():
    message = ask("demo-think-tags").choices[0].message
    same((message.content, message.model_extra["reasoning_content"]), ("You said: hi", THOUGHT))
    deltas = [chunk.choices[0].delta for chunk in ask("demo-think-tags", stream=True)]
    same("".join(delta.content or "" for delta in deltas), "You said: hi")
    same("".join((delta.model_extra or {}).get("reasoning_content") or "" for delta in deltas), THOUGHT)


@check
def thought_that_nothing_opened():
    """Whole, it is thought; a stream has sent it as text already and separates the answer from it."""
    message = ask("demo-think-unopened").choices[0].message
    same((message.content, message.model_extra["reasoning_content"]), ("You said: hi", THOUGHT))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in ask("demo-think-unopened", stream=True))
    assert text.startswith(THOUGHT) and text.endswith("\n\nYou said: hi") and "</think>" not in text, text


@check
def video():
    """Create, poll, download, list and delete, with a reference as a file."""
    reference = ("cat.png", b"\x89PNG\r\n\x1a\n", "image/png")
    made = client.videos.create_and_poll(
        model="demo-video", prompt="an orange", size="720x1280", seconds="8", input_reference=reference, poll_interval_ms=100
    )
    same((made.status, made.progress, made.seconds, made.size, made.object), ("completed", 100, "8", "720x1280", "video"))
    content = client.videos.download_content(made.id)
    same((content.response.headers["content-type"], content.read()[4:8]), ("video/mp4", b"ftyp"))
    newest = client.videos.list(limit=1).data[0]
    same((newest.id, client.videos.retrieve(made.id).status), (made.id, "completed"))
    same(client.videos.delete(made.id).deleted, True)
    with raises(openai.NotFoundError, status_code=404):
        client.videos.retrieve(made.id)


@check
def video_list_pages():
    made = [client.videos.create(model="demo-video-link", prompt=f"number {number}").id for number in range(3)]
    listed = [video.id for video in client.videos.list(limit=2)]
    assert [id for id in listed if id in made] == made[::-1], listed
    for id in made:
        client.videos.delete(id)


@check
async def video_async_failure():
    async with openai.AsyncOpenAI(base_url=URL, api_key="demo", max_retries=0) as one:
        failed = await one.videos.create_and_poll(model="demo-error-http-402", prompt="an orange", poll_interval_ms=100)
        same((failed.status, failed.error.code), ("failed", "insufficient_quota"))


run()

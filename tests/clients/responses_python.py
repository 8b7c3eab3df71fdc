"""openai-python on Responses: whole and streamed, tools, structured output, conversations, files, errors."""

import json
import time
from typing import Literal

import openai
from checks import URL, Arrivals, check, checks, raises, run, same
from openai.types.responses import Response
from pydantic import BaseModel

client = openai.OpenAI(base_url=URL, api_key="demo", max_retries=0, timeout=30)
WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "Weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


def ask(bot, words="hi", **more):
    return client.responses.create(model=bot, input=words, **more)


@check
def create():
    answer = ask("demo-echo", "Hello, wörld 🌍")
    same(answer.output_text, "Hello, wörld 🌍")
    same((answer.object, answer.model, answer.status, answer.error), ("response", "demo-echo", "completed", None))
    assert answer.id.startswith("resp_") and abs(answer.created_at - time.time()) < 60
    same(answer.usage.total_tokens, answer.usage.input_tokens + answer.usage.output_tokens)
    same(answer.usage.output_tokens_details.reasoning_tokens, 0)
    # the library's own types, validated strictly
    Response.model_validate(answer.to_dict(), strict=False)


@check
def thought_in_tags():
    answer = ask("demo-think-tags")
    same([item.type for item in answer.output], ["reasoning", "message"])
    assert answer.output[0].summary[0].text.startswith("The user"), answer.output[0]
    same(answer.output_text, "You said: hi")
    with client.responses.stream(model="demo-think-tags", input="hi") as stream:
        done = stream.get_final_response()
    same(([item.type for item in done.output], done.output_text), (["reasoning", "message"], "You said: hi"))


@check
def create_stream():
    arrivals, text, kinds = Arrivals(), "", []
    for event in ask("demo-story", stream=True):
        same(event.sequence_number, len(kinds))
        kinds.append(event.type)
        if event.type == "response.output_text.delta":
            arrivals.note()
            text += event.delta
    same(kinds[:4], ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"])
    same(kinds[-4:], ["response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed"])
    same(event.response.output_text, text)
    arrivals.token_by_token()


@check
def stream_helper():
    with client.responses.stream(model="demo-think", input="Why?") as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        answer = stream.get_final_response()
    same(answer.output_text, text)
    same([item.type for item in answer.output], ["reasoning", "message"])
    assert "The user said" in answer.output[0].summary[0].text, answer.output[0]


@check
async def async_stream():
    async with openai.AsyncOpenAI(base_url=URL, api_key="demo", max_retries=0) as one:
        async with one.responses.stream(model="demo-echo", input="hi") as stream:
            async for _ in stream:
                pass
            same((await stream.get_final_response()).output_text, "hi")


NATIVE_AND_XML = {"native": "demo-tools", "xml": "demo-xml-tools"}


@checks(**NATIVE_AND_XML)
def tools_loop(bot):
    items = [{"role": "user", "content": "the weather in Rome?"}]
    first = client.responses.create(model=bot, input=items, tools=[WEATHER], tool_choice="required")
    call = next(item for item in first.output if item.type == "function_call")
    same((call.name, type(json.loads(call.arguments)["city"])), ("weather", str))
    # the whole output goes back, as the documentation has it
    items += first.output
    items.append({"type": "function_call_output", "call_id": call.call_id, "output": "sunny"})
    second = client.responses.create(model=bot, input=items, tools=[WEATHER])
    same((second.output_text, second.status), ("weather says: sunny", "completed"))


@checks(**NATIVE_AND_XML)
def tools_stream(bot):
    with client.responses.stream(model=bot, input="the weather in Rome?", tools=[WEATHER]) as stream:
        pieces = [event for event in stream if event.type == "response.function_call_arguments.delta"]
        answer = stream.get_final_response()
    call = next(item for item in answer.output if item.type == "function_call")
    same("".join(piece.delta for piece in pieces), call.arguments)
    assert json.loads(call.arguments)["city"], call


@checks(**NATIVE_AND_XML)
def custom_tool(bot):
    tool = {"type": "custom", "name": "patch", "description": "Takes a patch as plain text"}
    items = [{"role": "user", "content": "use patch"}]
    first = client.responses.create(model=bot, input=items, tools=[tool])
    call = next(item for item in first.output if item.type == "custom_tool_call")
    same(call.name, "patch")
    assert call.input and not call.input.startswith("{"), call.input
    items += first.output
    items.append({"type": "custom_tool_call_output", "call_id": call.call_id, "output": "done"})
    same(client.responses.create(model=bot, input=items, tools=[tool]).output_text, "patch says: done")


class Person(BaseModel):
    name: str
    age: int
    mood: Literal["good", "bad"]


@check
def parse():
    ada, words = Person(name="Ada", age=36, mood="good"), "name=Ada age=36 mood=good"
    same(client.responses.parse(model="demo-json", input=words, text_format=Person).output_parsed, ada)
    with client.responses.stream(model="demo-json", input=words, text_format=Person) as stream:
        stream.until_done()
        same(stream.get_final_response().output_parsed, ada)


@check
def parse_never():
    with raises(openai.InternalServerError, status_code=502):
        client.responses.parse(model="demo-json-never", input="a person", text_format=Person)


@checks(whole=False, stream=True)
def previous_response(stream):
    def said(words, **more):
        if not stream:
            return client.responses.create(model="demo-query", input=words, **more)
        with client.responses.stream(model="demo-query", input=words, **more) as events:
            return events.get_final_response()

    first = said("one", instructions="be brief")
    second = said("two", previous_response_id=first.id)
    third = said("three", previous_response_id=second.id, instructions="be kind")
    query = json.loads(third.output_text)["query"]
    same([turn["role"] for turn in query], ["system", "user", "bot", "user", "bot", "user"])
    same([query[at]["content"] for at in (0, 1, 3, 5)], ["be kind", "one", "two", "three"])
    same((third.previous_response_id, third.instructions), (second.id, "be kind"))
    items = client.responses.input_items.list(third.id, order="asc").data
    same([item.role for item in items], ["user", "assistant", "user", "assistant", "user"])
    few = client.responses.input_items.list(third.id, limit=2)
    same([item.content[0].text for item in few.data][0], "three")
    same([item.id for item in few], [item.id for item in reversed(items)])


@check
def stored_or_not():
    answer = ask("demo-echo", "keep this", metadata={"a": "b"})
    again = client.responses.retrieve(answer.id)
    same((again.output_text, again.metadata, again.to_dict()), ("keep this", {"a": "b"}, answer.to_dict()))
    with raises(openai.NotFoundError, status_code=404):
        client.with_options(api_key="other").responses.retrieve(answer.id)
    with raises(openai.BadRequestError, status_code=400):
        client.responses.cancel(answer.id)
    client.responses.delete(answer.id)
    for gone in (answer.id, ask("demo-echo", store=False).id, "resp_unknown"):
        with raises(openai.NotFoundError, status_code=404):
            client.responses.retrieve(gone)
        with raises(openai.BadRequestError, code="previous_response_not_found", param="previous_response_id"):
            ask("demo-echo", previous_response_id=gone)


@check
def input_tokens():
    tokens = client.responses.input_tokens.count(model="demo-echo", input="one two three").input_tokens
    same(tokens, ask("demo-echo", "one two three").usage.input_tokens)


@check
def files():
    png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
    content = [
        {"type": "input_text", "text": "Look"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{png}", "detail": "auto"},
        {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,aGVsbG8="},
    ]
    answer = client.responses.create(model="demo-echo", input=[{"role": "user", "content": content}])
    assert "image/png" in answer.output_text and "a.txt" in answer.output_text, answer.output_text
    with raises(openai.BadRequestError, param="input[0].content[0].file_id"):
        content = [{"type": "input_image", "file_id": "file_1", "detail": "auto"}]
        client.responses.create(model="demo-echo", input=[{"role": "user", "content": content}])


@check
def incomplete():
    answer = ask("demo-long", max_output_tokens=16)
    same((answer.status, answer.incomplete_details.reason), ("incomplete", "max_output_tokens"))
    same(answer.usage.output_tokens, 16)
    kinds = [event.type for event in ask("demo-long", max_output_tokens=16, stream=True)]
    same(kinds[-1], "response.incomplete")


ERRORS = {
    "points": ("demo-error-http-402", openai.APIStatusError, {"status_code": 402, "code": "insufficient_quota"}),
    "length": ("demo-error-user_message_too_long", openai.BadRequestError, {"code": "context_length_exceeded"}),
    "limit": ("demo-error-http-429", openai.RateLimitError, {"code": "rate_limit_exceeded"}),
    "fault": ("demo-error-http-500", openai.InternalServerError, {"status_code": 502}),
    "nobody": ("demo-error-http-404", openai.NotFoundError, {"code": "model_not_found"}),
}


@checks(**ERRORS)
def error(row):
    bot, kind, attributes = row
    with raises(kind, **attributes):
        ask(bot)
    with raises(kind, **attributes):
        list(ask(bot, stream=True))


@check
def error_says_when_to_try_again():
    try:
        ask("demo-error-http-429")
    except openai.RateLimitError as error:
        assert "Please try again in 7s." in error.message, error.message


@check
def error_late():
    last = list(ask("demo-error-late", stream=True))[-1]
    same((last.type, last.response.status, last.response.error.code), ("response.failed", "failed", "server_error"))


@check
def refused():
    for field in ({"background": True}, {"conversation": "conv_1"}, {"prompt": {"id": "p"}}, {"top_logprobs": 2}):
        with raises(openai.BadRequestError, param=next(iter(field))):
            ask("demo-echo", **field)


run()

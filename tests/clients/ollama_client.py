"""Ollama's own Python package: list, show, chat, generate, streams, tools, pictures, structured output, errors."""

import asyncio
import json

import ollama
from checks import URL, WEATHER, Arrivals, check, checks, raises, run, same

HOST = URL.removesuffix("/v1")
client = ollama.Client(host=HOST, headers={"Authorization": "Bearer demo"}, timeout=30)
HELLO = [{"role": "user", "content": "hi"}]


@check
def list_and_show():
    models = client.list().models
    assert any(model.model == "demo-gpt" and model.modified_at for model in models)
    shown = client.show("demo-gpt")
    same(shown.capabilities, ["completion", "tools", "vision", "thinking"])
    same(shown.modelinfo["poe.context_length"], 400_000)
    same(client.ps().models, [])


@check
def chat():
    answer = client.chat("demo-echo:latest", HELLO, options={"temperature": 0.5, "num_predict": 50})
    same((answer.message.role, answer.message.content, answer.done, answer.done_reason), ("assistant", "hi", True, "stop"))
    assert answer.prompt_eval_count > 0 and answer.eval_count > 0 and answer.total_duration > 0


@check
def chat_stream():
    arrivals, text = Arrivals(), ""
    for part in client.chat("demo-story", HELLO, stream=True):
        if part.message.content:
            arrivals.note()
            text += part.message.content
        last = part
    assert text.endswith("it did.\n") and last.done and last.eval_count > 100
    arrivals.token_by_token()


@check
def thinking():
    answer = client.chat("demo-think", HELLO, think=True)
    assert answer.message.thinking and answer.message.content
    same(client.chat("demo-think", HELLO, think=False).message.thinking, None)


@check
def thinking_in_tags():
    answer = client.chat("demo-think-tags", HELLO, think=True).message
    same((answer.thinking[:8], answer.content), ("The user", "You said: hi"))
    parts = [part.message for part in client.chat("demo-think-tags", HELLO, think=True, stream=True)]
    same("".join(part.content or "" for part in parts), "You said: hi")
    assert "".join(part.thinking or "" for part in parts).startswith("The user"), parts


@checks(native="demo-tools", xml="demo-xml-tools", private="demo-private-tools")
def tools(bot):
    messages = [{"role": "user", "content": 'the weather for city="New York" days=3'}]
    for stream in (False, True):
        parts = client.chat(bot, messages, tools=[WEATHER], stream=stream)
        parts = list(parts) if stream else [parts]
        call = next(part.message.tool_calls[0] for part in parts if part.message.tool_calls)
        same((call.function.name, dict(call.function.arguments)), ("weather", {"city": "New York", "days": 3}))
    asked = ollama.Message(role="assistant", tool_calls=[call])
    result = {"role": "tool", "tool_name": "weather", "content": "sunny & <warm>"}
    second = client.chat(bot, [*messages, asked, result], tools=[WEATHER])
    same(second.message.content, "weather says: sunny & <warm>")


@check
def generate():
    answer = client.generate("demo-echo", "hi", system="be brief", images=[b"\x89PNG\r\n\x1a\n"])
    assert answer.response.startswith("hi\n\nAttachments:") and answer.done
    same("".join(part.response for part in client.generate("demo-echo", "hi", stream=True)), "hi")
    same(client.generate("demo-coder", "def add(a, b):\n", suffix="\nprint()").response, "    return a + b")


@check
def structured():
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"]}
    answer = client.chat("demo-json", [{"role": "user", "content": "name=Ada age=36"}], format=schema)
    same(json.loads(answer.message.content), {"name": "Ada", "age": 36})


@check
async def async_chat():
    late = ollama.AsyncClient(host=HOST, headers={"Authorization": "Bearer demo"})
    answers = await asyncio.gather(*(late.chat("demo-echo", [{"role": "user", "content": word}]) for word in "abc"))
    same([answer.message.content for answer in answers], ["a", "b", "c"])


@check
def errors():
    with raises(ollama.ResponseError, status_code=404):
        client.chat("there-is-no-such-bot", HELLO)
    with raises(ollama.ResponseError, status_code=404):
        client.embed("demo-echo", "x")
    with raises(ollama.ResponseError, status_code=501):
        client.pull("demo-echo")
    with raises(ollama.ResponseError):
        list(client.chat("demo-error-late", HELLO, stream=True))


run()

"""A real Poe peer: server bots made with fastapi_poe replace Poe, and the proxy answers from them.

The library checks the access key and the whole query (pydantic), so what passes here is the protocol as Poe's own code has it.
"""

import asyncio
import json
import os
import subprocess
import tempfile
import threading
import time

import fastapi_poe as fp
import openai
import uvicorn
from checks import check, checks, raises, run, same
from fastapi import FastAPI

KEY = "k" * 32
SEEN = []


class Bot(fp.PoeBot):
    async def get_response(self, request):
        SEEN.append(request)
        async for event in self.reply(request.query[-1].content, request):
            yield event

    async def get_settings(self, _):
        return fp.SettingsResponse(allow_attachments=True, introduction_message="I am real.")


class Echo(Bot):
    async def reply(self, said, _):
        yield fp.MetaResponse(text="", content_type="text/markdown", linkify=True, refetch_settings=False, suggested_replies=True)
        for character in said:
            yield fp.PartialResponse(text=character)
        yield fp.PartialResponse(text="Shall I go on?", is_suggested_reply=True)
        yield fp.DataResponse(metadata="a note")


class Slow(Bot):
    async def reply(self, said, _):
        for number in range(6):
            yield fp.PartialResponse(text=f"{number} ")
            await asyncio.sleep(0.3)


class Replace(Bot):
    async def reply(self, said, _):
        yield fp.PartialResponse(text="Working on it...")
        yield fp.PartialResponse(text="The final ", is_replace_response=True)
        yield fp.PartialResponse(text="answer.")


class Refuse(Bot):
    async def reply(self, said, _):
        yield fp.ErrorResponse(text="This message is too long for me", allow_retry=False, error_type="user_message_too_long")


class Poor(Bot):
    async def reply(self, said, _):
        yield fp.ErrorResponse(text="There are no points left", allow_retry=False, error_type="insufficient_fund")


class Late(Bot):
    async def reply(self, said, _):
        yield fp.PartialResponse(text="This begins well")
        yield fp.ErrorResponse(text="but ends badly", allow_retry=False)


class Crash(Bot):
    async def reply(self, said, _):
        raise RuntimeError("a fault in the bot")
        yield


class Picture(Bot):
    async def reply(self, said, _):
        yield fp.PartialResponse(text="Here it is: ![cat][ref1]\n")
        attachment = fp.Attachment(url="https://pfst.cf2.poecdn.net/cat.png", content_type="image/png", name="cat.png", inline_ref="ref1")
        yield fp.PartialResponse(text="", attachment=attachment)


class Tools(Bot):
    async def reply(self, said, request):
        if request.tool_results:
            yield fp.PartialResponse(text=f"{request.tool_results[0].name} says: {request.tool_results[0].content}")
            return
        function = {"name": request.tools[0].function.name, "arguments": ""}
        deltas = [[{"index": 0, "id": "call_1", "type": "function", "function": function}]]
        deltas += [[{"index": 0, "function": {"arguments": part}}] for part in ('{"city": ', '"Rome"}')]
        for delta in deltas:
            yield event("json", {"choices": [{"index": 0, "delta": {"tool_calls": delta}, "finish_reason": None}]})
        yield event("json", {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})


class Prompted(Bot):
    """Gets its tools in the prompt, for no list names it, and calls them as the prompt shows."""

    async def reply(self, said, request):
        assert not request.tools, request.tools
        if "<tool_result" in said:
            assert "sunny" in said, said
            yield fp.PartialResponse(text="It is sunny in Rome")
            return
        assert '"weather"' in request.query[0].content, request.query
        for part in ("I look. ", "<tool_call><invoke name=\"wea", "ther\"><parameter name=\"city\">Rome</para", "meter></invoke></tool_call>"):
            yield fp.PartialResponse(text=part)


def event(name, data):
    from sse_starlette.event import ServerSentEvent

    return ServerSentEvent(event=name, data=json.dumps(data))


NAMES = {
    "echo": Echo, "slow": Slow, "replace": Replace, "refuse": Refuse, "poor": Poor, "late": Late, "crash": Crash,
    "picture": Picture, "tools": Tools, "prompted": Prompted, "With Space & ä": Echo,
}


def serve_bots():
    """Starts the bots on a free port; they end with this process."""
    bots = [make(path=f"/bot/{name}", access_key=KEY) for name, make in NAMES.items()]
    app = fp.make_app(bots, app=FastAPI())
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    threading.Thread(target=server.run, daemon=True).start()
    end = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < end, "the bots did not start"
        time.sleep(0.02)
    return server.servers[0].sockets[0].getsockname()[1]


def serve_proxy(port):
    environment = os.environ | {"POE_BASE_URL": f"http://127.0.0.1:{port}"}
    # this peer has no list of models, so nothing is known of its bots: tools would be explained in the prompt
    directory = tempfile.mkdtemp()
    with open(os.path.join(directory, "models.yaml"), "w") as file:
        file.write("enable: true\nmodels:\n  tools: {tools: native}\n")
    command = [os.environ["SERVER"], "--host", "127.0.0.1", "--port", "0", "--rate-limit-ms", "0", "--config-dir", directory]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    # log lines may come first
    line = next(line for line in process.stdout if "listens on " in line)
    threading.Thread(target=process.stdout.read, daemon=True).start()
    return process, line.split("listens on ")[1].strip()


port = serve_bots()
proxy, url = serve_proxy(port)
client = openai.OpenAI(base_url=url + "/v1", api_key=KEY, max_retries=0, timeout=20)


def ask(bot, words="hi", **more):
    return client.chat.completions.create(model=bot, messages=[{"role": "user", "content": words}], **more)


def whole(bot, words="hi"):
    return ask(bot, words).choices[0].message.content


def streamed(bot, words="hi"):
    return "".join(chunk.choices[0].delta.content or "" for chunk in ask(bot, words, stream=True) if chunk.choices)


WAYS = {"whole": whole, "stream": streamed}


@checks(**WAYS)
def echo(way):
    words = "Grüße, 世界 🌍!\n\n> a quotation, and \"more\"\n"
    same(way("echo", words), words)


@checks(**WAYS)
def name_with_space(way):
    same(way("With Space & ä"), "hi")


@check
def query_as_poe_sends_it():
    SEEN.clear()
    messages = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]
    client.chat.completions.create(
        model="echo", messages=messages, temperature=0.5, stop=["END"], logit_bias={"50256": -100},
    )
    request = SEEN[-1]
    same([(one.role, one.content) for one in request.query], [("system", "be kind"), ("user", "one"), ("bot", "two"), ("user", "three")])
    same({one.content_type for one in request.query}, {"text/markdown"})
    same((request.temperature, request.stop_sequences, request.logit_bias), (0.5, ["END"], {"50256": -100}))
    assert request.version.startswith("1."), request.version


@check
def token_by_token():
    times = []
    for chunk in ask("slow", stream=True):
        if chunk.choices[0].delta.content:
            times.append(time.monotonic())
    same(len(times), 6)
    assert times[-1] - times[0] > 1.2, times


@check
def replace_whole():
    same(whole("replace"), "The final answer.")


@check
def replace_stream():
    assert streamed("replace").endswith("The final answer.")


@checks(**WAYS)
def error_too_long(way):
    with raises(openai.BadRequestError, status_code=400, code="context_length_exceeded"):
        way("refuse")


@checks(**WAYS)
def error_no_points(way):
    with raises(openai.APIStatusError, status_code=402, code="insufficient_quota"):
        way("poor")


@checks(**WAYS)
def error_crash(way):
    with raises(openai.InternalServerError, status_code=502):
        way("crash")


@check
def error_late_whole():
    with raises(openai.InternalServerError, status_code=502):
        whole("late")


@check
def error_late_stream():
    with raises(openai.APIError):
        streamed("late")


@checks(**WAYS)
def file(way):
    text = way("picture")
    assert "https://pfst.cf2.poecdn.net/cat.png" in text and "[ref1]" not in text, text


@checks(**WAYS)
def wrong_access_key(way):
    global client
    right = client
    client = right.with_options(api_key="wrong")
    try:
        with raises(openai.AuthenticationError, status_code=401):
            way("echo")
    finally:
        client = right


@check
def no_such_bot():
    with raises(openai.NotFoundError, status_code=404):
        whole("nobody")


TOOL = {"type": "function", "function": {"name": "weather", "description": "d", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}


@check
def tool_loop():
    messages = [{"role": "user", "content": "the weather?"}]
    first = client.chat.completions.create(model="tools", messages=messages, tools=[TOOL])
    call = first.choices[0].message.tool_calls[0]
    same((first.choices[0].finish_reason, json.loads(call.function.arguments)), ("tool_calls", {"city": "Rome"}))
    messages += [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    second = client.chat.completions.create(model="tools", messages=messages, tools=[TOOL])
    same(second.choices[0].message.content, "weather says: sunny")


@check
def tool_with_the_least():
    """Poe's own types want a description and parameters; clients leave them out."""
    bare = {"type": "function", "function": {"name": "weather"}}
    answer = client.chat.completions.create(model="tools", messages=[{"role": "user", "content": "?"}], tools=[bare])
    same(answer.choices[0].message.tool_calls[0].function.name, "weather")


@check
def unlisted_bot_with_tools():
    messages = [{"role": "user", "content": "the weather?"}]
    first = client.chat.completions.create(model="prompted", messages=messages, tools=[TOOL])
    call = first.choices[0].message.tool_calls[0]
    same((first.choices[0].finish_reason, first.choices[0].message.content.strip()), ("tool_calls", "I look."))
    same((call.function.name, json.loads(call.function.arguments)), ("weather", {"city": "Rome"}))
    messages += [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    second = client.chat.completions.create(model="prompted", messages=messages, tools=[TOOL])
    same(second.choices[0].message.content, "It is sunny in Rome")


@check
def settings():
    """A request that Poe sends to a bot and the proxy does not; the answer shows that the peer works."""
    import httpx

    body = {"version": "1.2", "type": "settings"}
    answer = httpx.post(f"http://127.0.0.1:{port}/bot/echo", json=body, headers={"Authorization": f"Bearer {KEY}"})
    same((answer.status_code, answer.json()["introduction_message"]), (200, "I am real."))


try:
    run()
finally:
    proxy.terminate()
    proxy.wait(30)
os._exit(0)

"""LiteLLM as a client, by the prefix openai/."""

import json
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from checks import URL, WEATHER, Arrivals, check, checks, raises, run, same

litellm.telemetry = False
litellm.suppress_debug_info = True


def ask(bot, words="hi", **more):
    return litellm.completion(
        model=f"openai/{bot}", api_base=URL, api_key="demo", num_retries=0, max_retries=0, timeout=30,
        messages=[{"role": "user", "content": words}], **more,
    )


@check
def completion():
    answer = ask("demo-echo")
    same((answer.choices[0].message.content, answer.choices[0].finish_reason), ("hi", "stop"))
    assert answer.usage.completion_tokens > 0


@check
def completion_stream():
    arrivals, text = Arrivals(), ""
    for chunk in ask("demo-story", stream=True):
        if chunk.choices[0].delta.content:
            arrivals.note()
            text += chunk.choices[0].delta.content
    assert text.endswith("it did.\n")
    arrivals.token_by_token()


@check
async def acompletion():
    answer = await litellm.acompletion(
        model="openai/demo-echo", api_base=URL, api_key="demo", messages=[{"role": "user", "content": "hi"}]
    )
    same(answer.choices[0].message.content, "hi")


@check
def errors():
    with raises(litellm.NotFoundError):
        ask("there-is-no-such-bot")
    with raises(litellm.RateLimitError):
        ask("demo-error-http-429")


@check
def error_too_long():
    """Detects a full context by phrases in the message."""
    with raises(litellm.ContextWindowExceededError):
        ask("demo-error-user_message_too_long")


@check
def reasoning():
    message = ask("demo-think").choices[0].message
    assert message.reasoning_content and "Thinking..." not in message.content, message


@checks(native="demo-tools", xml="demo-xml-tools")
def tools(bot):
    call = ask(bot, 'the weather for city="New York" days=3', tools=[WEATHER]).choices[0].message.tool_calls[0]
    same((call.function.name, json.loads(call.function.arguments)), ("weather", {"city": "New York", "days": 3}))


@checks(native="demo-tools", xml="demo-xml-tools")
def tools_streamed(bot):
    chunks = list(ask(bot, 'the weather for city="New York" days=3', tools=[WEATHER], stream=True))
    call = litellm.stream_chunk_builder(chunks).choices[0].message.tool_calls[0]
    same((call.function.name, json.loads(call.function.arguments)), ("weather", {"city": "New York", "days": 3}))


run()

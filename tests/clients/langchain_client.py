"""LangChain: invoke, stream, async, tools, structured output."""

from checks import URL, Arrivals, check, checks, run, same
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI
from pydantic import BaseModel


def chat(bot, **more):
    return ChatOpenAI(model=bot, base_url=URL, api_key="demo", max_retries=0, timeout=30, **more)


@check
def invoke():
    answer = chat("demo-echo").invoke("hi")
    same((answer.content, answer.response_metadata["finish_reason"]), ("hi", "stop"))
    assert answer.usage_metadata["output_tokens"] > 0


@check
def stream():
    arrivals, text = Arrivals(), ""
    for chunk in chat("demo-story").stream("a story"):
        if chunk.content:
            arrivals.note()
            text += chunk.content
    assert text.endswith("it did.\n")
    arrivals.token_by_token()


@check
def stream_usage():
    total = None
    for chunk in chat("demo-echo", stream_usage=True).stream("hi"):
        total = chunk if total is None else total + chunk
    same((total.content, total.usage_metadata["output_tokens"] > 0), ("hi", True))


@check
async def ainvoke():
    same((await chat("demo-echo").ainvoke("hi")).content, "hi")


@tool
def weather(city: str, days: int) -> str:
    """Weather of a city"""
    return f"sunny in {city} for {days} days"


@checks(native="demo-tools", xml="demo-xml-tools", private="demo-private-tools")
def bind_tools(bot):
    bound = chat(bot).bind_tools([weather])
    messages = [HumanMessage('the weather for city="New York" days=3')]
    first = bound.invoke(messages)
    same([(call["name"], call["args"]) for call in first.tool_calls], [("weather", {"city": "New York", "days": 3})])
    call = first.tool_calls[0]
    messages += [first, ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])]
    same(bound.invoke(messages).content, "weather says: sunny in New York for 3 days")


@checks(native="demo-tools", xml="demo-xml-tools", private="demo-private-tools")
def bind_tools_streamed(bot):
    total = None
    for chunk in chat(bot).bind_tools([weather]).stream('the weather for city="New York" days=3'):
        total = chunk if total is None else total + chunk
    same([(call["name"], call["args"]) for call in total.tool_calls], [("weather", {"city": "New York", "days": 3})])


class Person(BaseModel):
    name: str
    age: int


@checks(
    json_schema=("demo-json", "json_schema"),
    native_function=("demo-tools", "function_calling"),
    xml_function=("demo-xml-tools", "function_calling"),
)
def with_structured_output(row):
    bot, method = row
    structured = chat(bot).with_structured_output(Person, method=method)
    same(structured.invoke("name=Ada age=36"), Person(name="Ada", age=36))


@check
def completions():
    llm = OpenAI(model="demo-echo", base_url=URL, api_key="demo", max_retries=0, timeout=30)
    same(llm.invoke("Once upon"), "Once upon")
    same([row[0].text for row in llm.generate(["a", "b"]).generations], ["a", "b"])
    same("".join(llm.stream("Once upon a time")), "Once upon a time")


run()

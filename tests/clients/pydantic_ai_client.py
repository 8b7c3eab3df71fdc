"""pydantic-ai: text, stream, tools, objects by tool and by schema."""

from checks import URL, check, checks, run, same
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


def model(bot):
    return OpenAIChatModel(bot, provider=OpenAIProvider(base_url=URL, api_key="demo"))


class Person(BaseModel):
    name: str
    age: int


@check
def text():
    same(Agent(model("demo-echo"), retries=0).run_sync("hi").output, "hi")


@check
async def stream():
    pieces = []
    async with Agent(model("demo-story"), retries=0).run_stream("a story") as result:
        async for piece in result.stream_text(delta=True, debounce_by=None):
            pieces.append(piece)
    assert len(pieces) > 100 and "".join(pieces).endswith("it did.\n"), pieces[-3:]


@checks(native="demo-tools", xml="demo-xml-tools")
def tools(bot):
    agent, calls = Agent(model(bot), retries=0), []

    @agent.tool_plain
    def weather(city: str, days: int) -> str:
        """Weather of a city"""
        calls.append((city, days))
        return "sunny"

    same(agent.run_sync('the weather for city="New York" days=3').output, "weather says: sunny")
    same(calls, [("New York", 3)])


@checks(native="demo-tools", xml="demo-xml-tools")
def object_by_tool(bot):
    same(Agent(model(bot), output_type=Person, retries=0).run_sync("name=Ada age=36").output, Person(name="Ada", age=36))


@check
def object_by_schema():
    agent = Agent(model("demo-json"), output_type=NativeOutput(Person), retries=0)
    same(agent.run_sync("name=Ada age=36").output, Person(name="Ada", age=36))


run()

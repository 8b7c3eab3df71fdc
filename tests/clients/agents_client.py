"""The Agents SDK on Responses, its default: a loop with tools, streamed and whole, structured output, a conversation by id."""

import agents
import openai
from agents import Agent, ModelSettings, OpenAIResponsesModel, Runner, function_tool
from checks import URL, check, checks, run, same
from pydantic import BaseModel

agents.set_tracing_disabled(True)
BOTS = {"native": "demo-tools", "xml": "demo-xml-tools"}
CALLS = []


@function_tool
def weather(city: str, days: int) -> str:
    """Weather of a city"""
    CALLS.append((city, days))
    return "sunny"


def agent(bot, client, **more):
    return Agent(name="helper", instructions="be brief", model=OpenAIResponsesModel(bot, client), **more)


def client():
    return openai.AsyncOpenAI(base_url=URL, api_key="demo", max_retries=0)


ASK = 'the weather for city="New York" days=3'


@checks(**BOTS)
async def loop(bot):
    CALLS.clear()
    async with client() as one:
        result = await Runner.run(agent(bot, one, tools=[weather]), ASK)
    same((result.final_output, CALLS), ("weather says: sunny", [("New York", 3)]))


@checks(**BOTS)
async def loop_streamed(bot):
    CALLS.clear()
    async with client() as one:
        result = Runner.run_streamed(agent(bot, one, tools=[weather]), ASK)
        kinds = [event.name async for event in result.stream_events() if event.type == "run_item_stream_event"]
    same((result.final_output, CALLS), ("weather says: sunny", [("New York", 3)]))
    same([kind for kind in kinds if kind.startswith("tool")], ["tool_called", "tool_output"])


@check
async def conversation_by_id():
    async with client() as one:
        first = await Runner.run(agent("demo-query", one), "one")
        second = await Runner.run(agent("demo-query", one), "two", previous_response_id=first.last_response_id)
    assert '"one"' in second.final_output and '"two"' in second.final_output, second.final_output


@check
async def conversation_by_items():
    async with client() as one:
        first = await Runner.run(agent("demo-think", one, model_settings=ModelSettings(store=False)), "one")
        items = first.to_input_list() + [{"role": "user", "content": "two"}]
        second = await Runner.run(agent("demo-query", one), items)
    assert '"one"' in second.final_output and '"two"' in second.final_output, second.final_output


class Person(BaseModel):
    name: str
    age: int


@check
async def output_type():
    async with client() as one:
        result = await Runner.run(agent("demo-json", one, output_type=Person), "name=Ada age=36")
    same(result.final_output, Person(name="Ada", age=36))


@check
async def handoff():
    """A handoff to another agent is a call of a function without arguments."""
    async with client() as one:
        expert = Agent(name="expert", model=OpenAIResponsesModel("demo-echo", one))
        result = await Runner.run(agent("demo-tools", one, handoffs=[expert]), "ask the expert")
    same(result.last_agent.name, "expert")


run()

"""instructor: objects by JSON and by tools."""

import instructor
import openai
from checks import URL, checks, run, same
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    age: int


MODES = {
    "json": ("demo-json", instructor.Mode.JSON),
    "json_schema": ("demo-json", instructor.Mode.JSON_SCHEMA),
    "md_json": ("demo-json", instructor.Mode.MD_JSON),
    "tools_native": ("demo-tools", instructor.Mode.TOOLS),
    "tools_xml": ("demo-xml-tools", instructor.Mode.TOOLS),
}


@checks(**MODES)
def create(row):
    bot, mode = row
    client = instructor.from_openai(openai.OpenAI(base_url=URL, api_key="demo", max_retries=0), mode=mode)
    person = client.chat.completions.create(
        model=bot, response_model=Person, max_retries=0, messages=[{"role": "user", "content": "name=Ada age=36"}]
    )
    # its class is made from ours, and is not ours
    same(person.model_dump(), {"name": "Ada", "age": 36})


run()

"""The command line tool `llm`, set up by a file as its manual says."""

import json
import os
import subprocess
import sys
from pathlib import Path

from checks import URL, checks, check, run, same

HOME = Path.cwd() / "llm"
HOME.mkdir()
MODELS = "".join(
    f"- model_id: {bot}\n  model_name: {bot}\n  api_base: {URL}\n  api_key_name: demo\n  supports_tools: true\n  supports_schema: true\n"
    for bot in ("demo-echo", "demo-story", "demo-tools", "demo-xml-tools", "demo-json", "demo-error-http-402")
)
(HOME / "extra-openai-models.yaml").write_text(MODELS)
(HOME / "tools.py").write_text(
    'def weather(city: str, days: int) -> str:\n    "Weather of a city"\n    return f"sunny in {city} for {days} days"\n'
)


def llm(*arguments):
    return subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "llm"), *arguments, "--key", "demo"],
        env=os.environ | {"LLM_USER_PATH": str(HOME)}, capture_output=True, text=True, timeout=50, stdin=subprocess.DEVNULL,
    )


def answer(*arguments):
    done = llm(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@check
def whole():
    same(answer("-m", "demo-echo", "--no-stream", "hi"), "hi\n")


@check
def stream():
    assert answer("-m", "demo-story", "a story").strip().endswith("it did.")


@check
def error():
    done = llm("-m", "demo-error-http-402", "hi")
    assert done.returncode != 0 and "points" in done.stderr, done


@checks(native="demo-tools", xml="demo-xml-tools")
def tools(bot):
    words = answer("-m", bot, "--functions", str(HOME / "tools.py"), 'the weather for city="New York" days=3')
    assert "sunny in New York for 3 days" in words, words


@check
def schema():
    words = answer("-m", "demo-json", "--no-stream", "--schema", "name, age int", "name=Ada age=36")
    same(json.loads(words), {"name": "Ada", "age": 36})


run()

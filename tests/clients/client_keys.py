"""Client keys: two keys with limits of their own through openai-python and Claude Code, made by `poe2openai keys`."""

import os
import re
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import checks as all_checks
import openai
from checks import check, raises, run, same

SERVER = os.environ["SERVER"]
CLAUDE = Path(os.environ["NODE_MODULES"]) / "@anthropic-ai/claude-code-linux-x64/claude"
PLACE = Path(tempfile.mkdtemp(dir=os.getcwd()))
CLEAN = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def keys(*words):
    done = subprocess.run(
        [SERVER, "keys", *words, "--config-dir", PLACE], env=CLEAN, text=True, timeout=30, check=True, stdout=subprocess.PIPE
    )
    return done.stdout.strip()


def start():
    command = [SERVER, "--demo", "--host", "127.0.0.1", "--port", "0", "--rate-limit-ms", "0", "--config-dir", PLACE]
    process = subprocess.Popen(command, env=CLEAN, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in process.stdout:
        found = re.search(r"listens on (http://\S+)", line)
        if found:
            return process, found.group(1)
    raise SystemExit("the server did not start")


SMALL = keys("add", "small", "--models", "demo-echo,demo-a*", "--daily-points", "6")
LARGE = keys("add", "large", "--models", "demo-*")
process, URL = start()


def client(key):
    return openai.OpenAI(base_url=URL + "/v1", api_key=key, max_retries=0, timeout=30)


def ask(key, bot="demo-echo", words="hi", **more):
    return client(key).chat.completions.create(model=bot, messages=[{"role": "user", "content": words}], **more)


def claude(key, bot):
    place, home = (Path(tempfile.mkdtemp(dir=os.getcwd())) for _ in range(2))
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home), "PWD": str(place), "IS_SANDBOX": "1",
        "ANTHROPIC_BASE_URL": URL, "ANTHROPIC_AUTH_TOKEN": key, "ANTHROPIC_MODEL": bot,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": "demo-echo", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1", "DISABLE_AUTOUPDATER": "1",
    } | {name: os.environ[name] for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")}
    task = 'create note.txt with content "It works" and then read it'
    done = subprocess.run(
        [CLAUDE, "-p", task, "--dangerously-skip-permissions"], cwd=place, env=environment, text=True, timeout=110,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    print(done.stdout[-3000:])
    return done.stdout, place


@check
def only_known_keys():
    with raises(openai.AuthenticationError):
        ask("sk-p2o-wrong")
    with raises(openai.AuthenticationError):
        client("other").models.list()
    same(ask(LARGE).choices[0].message.content, "hi")


@check
def allowed_models():
    names = {model.id for model in client(SMALL).models.list()}
    assert names and all(name == "demo-echo" or name.startswith("demo-a") for name in names), names
    assert len({model.id for model in client(LARGE).models.list()}) > len(names)
    with raises(openai.PermissionDeniedError, param="model"):
        ask(SMALL, "demo-gpt")
    with raises(openai.PermissionDeniedError):
        ask(SMALL, "demo-gpt", stream=True)
    with raises(openai.PermissionDeniedError):
        client(SMALL).responses.create(model="demo-gpt", input="hi")
    with raises(openai.NotFoundError):
        client(SMALL).models.retrieve("demo-gpt")


@check
def claude_code_with_a_key():
    _, place = claude(LARGE, "demo-agent")
    same((place / "note.txt").read_text().strip(), "It works")


@check
def a_budget_ends_under_parallel_requests():
    def one(_):
        try:
            ask(SMALL)
            return 200
        except openai.APIStatusError as error:
            return error.status_code

    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(one, range(50)))
    assert statuses.count(200) > 0 and set(statuses) <= {200, 402}, statuses
    with raises(openai.APIStatusError, status_code=402, code="insufficient_quota"):
        ask(SMALL)
    same(ask(LARGE).choices[0].message.content, "hi")


@check
def claude_code_shows_the_budget():
    said, _ = claude(SMALL, "demo-agent")
    assert "6 points a day" in said, said


@check
def a_deleted_key_is_cut_off():
    stream = ask(LARGE, "demo-stall-late", stream=True)
    next(iter(stream))
    keys("delete", "large")
    start = time.monotonic()
    with raises(openai.APIError):
        list(stream)
    assert time.monotonic() - start < 10
    with raises(openai.AuthenticationError):
        ask(LARGE)


all_checks.SECONDS = 120
try:
    run()
finally:
    process.terminate()
    process.wait(30)

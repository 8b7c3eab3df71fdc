"""The ready settings of the admin page and of docs/clients.md, as they are: programs that can run here run with them, files of the others are read."""

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import yaml

import checks as all_checks
from checks import URL, check, run, same
from ready_texts import CLIENTS, text

BOT = "demo-echo"
MODULES = Path(os.environ["NODE_MODULES"])


def finished(command, place=None, **more):
    """Standard output of a command that ends well, in a directory of its own."""
    place = place or Path(tempfile.mkdtemp(dir=os.getcwd()))
    home = Path(tempfile.mkdtemp(dir=os.getcwd()))
    environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"} | {"HOME": str(home), "PWD": str(place)} | more
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL)
    print(done.stdout[-3000:], done.stderr[-3000:])
    assert done.returncode == 0, (done.returncode, done.stderr[-300:])
    return done.stdout


def shell(client, functions="", **more):
    return finished(["bash", "-e", "-c", f"{functions}\n{text(client, BOT)}"], **more)


@check
def curl():
    same(json.loads(shell("curl"))["choices"][0]["message"]["content"], "Hello")


@check
def python():
    same(finished([sys.executable, "-c", text("python", BOT)]), "Hello\n")


@check
def langchain():
    same(finished([sys.executable, "-c", text("langchain", BOT)]), "Hello\n")


@check
def node():
    place = Path(tempfile.mkdtemp(dir=os.getcwd()))
    os.symlink(MODULES, place / "node_modules")
    (place / "hello.mjs").write_text(text("node", BOT))
    same(finished(["node", "hello.mjs"], place), "Hello\n")


@check
def llm():
    place = tempfile.mkdtemp(dir=os.getcwd())
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    same(shell("llm", PATH=path, LLM_USER_PATH=place).splitlines()[-1], "Hello")


@check
def claude_code():
    program = MODULES / "@anthropic-ai/claude-code-linux-x64/claude"
    function = f"claude() {{ '{program}' -p 'a word of mine' --dangerously-skip-permissions; }}"
    said = shell("claude", function, IS_SANDBOX="1", CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1", DISABLE_TELEMETRY="1", DISABLE_AUTOUPDATER="1")
    assert "a word of mine" in said, said


@check
def codex():
    vendor = MODULES / "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl"
    home = Path(tempfile.mkdtemp(dir=os.getcwd()))
    (home / "config.toml").write_text(text("codex", BOT))
    last = home / "last.txt"
    command = [vendor / "bin/codex", "exec", "--skip-git-repo-check", "-c", "check_for_update_on_startup=false", "-c", "analytics.enabled=false",
               "--output-last-message", last, "a word of mine"]
    path = f"{vendor / 'codex-path'}:{os.environ['PATH']}"
    finished(command, CODEX_HOME=str(home), PATH=path, **{CLIENTS["codex"]["variable"]: "demo"})
    assert "a word of mine" in last.read_text(), last.read_text()


@check
def opencode():
    place = Path(tempfile.mkdtemp(dir=os.getcwd()))
    subprocess.run(["git", "init", "-q", place], check=True)
    (place / "opencode.json").write_text(text("opencode", BOT))
    off = {f"OPENCODE_DISABLE_{what}": "1" for what in ("MODELS_FETCH", "AUTOUPDATE", "LSP_DOWNLOAD", "DEFAULT_PLUGINS")}
    said = finished([MODULES / "opencode-linux-x64-baseline/bin/opencode", "run", "mine"], place, OPENCODE_CONFIG=str(place / "opencode.json"), **off)
    assert "mine" in said, said


@check
def files_can_be_read():
    model = yaml.safe_load(text("continue", BOT))["models"][0]
    same((model["apiBase"], model["model"], model["apiKey"]), (URL, BOT, "demo"))
    zed = json.loads(text("zed", BOT))["language_models"]["openai_compatible"]["Poe"]
    same((zed["api_url"], zed["available_models"][0]["name"]), (URL, BOT))
    same(tomllib.loads(text("codex", BOT))["model_providers"]["poe"]["base_url"], URL)


all_checks.SECONDS = 120
run()

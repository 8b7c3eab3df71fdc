"""Codex, which supports Responses only: it writes a file and reads it back, with native tools and with XML."""

import os
import subprocess
import tempfile
import threading
import urllib.request
from pathlib import Path

import checks as all_checks
from checks import URL, check, checks, run, same

VENDOR = Path(os.environ["NODE_MODULES"]) / "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl"
TASK = 'create note.txt with content "It works" and then read it'

CONFIG = """
model = "{bot}"
model_provider = "poe"
check_for_update_on_startup = false

[model_providers.poe]
name = "Poe"
base_url = "{url}"
env_key = "OPENAI_API_KEY"
wire_api = "responses"

[analytics]
enabled = false
"""


def start(bot, task, url=URL):
    """One run: exit status and output, the file of its last message, and its working directory."""
    place = Path(tempfile.mkdtemp(dir=os.getcwd()))
    home, work = place / "home", place / "work"
    home.mkdir()
    work.mkdir()
    (home / "config.toml").write_text(CONFIG.format(bot=bot, url=url))
    environment = os.environ | {
        "HOME": str(home),
        "CODEX_HOME": str(home),
        "PATH": f"{VENDOR / 'codex-path'}:{os.environ['PATH']}",
        "RUST_LOG": "codex_core=info,codex_api=info",
    }
    last = place / "last.txt"
    command = [
        VENDOR / "bin/codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox",
        "--output-last-message", last, task,
    ]
    done = subprocess.run(
        command, cwd=work, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        stdin=subprocess.DEVNULL, timeout=110,
    )
    print(done.stdout[-6000:])
    return done, last, work


def codex(bot, task, url=URL):
    """The last message of a successful run, and its working directory."""
    done, last, work = start(bot, task, url)
    same(done.returncode, 0)
    for complaint in ("stream disconnected", "Reconnecting", "unsupported call"):
        assert complaint not in done.stdout, complaint
    return last.read_text(), work


@checks(native="demo-agent", xml="demo-agent-xml", private="demo-private-agent")
def create(bot):
    words, work = codex(bot, TASK)
    same((work / "note.txt").read_text().strip(), "It works")
    assert "It reads" in words and "It works" in words, words


@check
def patch():
    """A model that Codex knows gets `apply_patch`, a tool that takes plain text."""
    place = Path(tempfile.mkdtemp(dir=os.getcwd()))
    (place / "models.yaml").write_text("enable: true\nmodels:\n  demo-agent:\n    mapping: gpt-5.5\n")
    command = [
        os.environ["SERVER"], "--demo", "--host", "127.0.0.1", "--port", "0", "--rate-limit-ms", "0",
        "--config-dir", place,
    ]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url = next(line.split("listens on ")[1].strip() for line in server.stdout if "listens on " in line)
        threading.Thread(target=server.stdout.read, daemon=True).start()
        words, work = codex("gpt-5.5", TASK, url + "/v1")
    finally:
        server.terminate()
        server.wait(30)
    same((work / "note.txt").read_text().strip(), "It works")
    assert "It reads" in words and "It works" in words, words


def asked(bot):
    """Number of requests for `bot` at this server."""
    with urllib.request.urlopen(URL.removesuffix("/v1") + "/metrics", timeout=20) as page:
        lines = page.read().decode().splitlines()
    counts = (line for line in lines if line.startswith("poe2openai_requests_total{") and f'model="{bot}"' in line)
    return sum(float(line.rsplit(" ", 1)[1]) for line in counts)


@check
def too_long():
    """Codex distinguishes a too long conversation from other errors: it reports it and does not retry."""
    bot = "demo-error-user_message_too_long"
    before = asked(bot)
    done, _, _ = start(bot, TASK)
    same(done.returncode, 1)
    assert "ran out of room in the model's context window" in done.stdout, done.stdout
    assert 1 <= asked(bot) - before <= 3, asked(bot) - before


all_checks.SECONDS = 120
run()

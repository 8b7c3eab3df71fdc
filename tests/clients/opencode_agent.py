"""opencode, a coding agent that streams and calls tools: it writes a file and reads it back, with native tools and with XML."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import checks as all_checks
from checks import URL, checks, run, same

PROGRAM = Path(os.environ["NODE_MODULES"]) / "opencode-linux-x64-baseline/bin/opencode"
TASK = 'create note.txt with content "It works" and then read it'


@checks(native="demo-agent", xml="demo-agent-xml", private="demo-private-agent")
def create(bot):
    place = Path(tempfile.mkdtemp(dir=os.getcwd()))
    subprocess.run(["git", "init", "-q", place], check=True)
    settings = {
        "model": f"poe/{bot}",
        "small_model": "poe/demo-echo",
        "enabled_providers": ["poe"],
        "autoupdate": False,
        "share": "disabled",
        "permission": {"edit": "allow", "bash": "allow", "webfetch": "deny"},
        "provider": {
            "poe": {
                "npm": "@ai-sdk/openai-compatible",
                "options": {"baseURL": URL, "apiKey": "demo"},
                "models": {bot: {"tool_call": True}, "demo-echo": {}},
            }
        },
    }
    (place / "opencode.json").write_text(json.dumps(settings))
    environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    environment |= {
        # it works where PWD says, not where it was started
        "PWD": str(place),
        "OPENCODE_CONFIG": str(place / "opencode.json"),
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    }
    # words with spaces in them would be quoted once more
    command = [PROGRAM, "run", "--print-logs", *TASK.split(" ")]
    log = place / "log.txt"
    with open(log, "w") as sink:
        done = subprocess.run(command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=sink, text=True, timeout=110, stdin=subprocess.DEVNULL)
    print(done.stdout[-3000:], log.read_text()[-3000:])
    same((place / "note.txt").read_text().strip(), "It works")
    assert "It reads" in done.stdout, done.stdout[-500:]


all_checks.SECONDS = 120
run()

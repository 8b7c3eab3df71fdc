"""opencode, a coding agent that streams and calls tools: it writes a file and reads it back, with native tools and with XML."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

from checks import URL, checks, run, same

PROGRAM = Path(os.environ["NODE_MODULES"]) / "opencode-linux-x64-baseline/bin/opencode"
TASK = 'create note.txt with content "It works" and then read it'


@checks(native="demo-agent", xml="demo-agent-xml")
def create(bot):
    place = Path(tempfile.mkdtemp(dir=os.getcwd()))
    subprocess.run(["git", "init", "-q", place], check=True)
    settings = {
        "model": f"poe/{bot}",
        "small_model": "poe/demo-echo",
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
    environment = os.environ | {"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1", "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1", "CI": "1"}
    done = subprocess.run([PROGRAM, "run", TASK], cwd=place, env=environment, capture_output=True, text=True, timeout=58, stdin=subprocess.DEVNULL)
    print(done.stdout[-3000:], done.stderr[-3000:])
    same((place / "note.txt").read_text().strip(), "It works")
    assert "It reads" in done.stdout, done.stdout[-500:]


run()

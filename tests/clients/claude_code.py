"""Claude Code: it writes a file and reads it back, with native tools and with XML, and detects a prompt that is too long."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import checks as all_checks
from checks import URL, check, checks, run, same

# npm's package is a wrapper that its install script replaces; the program itself is in the package of its platform
PROGRAM = Path(os.environ["NODE_MODULES"]) / "@anthropic-ai/claude-code-linux-x64/claude"
TASK = 'create note.txt with content "It works" and then read it'


def claude(bot, task, *more):
    """Runs one task in a directory of its own: what it printed, and where it worked."""
    place, home = (Path(tempfile.mkdtemp(dir=os.getcwd())) for _ in range(2))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home),
        "PWD": str(place),
        # allows it to run as root
        "IS_SANDBOX": "1",
        "ANTHROPIC_BASE_URL": URL.removesuffix("/v1"),
        "ANTHROPIC_AUTH_TOKEN": "demo",
        "ANTHROPIC_MODEL": bot,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": "demo-echo",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_AUTOUPDATER": "1",
    } | {name: os.environ[name] for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")}
    command = [PROGRAM, "-p", task, "--dangerously-skip-permissions", *more]
    done = subprocess.run(
        command, cwd=place, env=environment, text=True, timeout=110,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    print(done.stdout[-5000:])
    return done.stdout, place


@checks(native="demo-agent", xml="demo-agent-xml", private="demo-private-agent")
def create(bot):
    said, place = claude(bot, TASK, "--output-format", "json")
    same((place / "note.txt").read_text().strip(), "It works")
    result = json.loads(said[said.index("{"):])
    same((result["is_error"], result["num_turns"]), (False, 3))
    assert "It reads" in result["result"], result
    assert result["usage"]["input_tokens"] > 1000 and result["usage"]["output_tokens"] > 0, result["usage"]


@check
def a_prompt_that_is_too_long():
    said, _ = claude("demo-error-user_message_too_long", TASK)
    assert "Prompt is too long" in said, said


all_checks.SECONDS = 120
run()

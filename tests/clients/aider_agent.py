"""aider writes a file: an agent that edits by markers in the text, streamed and non-streamed. It runs in a separate environment."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from checks import URL, check, checks, run, same
from ready_texts import text

WAYS = {
    "diff_stream": ("diff", "--stream", "demo-agent"),
    "diff_whole": ("diff", "--no-stream", "demo-agent"),
    "file_stream": ("whole", "--stream", "demo-agent-xml"),
}


@checks(**WAYS)
def create(row):
    form, stream, bot = row
    place = Path(tempfile.mkdtemp(dir=os.getcwd()))
    subprocess.run(["git", "init", "-q", place], check=True)
    command = [
        sys.executable, "-m", "aider", "--model", f"openai/{bot}", "--edit-format", form, stream, "--yes-always", "--no-auto-commits",
        "--no-gitignore", "--no-show-model-warnings", "--no-check-update", "--no-analytics", "--no-pretty", "--map-tokens", "0",
        "--no-show-release-notes", "--no-detect-urls", "--no-suggest-shell-commands", "--message", 'create note.txt with content "It works"', "note.txt",
    ]
    environment = os.environ | {
        "OPENAI_API_BASE": URL, "OPENAI_API_KEY": "demo", "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=55, stdin=subprocess.DEVNULL)
    print(done.stdout, done.stderr)
    same((place / "note.txt").read_text().strip(), "It works")


@check
def ready_settings():
    """As the admin page and docs/clients.md show it."""
    place = Path(tempfile.mkdtemp(dir=os.getcwd()))
    subprocess.run(["git", "init", "-q", place], check=True)
    flags = "--yes-always --no-auto-commits --no-gitignore --no-show-model-warnings --no-check-update --no-analytics --no-pretty --map-tokens 0 --no-show-release-notes"
    function = f"aider() {{ '{sys.executable}' -m aider \"$@\" {flags} --no-stream --message 'a word of mine'; }}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")} | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    done = subprocess.run(["bash", "-c", f"{function}\n{text('aider', 'demo-echo')}"], cwd=place, env=environment, capture_output=True, text=True, timeout=55, stdin=subprocess.DEVNULL)
    print(done.stdout, done.stderr)
    assert "a word of mine" in done.stdout, done.stdout[-500:]


run()

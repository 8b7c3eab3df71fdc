"""aider writes a file: an agent that edits by markers in the text, streamed and non-streamed. It runs in a separate environment."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from checks import URL, checks, run, same

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


run()

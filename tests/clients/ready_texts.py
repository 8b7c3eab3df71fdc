"""The settings that the admin page and docs/clients.md show for a program, filled in for the server of these checks."""

import json
import re
import shlex
from pathlib import Path

from checks import URL

CLIENTS = {client["id"]: client for client in json.loads((Path(__file__).resolve().parents[2] / "assets/clients.json").read_text())}
QUOTES = {"json": json.dumps, "sh": shlex.quote, None: str}


def text(client, model, key="demo"):
    values = {
        "origin": URL.removesuffix("/v1"), "base": URL, "docker": URL.removesuffix("/v1"), "key": key, "model": model, "openai": f"openai/{model}",
        "prefixed": f"poe/{model}", "context": "200000", "output": "64000", "images": "on",
        "body": json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}]}),
    }
    return re.sub(r"\{\{(\w+)(?::(json|sh))?\}\}", lambda place: QUOTES[place[2]](values[place[1]]), "\n".join(CLIENTS[client]["text"]))

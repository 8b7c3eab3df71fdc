#!/usr/bin/env python3
"""Runs the client checks against `poe2openai --demo` and prints one line for each.

    run.py SERVER PYTHON AIDER AGENTS NODE_MODULES [GROUP…]

SERVER is the program to try, PYTHON, AIDER and AGENTS are virtual environments, NODE_MODULES is what `npm ci` made. A group is the
name of a script in this directory without its suffix; without any, all run. A check that stands in pending.txt has to fail;
any other has to pass.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent

# group, seconds that it may take
GROUPS = {
    "openai_python": 120,
    "client_keys": 300,
    "openai_node": 120,
    "small_python": 120,
    "small_node": 120,
    "ollama_client": 120,
    "anthropic_python": 120,
    "anthropic_node": 120,
    "responses_python": 120,
    "responses_node": 120,
    "agents_client": 120,
    "poe_peer": 120,
    "langchain_client": 120,
    "litellm_client": 120,
    "vercel_ai": 120,
    "instructor_client": 120,
    "pydantic_ai_client": 120,
    "llm_client": 120,
    "metrics": 120,
    "ready_settings": 400,
    "aider_agent": 240,
    "opencode_agent": 250,
    "codex_agent": 250,
    "claude_code": 250,
}


class Server:
    """A running server; its log goes to a file."""

    def __init__(self, program, arguments, environment, log):
        self.log = open(log, "wb")
        command = [program, "--host", "127.0.0.1", "--port", "0", "--rate-limit-ms", "0", *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, cwd=log.parent
        )
        self.url = None
        self.ready = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        if not self.ready.wait(20) or self.url is None:
            self.stop()
            raise SystemExit(f"the server did not start:\n{log.read_text(errors='replace')}")

    def _read(self):
        for line in self.process.stdout:
            self.log.write(line)
            self.log.flush()
            found = re.search(rb"listens on (http://\S+)", line)
            if found and not self.url:
                self.url = found.group(1).decode()
                self.ready.set()
        self.ready.set()

    def stop(self):
        self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def pending():
    lines = (line.split("#")[0].strip() for line in (HERE / "pending.txt").read_text().splitlines())
    return [line for line in lines if line]


def interpreter(group, environments, scratch):
    """The command that runs a group."""
    script = next(path for path in (HERE / f"{group}.py", HERE / f"{group}.mjs") if path.exists())
    if script.suffix == ".py":
        environment = environments.get(group.split("_")[0], environments["python"])
        return [str(environment / "bin/python"), str(script)]
    # modules are looked up beside the script, so it runs from where npm put them
    for file in HERE.glob("*.mjs"):
        shutil.copy(file, scratch)
    return ["node", str(scratch / script.name)]


def run_group(command, environment, seconds, log, cwd):
    """The lines `ok NAME` and `not ok NAME: reason` that a group printed, and how it ended."""
    with open(log, "wb") as sink:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=sink, stdin=subprocess.DEVNULL, env=environment,
            cwd=cwd, start_new_session=True,
        )
        try:
            printed, _ = process.communicate(timeout=seconds)
            end = "" if process.returncode == 0 else f"exit code {process.returncode}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            printed, _ = process.communicate()
            end = f"not done after {seconds} s"
    return printed.decode(errors="replace").splitlines(), end


def main():
    program, python, aider, agents, modules = (Path(argument).absolute() for argument in sys.argv[1:6])
    environments = {"python": python, "aider": aider, "agents": agents}
    groups = sys.argv[6:] or list(GROUPS)
    expected = pending()
    passed, late, early, wrong = [], [], [], []
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    scratch = Path(tempfile.mkdtemp(prefix="poe2openai-clients-"))
    os.symlink(modules, scratch / "node_modules")
    (scratch / "home").mkdir()
    server = None
    try:
        server = Server(str(program), ["--demo"], clean, scratch / "server.log")
        environment = clean | {
            "BASE_URL": server.url + "/v1",
            "SERVER": str(program),
            "NODE_MODULES": str(modules),
            "HOME": str(scratch / "home"),
            "OPENAI_API_KEY": "demo",
            # requests of a client to other hosts end at a closed port
            "HTTP_PROXY": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1,localhost",
        }
        for group in groups:
            began = time.monotonic()
            log = scratch / f"{group}.log"
            place = scratch / f"{group}.work"
            place.mkdir()
            command = interpreter(group, environments, scratch)
            lines, end = run_group(command, environment, GROUPS[group], log, place)
            outcomes = []
            for line in lines:
                found = re.fullmatch(r"(ok|not ok) ([\w./-]+)(?:: (.*))?", line)
                if found:
                    outcomes.append((found[1] == "ok", f"{group}/{found[2]}", found[3] or ""))
            if end or not outcomes:
                outcomes.append((False, f"{group}/runs", end or "no check was run"))
            for good, name, reason in outcomes:
                if name in expected:
                    (late if not good else early).append(name)
                    print(f"  {'PASSES, though pending' if good else 'pending'}  {name}  {reason[:160]}")
                else:
                    (passed if good else wrong).append(name)
                    if not good:
                        print(f"  FAIL  {name}  {reason[:600]}")
            seen = {name for _, name, _ in outcomes}
            gone = [name for name in expected if name.startswith(group + "/") and name not in seen]
            for name in gone:
                wrong.append(name)
                print(f"  FAIL  {name}  pending.txt names it, but it was not run")
            if any(not good and name not in expected for good, name, _ in outcomes):
                print("    --- last lines of its log")
                for line in log.read_text(errors="replace").splitlines()[-25:]:
                    print("    " + line[:300])
            fine = sum(good for good, name, _ in outcomes if name not in expected)
            print(f"  {group}: {fine} of {len(outcomes)} passed, {time.monotonic() - began:.1f} s", flush=True)
        code = server.stop()
        if code != 0:
            wrong.append("server/exit")
            print(f"  FAIL  the server ended with code {code}")
        faults = [line for line in (scratch / "server.log").read_text(errors="replace").splitlines() if "a fault in" in line]
        for line in faults:
            wrong.append("server/fault")
            print("  FAIL  " + line[:300])
    finally:
        if server:
            server.stop()
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"clients: {len(passed)} passed, {len(late)} pending, {len(wrong)} failed, {len(early)} pass though pending")
    if early:
        print("take these out of tests/clients/pending.txt: " + " ".join(early))
    sys.exit(1 if wrong or early else 0)


if __name__ == "__main__":
    main()

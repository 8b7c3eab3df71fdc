#!/usr/bin/env python3
"""Three replicas behind HAProxy (deploy/haproxy.cfg) that share their state through Redis, with openai-python as client.

    replicas.py SERVER PYTHON [REDIS_SERVER]

SERVER is the program, PYTHON a virtual environment with the package openai. Prints one line for each check and the figures.
"""

import base64
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

SERVER, PYTHON = sys.argv[1], sys.argv[2]
REDIS = sys.argv[3] if len(sys.argv) > 3 else "redis-server"
if Path(sys.prefix).resolve() != Path(PYTHON).resolve():
    os.execv(f"{PYTHON}/bin/python", [f"{PYTHON}/bin/python", *sys.argv])

import openai  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
KEY = "sk-key-of-a-client"
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
processes = []


def start(command, **more):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **more)
    processes.append(process)
    return process


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return answer.read().decode()


def eventually(what, look, seconds=30):
    end = time.monotonic() + seconds
    while True:
        try:
            found = look()
        except OSError:
            found = None
        if found:
            return found
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


class Redis:
    def __init__(self):
        self.port = free_port()
        self.start()

    def start(self):
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = start([REDIS, *arguments], stdout=subprocess.DEVNULL)
        eventually("Redis listens", lambda: socket.create_connection(("127.0.0.1", self.port)))

    def kill(self):
        self.process.kill()
        self.process.wait()


class Replica:
    def __init__(self, redis, arguments):
        self.port, self.arguments = free_port(), list(arguments)
        if redis:
            self.arguments += ["--redis-url", f"redis://127.0.0.1:{redis.port}"]
        self.home = tempfile.TemporaryDirectory()
        self.start()

    def start(self):
        command = [SERVER, "--demo", "--host", "127.0.0.1", "--port", str(self.port), "--config-dir", self.home.name]
        self.process = start([*command, "--log-level", "error", *self.arguments], stdout=subprocess.DEVNULL)
        eventually("the replica is ready", lambda: get(self.port, "/ready"))

    def metric(self, name):
        lines = get(self.port, "/metrics").splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{name}[ {{]", line))

    def cpu(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        assert self.process.wait(60) == 0

    def kill(self):
        self.process.kill()
        self.process.wait()


class Cluster:
    """Three replicas behind HAProxy."""

    def __init__(self, redis, *arguments):
        self.replicas = [Replica(redis, arguments) for _ in range(3)]
        self.port = free_port()
        environment = {**os.environ, "BIND": f"127.0.0.1:{self.port}"}
        for number, replica in enumerate(self.replicas, 1):
            environment[f"REPLICA_{number}"] = f"127.0.0.1:{replica.port}"
        config = str(ROOT / "deploy/haproxy.cfg")
        self.proxy = start(["haproxy", "-db", "-f", config], env=environment, stdout=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{self.port}/v1"
        eventually("HAProxy answers", lambda: get(self.port, "/ready"))

    def client(self):
        return openai.OpenAI(base_url=self.url, api_key=KEY, max_retries=0, timeout=30)

    def end(self):
        for process in [self.proxy, *(replica.process for replica in self.replicas)]:
            process.kill()
            process.wait()


def chat(client, words="hello", **more):
    return client.chat.completions.create(model="demo-echo", messages=[{"role": "user", "content": words}], **more)


class Load:
    """Clients that send one request after the other until the load is left."""

    def __init__(self, cluster, threads=6):
        self.cluster, self.times, self.faults, self.goes = cluster, [], [], True
        self.threads = [threading.Thread(target=self.run) for _ in range(threads)]

    def run(self):
        with self.cluster.client() as client:
            for number in itertools.count():
                if not self.goes:
                    return
                began = time.monotonic()
                try:
                    chat(client, f"{number}")
                    client.responses.create(model="demo-echo", input=f"{number}")
                except openai.OpenAIError as error:
                    self.faults.append(repr(error))
                self.times.append(time.monotonic() - began)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.goes = False
        for thread in self.threads:
            thread.join()

    def slowest(self):
        """The slowest request since the last call."""
        times, self.times = self.times, []
        return max(times, default=0.0)


def limit():
    """RATE_LIMIT_MS holds over all replicas."""
    redis, interval, requests = Redis(), 0.05, 60
    cluster = Cluster(redis, "--rate-limit-ms", "50", "--rate-limit-max-wait-ms", "60000")
    began = time.monotonic()
    threads = []
    for _ in range(12):
        def work():
            with cluster.client() as client:
                for _ in range(requests // 12):
                    chat(client)
        threads.append(threading.Thread(target=work))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    shares = [replica.metric("poe2openai_requests_total") for replica in cluster.replicas]
    cluster.end()
    redis.kill()
    assert took >= (requests - 1) * interval, took
    assert min(shares) > 0, shares
    return f"{requests} requests at one each {interval * 1000:.0f} ms: {took:.2f} s, at least {(requests - 1) * interval:.2f} s"


def uploads(cluster):
    """The upload of one replica is a hit on the others."""
    url = "data:image/png;base64," + base64.b64encode(PICTURE).decode()
    content = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": url}}]
    for replica in cluster.replicas:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{replica.port}/v1", api_key=KEY, max_retries=0)
        client.chat.completions.create(model="demo-echo", messages=[{"role": "user", "content": content}])
    counts = {name: [replica.metric(f"poe2openai_upload_cache_{name}_total") for replica in cluster.replicas] for name in ("hits", "misses")}
    assert counts == {"hits": [0, 1, 1], "misses": [1, 0, 0]}, counts
    return f"hits and misses by replica: {counts}"


def conversation(cluster):
    """previous_response_id goes from replica to replica."""
    before = [replica.metric("poe2openai_requests_total") for replica in cluster.replicas]
    previous = None
    for turn in range(9):
        with cluster.client() as client:
            answer = client.responses.create(model="demo-echo", input=f"turn {turn}", previous_response_id=previous or openai.omit)
            previous = answer.id
    with cluster.client() as client:
        assert len(list(client.responses.input_items.list(previous, limit=100))) == 17
        assert client.responses.retrieve(previous).id == previous
        client.responses.delete(previous)
    for _ in range(3):
        with cluster.client() as client:
            try:
                client.responses.retrieve(previous)
                raise AssertionError("it was deleted")
            except openai.NotFoundError:
                pass
    served = [replica.metric("poe2openai_requests_total") - count for replica, count in zip(cluster.replicas, before)]
    assert min(served) >= 3, served
    return f"9 turns, requests by replica: {served}"


def killed(cluster):
    """A replica that is killed loses its own streams and no others."""
    clients = [cluster.client() for _ in range(9)]
    streams = [client.chat.completions.create(model="demo-story", messages=[{"role": "user", "content": "x"}], stream=True) for client in clients]
    for stream in streams:
        next(iter(stream))
    lost = int(cluster.replicas[0].metric("poe2openai_running"))
    cluster.replicas[0].kill()
    outcomes = []
    for stream in streams:
        try:
            last = [chunk for chunk in stream][-1]
            outcomes.append(last.choices[0].finish_reason == "stop")
        except Exception:  # noqa: BLE001: the kind of error is the client's matter
            outcomes.append(False)
    assert 0 < lost < 9 and outcomes.count(False) == lost, (lost, outcomes)
    for _ in range(9):
        with cluster.client() as client:
            chat(client)
    cluster.replicas[0].start()
    return f"{lost} of 9 streams were on it and ended, {9 - lost} were finished"


def rolling(cluster):
    """All replicas are restarted, one after the other, and no request is lost."""
    with Load(cluster) as load:
        for replica in cluster.replicas:
            time.sleep(1)
            replica.stop()
            replica.start()
            eventually("HAProxy has it again", lambda: replica.metric("poe2openai_requests_total") > 0)
    assert not load.faults, load.faults
    return f"{len(load.times)} requests"


def fault(cluster, during, after):
    with Load(cluster) as load:
        time.sleep(3)
        usual = load.slowest()
        during()
        time.sleep(3)
        then = load.slowest()
        after()
        healthy = lambda: all('"redis":"ok"' in get(replica.port, "/ready") for replica in cluster.replicas)  # noqa: E731
        eventually("state is shared again", healthy)
        time.sleep(1)
        back = load.slowest()
    assert not load.faults, load.faults
    worst = max(then, back)
    # two requests each
    assert worst <= usual + 2.0, (usual, then, back)
    return f"slowest pair of requests {worst:.3f} s, {usual:.3f} s before"


def cost():
    """CPU time of a request with Redis beside without, in turn."""
    redis = Redis()
    body = json.dumps({"model": "demo-echo", "messages": [{"role": "user", "content": "hi"}]})
    response = json.dumps({"model": "demo-echo", "input": "hi"})
    import http.client

    rows = []
    for what, path, text, arguments in [
        ("chat, no limit", "/v1/chat/completions", body, ["--rate-limit-ms", "0"]),
        ("chat, limit of 1 ms, burst of 1000", "/v1/chat/completions", body, ["--rate-limit-ms", "1", "--rate-limit-burst", "1000"]),
        ("response that is stored", "/v1/responses", response, ["--rate-limit-ms", "0"]),
    ]:
        servers = [Replica(None, arguments), Replica(redis, arguments)]
        wires = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=30) for server in servers]
        spent, waited = [0.0, 0.0], [[], []]
        rounds, each = 8, 250
        for turn in range(rounds + 1):
            for number, (server, wire) in enumerate(zip(servers, wires)):
                before = server.cpu()
                for _ in range(each):
                    began = time.perf_counter()
                    wire.request("POST", path, text, {"Authorization": "Bearer demo", "Content-Type": "application/json"})
                    answer = wire.getresponse()
                    answer.read()
                    assert answer.status == 200
                    waited[number].append(time.perf_counter() - began)
                if turn:  # the first round warms up
                    spent[number] += server.cpu() - before
        cpu = [seconds / (rounds * each) * 1e6 for seconds in spent]
        medians = [sorted(times)[len(times) // 2] * 1e6 for times in waited]
        rows.append(f"| {what} | {cpu[0]:.0f} | {cpu[1]:.0f} | {medians[0]:.0f} | {medians[1]:.0f} |")
        connections = servers[1].metric("poe2openai_redis_connections")
        assert connections <= 16, connections
        for server in servers:
            server.kill()
    redis.kill()
    head = "| µs per request, embedded Poe included | CPU without | CPU with Redis | median time without | median time with |\n|---|---|---|---|---|"
    return "\n" + "\n".join([head, *rows])


def main():
    failed = 0
    redis = Redis()
    cluster = Cluster(redis, "--rate-limit-ms", "0")
    pause = lambda: redis.process.send_signal(signal.SIGSTOP)  # noqa: E731
    resume = lambda: redis.process.send_signal(signal.SIGCONT)  # noqa: E731
    checks = [
        ("limit over three replicas", limit),
        ("uploads", lambda: uploads(cluster)),
        ("conversation", lambda: conversation(cluster)),
        ("replica killed", lambda: killed(cluster)),
        ("rolling restart", lambda: rolling(cluster)),
        ("Redis paused", lambda: fault(cluster, pause, resume)),
        ("Redis killed and started again", lambda: fault(cluster, redis.kill, redis.start)),
        ("cost", cost),
    ]
    only = os.environ.get("ONLY", "")
    for name, check in checks:
        if only not in name:
            continue
        try:
            print(f"ok      {name}: {check()}", flush=True)
        except Exception as error:  # noqa: BLE001: every check reports
            failed += 1
            print(f"FAILED  {name}: {type(error).__name__}: {error}", flush=True)
    return failed


try:
    code = main()
finally:
    for process in processes:
        process.kill()
sys.exit(1 if code else 0)

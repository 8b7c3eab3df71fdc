#!/usr/bin/env bash
# The figures of docs/operations.md as a Markdown table: tests/measure.sh [PROGRAM]
# Those of the document come from the static program, which .ci/run static makes. A size above its limit is a failure; times
# have no limit, because they depend on the machine.
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 - "$(realpath "${1:-target/release/poe2openai}")" << 'END'
import atexit, http.client, json, os, re, shutil, statistics, subprocess, sys, tempfile, time

program = sys.argv[1]
BODY = json.dumps({"model": "demo-echo", "messages": [{"role": "user", "content": "hi"}]})
HEADERS = {"Authorization": "Bearer demo", "Content-Type": "application/json"}
# limits in MB for size and memory, about a quarter above the values when the limit was set
LIMITS = {"size of the program": 13.2, "memory when idle (RSS)": 7.5, "memory after 1000 answers, with the embedded Poe": 16.0}
home = tempfile.mkdtemp()
atexit.register(shutil.rmtree, home, True)


def start(*arguments):
    command = [program, "--host", "127.0.0.1", "--port", "0", "--rate-limit-ms", "0", "--config-dir", home]
    # the log is not read here, and a full pipe would block the program
    command += ["--log-level", "error", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    atexit.register(process.kill)
    port = int(re.search(r":(\d+)\s*$", process.stdout.readline())[1])
    return process, http.client.HTTPConnection("127.0.0.1", port, timeout=10)


def ask(connection):
    connection.request("POST", "/v1/chat/completions", BODY, HEADERS)
    answer = connection.getresponse()
    assert answer.status == 200 and json.load(answer)["choices"][0]["message"]["content"] == "hi"


def stop(process):
    process.terminate()
    process.stdout.close()
    assert process.wait(30) == 0


def resident(process):
    status = open(f"/proc/{process.pid}/status").read()
    return int(re.search(r"VmRSS:\s*(\d+)", status)[1]) * 1024


# idle and without Poe: the program's own memory
process, _ = start("--poe-base-url", "http://127.0.0.1:9")
time.sleep(1)
idle = resident(process)
stop(process)

times = []
for _ in range(10):
    began = time.perf_counter()
    process, connection = start("--demo")
    ask(connection)
    times.append((time.perf_counter() - began) * 1000)
    stop(process)

process, connection = start("--demo")
for _ in range(1000):
    ask(connection)
busy = resident(process)
stop(process)

sizes = {"size of the program": os.path.getsize(program), "memory when idle (RSS)": idle,
         "memory after 1000 answers, with the embedded Poe": busy}
print("| what | measured | limit |")
print("|---|---|---|")
for what, size in sizes.items():
    print(f"| {what} | {size / 1e6:.1f} MB | {LIMITS[what]} MB |")
print(f"| from start to the first answer, median of {len(times)} | {statistics.median(times):.0f} ms | |")
exceeded = [what for what, size in sizes.items() if size / 1e6 > LIMITS[what]]
sys.exit(f"above its limit: {', '.join(exceeded)}" if exceeded else 0)
END

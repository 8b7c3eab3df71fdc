"""Shared code of the Python checks: `@check` collects functions, `run()` calls them and prints a line for each."""

import asyncio
import contextlib
import inspect
import json
import os
import signal
import sys
import time
import traceback
import urllib.request

URL = os.environ["BASE_URL"]
SECONDS = 60
COLLECTED = []


def check(function):
    """Runs later, under its own name with dashes; may be async."""
    COLLECTED.append(function)
    return function


def checks(**rows):
    """The same check for several arguments: `NAME-ROW`."""

    def collect(function):
        for row, argument in rows.items():
            def one(argument=argument):
                return function(argument)

            one.__name__ = f"{function.__name__}_{row}"
            COLLECTED.append(one)
        return function

    return collect


def _give_up(*_):
    raise TimeoutError(f"not done after {SECONDS} s")


def run():
    signal.signal(signal.SIGALRM, _give_up)
    only = sys.argv[1:]
    for function in COLLECTED:
        name = function.__name__.replace("_", "-")
        if only and name not in only:
            continue
        signal.alarm(SECONDS)
        try:
            # clients may print; the lines on standard output are ours
            with contextlib.redirect_stdout(sys.stderr):
                result = function()
                if inspect.isawaitable(result):
                    asyncio.run(_wait(result))
            line = f"ok {name}"
        except BaseException as error:  # whatever it is, it is this check's outcome
            print(f"--- {name}", file=sys.stderr)
            traceback.print_exc()
            place = traceback.extract_tb(error.__traceback__)[-1]
            words = f"{type(error).__name__}: {error} ({os.path.basename(place.filename)}:{place.lineno})"
            line = f"not ok {name}: " + " ".join(words.split())
        finally:
            signal.alarm(0)
        print(line, flush=True)


async def _wait(result):
    return await result


def same(found, expected):
    assert found == expected, f"found {found!r}, expected {expected!r}"


@contextlib.contextmanager
def raises(kind, **attributes):
    """The block has to raise exactly this class, with these attributes."""
    try:
        yield
    except Exception as error:
        assert type(error) is kind, f"{type(error).__name__} ({error}) was raised, not {kind.__name__}"
        for name, value in attributes.items():
            same(getattr(error, name), value)
    else:
        raise AssertionError(f"{kind.__name__} was not raised")


class Arrivals:
    """Arrival times of the chunks of a stream."""

    def __init__(self):
        self.times = []

    def note(self):
        self.times.append(time.monotonic())

    def token_by_token(self):
        """demo-story takes 5 s: chunks must arrive one by one, not at the end."""
        assert len(self.times) > 100, f"only {len(self.times)} pieces"
        span = self.times[-1] - self.times[0]
        assert span > 2.5, f"all pieces within {span:.2f} s"
        longest = max(later - earlier for earlier, later in zip(self.times, self.times[1:]))
        assert longest < 1.5, f"a pause of {longest:.2f} s"


def post(path, body, key="demo"):
    """A plain request, for details that a client library hides."""
    data = json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(URL + path, data, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}

"""How a peer's process talks with the harness: one JSON object a line, both ways.

    {"make": SPEC}             -> {"check": [numbers that all peers must agree on]}
    {"run": TIMES, "warm": N}  -> {"seconds": of TIMES runs, after N untimed ones}
    {}                         -> {"facts": versions and threads}

A peer is a module with `MAKERS`, from a kind of work to a function that takes its
specification and returns the numbers for the check and `run(times)`, and with `facts`.
`run` returns when the work is done, not when it is queued.

Read first: `serve`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any

Run = Callable[[int], None]
Maker = Callable[[dict[str, Any]], tuple[list[float], Run]]


def serve(makers: Mapping[str, Maker], facts: Callable[[], dict[str, Any]]) -> None:
    """Answer requests until the harness hangs up."""
    # What libraries print must not be taken for answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    run: Run | None = None
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any]
        if "make" in request:
            run = None  # frees the memory of the work before
            spec = request["make"]
            check, run = makers[spec["kind"]](spec)
            answer = {"check": check}
        elif "run" in request:
            assert run is not None
            if request["warm"]:
                run(request["warm"])
            start = time.perf_counter()
            run(request["run"])
            answer = {"seconds": time.perf_counter() - start}
        else:
            answer = {"facts": facts()}
        print(json.dumps(answer), file=answers, flush=True)


def once(makers: Mapping[str, Maker], text: str, began: float, imported: float) -> None:
    """Print what the first runs of a new process cost in time and memory.

    Args:
        makers: see the module.
        text: the specification as JSON; `runs` says how many runs there are.
        began, imported: when the process was there, and when the peer was imported.
    """
    spec = json.loads(text)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    memory = {"imported": resident("VmRSS")}
    reset_peak()
    start = time.perf_counter()
    _, run = makers[spec["kind"]](spec)
    ends = [time.perf_counter()]
    for _ in range(spec["runs"]):
        run(1)
        ends.append(time.perf_counter())
    memory["first"] = resident("VmHWM")
    reset_peak()
    run(spec["runs"])
    memory["later"] = resident("VmHWM")
    answer = {
        "import": imported - began,
        "make": ends[0] - start,
        "runs": [later - earlier for earlier, later in pairwise(ends)],
        "first": ends[1] - began,
        "memory": memory,
    }
    print(json.dumps(answer), file=answers, flush=True)


def resident(what: str) -> int:
    """Return bytes of memory: `VmRSS`, those now held, or `VmHWM`, the most so far."""
    with suppress(OSError), open("/proc/self/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith(what):
                return int(line.split()[1]) * 1024
    return 0


def reset_peak() -> None:
    """Have `VmHWM` begin again at what is now held (Linux: proc(5), clear_refs)."""
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")

"""What the first steps of a process cost, with and without code kept from earlier ones.

usage: python benchmarks/start.py [--quick] [--peers A,B] [--threads 1,2] [--write] ...

Two sections. `start`: the first three training steps of a classifier in new processes,
with an empty folder of compiled code and with a filled one. `growth`: the first steps
against the number of layers. The options are explained in benchmarks/harness.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from fresh import CACHES, measure_fresh, middle
from harness import Case, Found, Options, Section, duration, main
from processes import PEERS, USUAL


def spec(sizes: list[int], batch: int, runs: int) -> dict[str, Any]:
    """Return the specification of a training step of a ReLU net."""
    return {
        "kind": "train", "sizes": sizes, "batch": batch, "activation": "relu",
        "sgd": {"lr": 0.05}, "check": 0, "runs": runs,
    }  # fmt: skip


def note(threads: int, case: str, peer: str, entry: Found) -> None:
    """Say on the side what was found."""
    found = ", ".join(f"{name} {duration(entry[name])}" for name in entry)
    print(f"{threads} threads, {case}, {peer}: {found}", file=sys.stderr, flush=True)


# --- the first steps


def measure_start(
    section: Section, options: Options, threads: int, found: Found
) -> None:
    """Measure the first steps of new processes."""
    for case, peers in options.chosen(section):
        warm = case.name == "warm"
        able = [peer for peer in peers if peer in CACHES or not warm]
        entry = found["cases"].setdefault(case.name, {"peers": {}})
        answers = measure_fresh(options, threads, case, able, warm)
        for peer, said in answers.items():
            entry["peers"][peer] = {
                "import": middle(one["import"] for one in said),
                "until first step": middle(one["first"] for one in said),
                "second step": middle(one["runs"][1] for one in said),
                "third step": middle(one["runs"][2] for one in said),
                "later steps": middle(middle(one["runs"][3:]) for one in said),
            }
            note(threads, case.name, peer, entry["peers"][peer])
        options.save()


def show_start(section: Section, found: Found) -> Iterator[str]:
    """Yield a table with a row for each peer."""
    columns = (
        "import", "until first step", "second step", "third step", "later steps",
    )  # fmt: skip
    yield f"| | {' | '.join(columns)} |"
    yield f"|---{'|---:' * len(columns)}|"
    for case in section.cases:
        entries = found["cases"].get(case.name, {"peers": {}})["peers"]
        for peer in PEERS:
            if peer in entries:
                kept = f", {case.name}" if peer in CACHES else ""
                times = [duration(entries[peer][column]) for column in columns]
                yield f"| {peer}{kept} | {' | '.join(times)} |"


# --- the size of the graph


def measure_growth(
    section: Section, options: Options, threads: int, found: Found
) -> None:
    """Measure the first steps of ever deeper nets, with no code kept."""
    for case, peers in options.chosen(section):
        entry = found["cases"].setdefault(case.name, {"peers": {}})
        answers = measure_fresh(options, threads, case, peers, warm=False)
        for peer, said in answers.items():
            later = middle(middle(one["runs"][3:]) for one in said)
            # Whatever a first step does more than later ones: recording, compiling.
            entry["peers"][peer] = {
                name: middle(max(0.0, one["runs"][i] - later) for one in said)
                for i, name in enumerate(("first", "second", "third"))
            } | {"later": later}
            note(threads, case.name, peer, entry["peers"][peer])
        options.save()


def show_growth(section: Section, found: Found) -> Iterator[str]:
    """Yield a table with a row for each depth and peer."""
    columns = ("first", "second", "third", "later")
    yield "| | peer | first step, less later ones | second | third | a later step |"
    yield f"|---|---{'|---:' * len(columns)}|"
    for case in section.cases:
        entries = found["cases"].get(case.name, {"peers": {}})["peers"]
        for peer in PEERS:
            if peer in entries:
                times = [duration(entries[peer][column]) for column in columns]
                yield f"| {case.name} | {peer} | {' | '.join(times)} |"


DIGITS = spec([784, 128, 10], 64, 20)
DEPTHS = {1: USUAL, 10: USUAL, 50: USUAL, 100: ("plait",)}
DEPTHS |= {300: ("plait",), 1000: ("plait",)}
SECTIONS = [
    Section(
        "start",
        [Case("cold", DIGITS, True), Case("warm", DIGITS)],
        show_start,
        measure_start,
    ),
    Section(
        "growth",
        [
            Case(
                f"{depth:,} layer{'s' if depth > 1 else ''}",
                spec([32] * (depth + 1), 16, 8), depth == 1, peers,
            )
            for depth, peers in DEPTHS.items()
        ],
        show_growth,
        measure_growth,
    ),
]  # fmt: skip

if __name__ == "__main__":
    main(SECTIONS)

"""The most memory that a process holds during training steps.

usage: python benchmarks/memory.py [--quick] [--peers A,B] [--threads 1,2] [--write] ...

Linux only: peaks are what the kernel noted (VmHWM in proc(5)), above what the process
held once the framework was imported. So weights, data, activations, gradients and what
allocators keep are in them. The options are explained in benchmarks/harness.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from fresh import measure_fresh, middle
from harness import Case, Found, Options, Section, main
from processes import PEERS
from start import spec


def measure_memory(
    section: Section, options: Options, threads: int, found: Found
) -> None:
    """Measure peaks of memory in new processes."""
    for case, peers in options.chosen(section):
        entry = found["cases"].setdefault(case.name, {"peers": {}})
        answers = measure_fresh(options, threads, case, peers, warm=False)
        for peer, said in answers.items():
            memory = [one["memory"] for one in said]
            entry["peers"][peer] = {
                name: middle(one[name] - one["imported"] for one in memory)
                for name in ("first", "later")
            } | {"imported": middle(one["imported"] for one in memory)}
            sizes = {k: f"{v / 2**20:.0f} MiB" for k, v in entry["peers"][peer].items()}
            print(case.name, peer, sizes, file=sys.stderr, flush=True)
        options.save()


def show_memory(section: Section, found: Found) -> Iterator[str]:
    """Yield a table with a row for each case and peer."""
    columns = ("first", "later", "imported")
    yield "MiB:\n"
    yield "| | peer | first steps | later steps | only imported | in all |"
    yield "|---|---|---:|---:|---:|---:|"
    for case in section.cases:
        entries = found["cases"].get(case.name, {"peers": {}})["peers"]
        for peer in PEERS:
            if peer in entries:
                known = [entries[peer][name] for name in columns]
                known.append(max(known[:2]) + known[2])
                sizes = [f"{size / 2**20:.0f}" for size in known]
                yield f"| {case.name} | {peer} | {' | '.join(sizes)} |"


SECTIONS = [
    Section(
        "memory",
        [
            Case("4 x 1024, batch 1024", spec([784, *[1024] * 4, 10], 1024, 5)),
            Case("1 x 128, batch 64", spec([784, 128, 10], 64, 5), quick=True),
        ],
        show_memory,
        measure_memory,
    )
]

if __name__ == "__main__":
    main(SECTIONS)

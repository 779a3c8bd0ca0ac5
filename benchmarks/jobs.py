"""The example jobs end to end: `plait train mnist` and others, beside PyTorch, eager.

usage: python benchmarks/jobs.py [--quick] [--sections jobs] [--threads 2] [--write] ...

Both peers train the same model on the same data, with the same optimizer, schedule,
number of epochs and evaluation after each (`peers/jobs_plait.py` and
`peers/jobs_torch.py`); weights and order are each peer's own, drawn from the same
distributions. Each run is a process of its own; runs take turns, one for each seed.
What is timed is the job from the model's making to its last evaluation, not the imports
and the reading of the data. Compiled code of a first run is kept; that run is shown
beside. The options are explained in benchmarks/harness.py.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fresh import cache, middle
from harness import Case, Found, Options, Section, duration, main
from processes import FOLDER, Missing, call

SEEDS = 3


def ask(options: Options, threads: int, peer: str, spec: Any, extra: Any) -> Found:
    """Return what a new process of a peer says of one job."""
    script = str(FOLDER / "peers" / f"jobs_{peer}.py")
    arguments = [script, json.dumps(spec)]
    return call(peer, threads, arguments, extra, options.interpreter(peer))


def measure_jobs(
    section: Section, options: Options, threads: int, found: Found
) -> None:
    """Run each job with the peers in turn, once for each seed."""
    for case, peers in options.chosen(section):
        entry = found["cases"].setdefault(case.name, {"peers": {}})
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="jobs-"))
            file = str(Path(folder) / "data.npz")
            prepare = {**case.spec, "prepare": file}
            spec = {**case.spec, "file": file}
            spec |= ask(options, threads, "plait", prepare, {})
            extra = {peer: stack.enter_context(cache(peer)) for peer in peers}
            said: dict[str, list[Found]] = {peer: [] for peer in peers}
            first: Found = {}
            if "plait" in peers:
                first = ask(options, threads, "plait", {**spec, "seed": 0},
                            extra["plait"])  # fmt: skip
            for seed in range(options.samples(case)):
                for peer in list(said):
                    try:
                        one = ask(options, threads, peer, {**spec, "seed": seed},
                                  extra[peer])  # fmt: skip
                    except Missing as error:
                        print(f"left out: {error}", file=sys.stderr)
                        del said[peer]
                        continue
                    said[peer].append(one)
                    found.setdefault("facts", {})[peer] = one["facts"]
                    note = f"{one['seconds']:.2f} s, {one['score']:.4f}"
                    print(f"{case.name}, seed {seed}: {peer} {note}", file=sys.stderr)
        for peer, answers in said.items():
            scores = [one["score"] for one in answers]
            entry["peers"][peer] = {
                "seconds": middle(one["seconds"] for one in answers),
                "score": statistics.fmean(scores),
                "spread": statistics.stdev(scores) if len(scores) > 1 else 0.0,
                "samples": len(scores),
            }
        if "plait" in said:
            entry["peers"]["plait"]["first"] = first["seconds"]
        entry["agree"] = agreement(entry, case.tolerance)
        options.save()


def agreement(entry: Found, tolerance: float) -> str:
    """Return "agree", or by how much the peers' mean scores differ."""
    scores = [peer["score"] for peer in entry["peers"].values()]
    apart = max(scores) - min(scores)
    # Also if a score is no number.
    return "agree" if apart <= tolerance else f"plait differs by {apart:.3g}"


def show_jobs(section: Section, found: Found) -> Iterator[str]:
    """Yield a table with a row for each job."""
    peers = [
        peer for peer in section.peers
        if any(peer in entry["peers"] for entry in found["cases"].values())
    ]  # fmt: skip
    heads = [*peers, "plait, first time", *(f"result of {peer}" for peer in peers)]
    yield f"| | {' | '.join(heads)} |"
    yield f"|---{'|---:' * len(heads)}|"
    for case in section.cases:
        entries = found["cases"].get(case.name, {"peers": {}})["peers"]
        if not entries:
            continue
        own = entries.get("plait", {})
        cells = []
        for peer in peers:
            text = duration(entries[peer]["seconds"]) if peer in entries else ""
            if text and own and peer != "plait":
                text += f" ({entries[peer]['seconds'] / own['seconds']:.2f})"
            cells.append(text)
        cells.append(duration(own["first"]) if own else "")
        cells += [result(case, entries[peer]) if peer in entries else ""
                  for peer in peers]  # fmt: skip
        yield f"| {case.name} | {' | '.join(cells)} |"


def result(case: Case, entry: Found) -> str:
    """Return the mean result and how far it varies from seed to seed."""
    digits, scale, unit = (2, 100, " %") if case.spec["accuracy"] else (3, 1, "")
    spread = f" ± {scale * entry['spread']:.{digits}f}" if entry["samples"] > 1 else ""
    return f"{scale * entry['score']:.{digits}f}{spread}{unit}"


def spec(job: str, epochs: int, batch: int, rate: float, accuracy: bool = True) -> Any:
    """Return the specification of a job."""
    return {
        "job": job, "epochs": epochs, "batch": batch, "rate": rate,
        "accuracy": accuracy, "small": False,
    }  # fmt: skip


MNIST = spec("mnist", 8, 128, 3e-3)
SECTIONS = [
    Section(
        "jobs",
        [
            Case("mnist, accuracy", MNIST, True, rounds=SEEDS, tolerance=0.005,
                 small={**MNIST, "epochs": 2, "small": True}),
            Case("cifar (emoji), accuracy", spec("cifar", 12, 64, 2e-3),
                 rounds=SEEDS, tolerance=0.03),
            Case("sentiment, accuracy", spec("sentiment", 6, 128, 4e-3),
                 rounds=SEEDS, tolerance=0.02),
            Case("chars, loss", spec("chars", 10, 12, 2e-3, False),
                 rounds=SEEDS, tolerance=0.03),
            # Nothing is drawn at random here.
            Case("style, 20 steps, loss", spec("style", 20, 1, 0.05, False),
                 rounds=1, tolerance=0.03),
        ],
        show_jobs,
        measure_jobs,
        peers=("plait", "torch"),
    )
]  # fmt: skip

if __name__ == "__main__":
    main(SECTIONS)

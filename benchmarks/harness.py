"""How benchmarks are run: options, rounds in turn, checks, files of results, tables.

A benchmark is a script with sections; a section is a list of cases that all peers work
on, and a way to show what was found. `main` gives every script the same options:

    --quick           few rounds of little work: does it run at all?
    --peers A,B       measure these only; others' figures are those last written on
                      the same machine. `none` only shows what was written.
    --threads 1,2     numbers of threads, one after the other
    --sections A,B    only these
    --rounds N        samples of each peer and case
    --python FILE     interpreter for peers other than plait
    --write           keep results in `results`, and tables in README.md

Peers take turns: each round takes one sample of each, in changing order, and what is
reported is the median of a peer's samples. So what else happens on the machine meets
all of them alike; figures of different runs are not as comparable.

Read first: `main`, `Section`, `measure`.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import signal
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from machine import Others, describe, limits
from processes import FOLDER, PEERS, USUAL, Missing, Worker, cores

ROUNDS, QUICK_ROUNDS = 15, 2
SAMPLE, QUICK_SAMPLE = 0.02, 0.002  # seconds of one sample
FEW = 3  # samples of a peer that takes long
LONG = 0.1  # seconds of a run
TOLERANCE = 2e-4
DISTURBED = 0.02  # part of the processor's time taken by others that is worth a word

Found = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One piece of work.

    Attributes:
        name: for people, and for the file of results.
        spec: what the peers are told; see `peers/workloads.py`.
        quick: whether it is run with `--quick`.
        peers: those that do it; all of the section's if not given.
        tolerance: how far numbers may differ, relative to the largest of them.
        flops, nbytes: what the work needs at least.
        rounds: samples of each peer at most; 0: as many as the command line says.
        small: stands for `spec` with `--quick`.
    """

    name: str
    spec: dict[str, Any]
    quick: bool = False
    peers: Sequence[str] = ()
    tolerance: float = TOLERANCE
    flops: float = 0
    nbytes: float = 0
    rounds: int = 0
    small: dict[str, Any] | None = None


@dataclass(frozen=True)
class Section:
    """Cases that belong together, and how they are shown.

    Attributes:
        name: of the file of results and of the place in README.md.
        cases: the work.
        show: returns lines of Markdown for the results of one number of threads.
        measure: takes the options, a number of threads and the results so far, and
            adds to them.
        peers: which peers take part.
        threads: numbers of threads that make a difference; as asked for, if empty.
        limits: whether the machine's rates are to be measured.
    """

    name: str
    cases: Sequence[Case]
    show: Callable[[Section, Found], Iterator[str]]
    measure: Callable[[Section, Options, int, Found], None]
    peers: Sequence[str] = USUAL
    threads: Sequence[int] = ()
    limits: bool = False


@dataclass(frozen=True)
class Suite:
    """What scripts of one folder share.

    Attributes:
        folder: where `results` and README.md are.
        peers: who may take part, in the order in which they are shown.
        worker: takes a peer, a number of threads and the options, and returns what is
            asked as a `Worker` is.
        seconds: returns how long processes of ours that still run, and whose time is
            not otherwise known, have used the processor.
        slow: a peer of which a sample takes as many seconds gives FEW samples.
        place: whatever the script's own functions need.
    """

    folder: Path = FOLDER
    peers: Sequence[str] = tuple(PEERS)
    worker: Callable[[str, int, Options], Any] = lambda peer, threads, options: Worker(
        peer, threads, options.interpreter(peer)
    )
    seconds: Callable[[], float] = lambda: 0.0
    slow: float = math.inf
    place: Any = None


@dataclass
class Options:
    """What was asked for on the command line."""

    quick: bool = False
    peers: Sequence[str] = tuple(PEERS)
    threads: Sequence[int] = (1, 2)
    sections: Sequence[str] = ()
    rounds: int = 0
    python: str = sys.executable
    write: bool = False
    suite: Suite = field(default_factory=Suite)
    save: Callable[[], None] = field(default=lambda: None)

    def samples(self, case: Case) -> int:
        """Return how many samples of each peer are taken."""
        return min(self.rounds, case.rounds or self.rounds)

    def interpreter(self, peer: str) -> str:
        """Return the Python that runs a peer."""
        return sys.executable if peer == "plait" else self.python

    def chosen(self, section: Section) -> Iterator[tuple[Case, list[str]]]:
        """Yield the cases to be measured, with their peers."""
        for case in section.cases:
            peers = [p for p in case.peers or section.peers if p in self.peers]
            if peers and self.quick and case.quick:
                yield replace(case, spec=case.small or case.spec), peers
            elif peers and not self.quick:
                yield case, peers


def main(
    sections: Sequence[Section],
    arguments: Sequence[str] | None = None,
    suite: Suite | None = None,
) -> None:
    """Run a script's sections as the command line says, and print their tables."""
    options = parse(sections, arguments, suite or Suite())
    # Workers are ended by what is done on the way out, which needs an exception.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for section in sections:
        if not options.sections or section.name in options.sections:
            run(section, options)


def parse(
    sections: Sequence[Section], arguments: Sequence[str] | None, suite: Suite
) -> Options:
    """Return the options of the command line."""
    new = argparse.ArgumentParser(formatter_class=argparse.RawTextHelpFormatter)
    new.add_argument("--quick", action="store_true", help="does it run at all?")
    new.add_argument(
        "--peers", default=",".join(suite.peers), help="comma-separated, or none"
    )
    new.add_argument("--threads", default="", help="such as 1,2 (default: 1 and all)")
    names = ",".join(section.name for section in sections)
    new.add_argument("--sections", default="", help=f"some of {names}")
    new.add_argument("--rounds", type=int, default=0, help="samples of each")
    new.add_argument("--python", default=sys.executable, help="for other peers")
    new.add_argument("--write", action="store_true", help="keep results and tables")
    given = new.parse_args(arguments)
    peers = [] if given.peers == "none" else given.peers.split(",")
    unknown = set(peers) - set(suite.peers)
    if unknown:
        known = ", ".join(suite.peers)
        new.error(f"no such peer: {', '.join(sorted(unknown))}; there are {known}")
    if given.quick and given.write:
        new.error("figures of --quick are not to be kept: leave out --write")
    most = len(cores(1 << 10)) or 2
    threads = [int(n) for n in given.threads.split(",") if n]
    return Options(
        given.quick,
        peers,
        threads or sorted({1, min(2, most)}),
        [name for name in given.sections.split(",") if name],
        given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS),
        given.python,
        given.write,
        suite,
    )


def run(section: Section, options: Options) -> None:
    """Measure a section, print its tables and keep them if asked."""
    folder = options.suite.folder
    path = folder / "results" / f"{section.name}.json"
    # Hasty figures are not shown beside those that were kept.
    results = load(None if options.quick else path, describe())

    def save() -> None:
        if options.write:
            path.parent.mkdir(exist_ok=True)
            path.write_text(as_json(results), encoding="utf-8")

    options.save = save
    for threads in (section.threads or options.threads) if options.peers else ():
        found = results["threads"].setdefault(str(threads), {"cases": {}})
        if section.limits:
            found["limits"] = limits(threads, 0.02 if options.quick else 1.0)
        others = Others(options.suite.seconds)
        section.measure(section, options, threads, found)
        found["others"] = round(others.share(), 3)
        save()
    lines = list(report(section, results))
    print("\n".join(lines), flush=True)
    if options.write:
        insert(folder / "README.md", section.name, lines)


def as_json(results: Found) -> str:
    """Return indented JSON with each list of numbers on one line."""
    text = json.dumps(results, indent=1)
    lists = re.compile(r"\[([^\[\]{}]*)\]")
    return lists.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def load(path: Path | None, machine: Found) -> Found:
    """Return earlier results of the same machine, or a place for new ones."""
    if path is not None and path.exists():
        results: Found = json.loads(path.read_text(encoding="utf-8"))
        if results["machine"] == machine:
            return results
        print(f"{path.name}: of another machine, not used", file=sys.stderr)
    return {"machine": machine, "threads": {}}


@contextmanager
def workers(
    options: Options, threads: int, peers: Sequence[str], facts: Found
) -> Iterator[dict[str, Worker]]:
    """Start a process for each peer that is installed; end them afterwards."""
    started: dict[str, Worker] = {}
    try:
        for peer in peers:
            try:
                started[peer] = options.suite.worker(peer, threads, options)
            except Missing as error:
                print(f"left out: {error}", file=sys.stderr)
                continue
            facts[peer] = started[peer].facts
        yield started
    finally:
        for worker in started.values():
            worker.close()


def measure(section: Section, options: Options, threads: int, found: Found) -> None:
    """Time all cases with the peers in turn, and check that they agree."""
    cases = list(options.chosen(section))
    peers = [p for p in options.peers if any(p in some for _, some in cases)]
    with workers(options, threads, peers, found.setdefault("facts", {})) as running:
        for case, able in cases:
            several = {peer: running[peer] for peer in able if peer in running}
            entry = found["cases"].setdefault(case.name, {"peers": {}})
            failed = time_case(case, options, several, entry)
            for peer in failed:
                running[peer] = options.suite.worker(peer, threads, options)
            shown = " ".join(
                f"{peer} {duration(entry['peers'][peer]['median'])}"
                for peer in several
                if peer not in failed
            )
            note = f"{threads} threads, {case.name}: {shown}; {entry['agree']}"
            print(note, file=sys.stderr, flush=True)
            options.save()


def time_case(
    case: Case, options: Options, running: dict[str, Worker], entry: Found
) -> list[str]:
    """Time one case and note medians, quartiles and whether peers agree.

    Return the peers that failed, whose processes have ended.
    """
    checks: dict[str, list[float]] = {}
    requests: dict[str, dict[str, int]] = {}
    samples: dict[str, list[float]] = {}
    failed: list[str] = []
    length = QUICK_SAMPLE if options.quick else SAMPLE
    slow = options.suite.slow
    for peer, worker in running.items():
        try:
            checks[peer] = worker.ask({"make": case.spec})["check"]
            requests[peer], samples[peer] = one_sample(worker, length, slow), []
        except RuntimeError as error:
            # The others' figures are wanted all the same.
            print(f"{case.name}: {error}", file=sys.stderr, flush=True)
            failed.append(peer)
            checks.pop(peer, None)
    order = list(samples)
    for turn in range(options.samples(case)):
        first = turn % max(1, len(order))
        for peer in order[first:] + order[:first]:
            if turn >= FEW and max(samples[peer]) * requests[peer]["run"] >= slow:
                continue
            seconds = running[peer].ask(requests[peer])["seconds"]
            samples[peer].append(seconds / requests[peer]["run"])
    entry["agree"] = agreement(checks, entry.get("expected"), case.tolerance)
    entry["failed"] = failed
    # For runs to come that measure only some of the peers.
    for peer in ("numpy", "torch", "jax"):
        if peer in checks:
            # Fewer digits than float32 has, but more than tolerances ask for.
            entry["expected"] = [float(f"{value:.6g}") for value in checks[peer]]
            break
    for peer, seconds in samples.items():
        low, middle, high = quartiles(seconds)
        entry["peers"][peer] = {
            "median": middle, "low": low, "high": high, "best": min(seconds),
            "times": requests[peer]["run"], "samples": len(seconds),
        }  # fmt: skip
    return failed


def one_sample(worker: Worker, length: float, slow: float = math.inf) -> dict[str, int]:
    """Return the request for a sample of about `length` seconds.

    The first runs are left out of account: some peers compile then. If a run takes as
    long as `slow`, what the check has run must do.
    """
    n = 1
    seconds: float = worker.ask({"run": 1, "warm": 0})["seconds"]
    if seconds < slow:
        seconds = worker.ask({"run": 1, "warm": 2})["seconds"]
    while seconds < length / 2 and n < 1 << 16:
        n *= 2
        seconds = worker.ask({"run": n, "warm": 0})["seconds"]
    wanted = math.ceil(n * length / max(seconds, 1e-9))
    n = min(max(wanted, 1), 1 << 16)
    # A long run loses little by what is cold after another peer's.
    return {"run": n, "warm": 0 if seconds > LONG else max(1, n // 4)}


def agreement(
    checks: dict[str, list[float]], expected: list[float] | None, tolerance: float
) -> str:
    """Return "agree", or which peers' numbers differ from the first's, and by how
    much.
    """
    if expected is None:
        expected = next(iter(checks.values()), [])
    scale = max(1e-30, *map(abs, expected)) if expected else 1.0
    most = 0.0
    faults = []
    for peer, numbers in checks.items():
        # Not every peer has the derivatives' part.
        pairs = list(zip(numbers, expected, strict=False))
        apart = worst(abs(a - b) / scale for a, b in pairs)
        if not apart <= tolerance:
            faults.append(f"{peer} differs by {apart:.1e}")
        most = max(most, apart)
    if faults:
        return ", ".join(faults)
    return f"agree within {most:.0e}" if most else "agree in every bit"


def worst(differences: Iterable[float]) -> float:
    """Return the greatest, or nan if there is one."""
    known = list(differences)
    return next(filter(math.isnan, known), max(known, default=0.0))


def quartiles(seconds: Sequence[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile."""
    if len(seconds) < 2:
        return seconds[0], seconds[0], seconds[0]
    low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return low, middle, high


# --- tables


def report(section: Section, results: Found) -> Iterator[str]:
    """Yield a section's tables as Markdown, with what they were measured on."""
    machine = results["machine"]
    yield (
        f"{machine['processor']}, {machine['cores']} cores, "
        f"{', '.join(machine['features'])}; {machine['system']}."
    )
    facts: dict[str, str] = {}
    for found in results["threads"].values():
        for peer in found.get("facts", {}).values():
            facts |= {name: str(value) for name, value in peer.items()}
    facts.pop("threads", None)
    if facts:
        yield "; ".join(f"{name} {value}" for name, value in facts.items()) + "."
    for threads, found in sorted(results["threads"].items()):
        yield ""
        yield f"**{threads} thread{'s' if threads != '1' else ''}**{thread_note(found)}"
        yield ""
        yield from section.show(section, found)
        differing, failed = [], []
        for name, entry in found["cases"].items():
            if "differs" in entry.get("agree", ""):
                differing.append(f"{name}: {entry['agree']}")
            failed += [f"{peer} at {name}" for peer in entry.get("failed", ())]
        if failed:
            yield f"\nFAILED: {'; '.join(failed)}."
        if differing:
            yield f"\nPeers do NOT agree: {'; '.join(differing)}."
        elif any("agree" in entry for entry in found["cases"].values()):
            yield "\nResults of all peers agree."


def thread_note(found: Found) -> str:
    """Return the numbers of threads that the peers say they use, and the limits."""
    parts = [
        f"{peer} {facts['threads']}"
        for peer, facts in found.get("facts", {}).items()
        if facts.get("threads")
    ]
    text = f" (as the peers say: {', '.join(parts)})" if parts else ""
    rates = found.get("limits", {})
    units = {"float32": "GFLOP/s", "bfloat16": "GFLOP/s"}
    if rates:
        named = [f"{n} {r:.0f} {units.get(n, 'GB/s')}" for n, r in rates.items()]
        text += f"; the machine's limits: {', '.join(named)}"
    if found.get("others", 0) >= DISTURBED:
        text += (
            f"; other programs took {found['others']:.0%} of the processor meanwhile"
        )
    return text


def show_times(section: Section, found: Found) -> Iterator[str]:
    """Yield a table of medians; in brackets, how many times as long as plait's."""
    yield from table(section, found, lambda case, seconds: duration(seconds))


def table(
    section: Section, found: Found, cell: Callable[[Case, float], str]
) -> Iterator[str]:
    """Yield a table: a row for each case, a column for each peer, and the best of the
    others as a multiple of plait's time.
    """
    peers = [
        peer for peer in dict.fromkeys((*PEERS, *section.peers))
        if any(peer in entry["peers"] for entry in found["cases"].values())
    ]  # fmt: skip
    # Other builds of plait are shown as the rivals are, but are none.
    rivals = [peer for peer in peers if peer != "plait"]
    yield f"| | {' | '.join(peers)} | best other ÷ plait |"
    yield f"|---{'|---:' * (len(peers) + 1)}|"
    ratios: dict[str, list[float]] = {peer: [] for peer in (*rivals, "best")}
    for case in section.cases:
        entry = found["cases"].get(case.name)
        if entry is None:
            continue
        medians = {peer: v["median"] for peer, v in entry["peers"].items()}
        own = medians.get("plait")
        cells = []
        for peer in peers:
            if peer not in medians:
                cells.append("")
                continue
            text = cell(case, medians[peer])
            if peer != "plait" and own:
                ratios[peer].append(medians[peer] / own)
                text += f" ({medians[peer] / own:.2f})"
            cells.append(text)
        others = [medians[p] for p in medians if not p.startswith("plait")]
        best = min(others) / own if own and others else 0.0
        if best:
            ratios["best"].append(best)
        cells.append(f"{best:.2f}" if best else "")
        yield f"| {case.name} | {' | '.join(cells)} |"
    if ratios["best"]:
        means = [
            f"({statistics.geometric_mean(ratios[peer]):.2f})" if ratios[peer] else ""
            for peer in (*rivals, "best")
        ]
        own_cell = [""] if "plait" in peers else []
        yield f"| geometric mean | {' | '.join([*own_cell, *means])} |"


def duration(seconds: float) -> str:
    """Return a time with a unit, to three digits."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1 or unit == "us":
            value = seconds * factor
            break
    digits = max(0, 2 - math.floor(math.log10(max(value, 1e-3))))
    return f"{value:.{min(digits, 2)}f} {unit}"


def insert(path: Path, name: str, lines: Sequence[str]) -> None:
    """Put lines between the marks of a section in a Markdown file."""
    text = path.read_text(encoding="utf-8")
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{path} has no place for {name!r}: add {begin} and {end}")
    body = "\n".join((begin, *lines, end))
    path.write_text(pattern.sub(lambda _: body, text), encoding="utf-8")

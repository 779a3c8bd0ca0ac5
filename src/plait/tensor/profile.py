"""What programs have spent their time with: tables, and files for trace viewers.

Knows nothing of tensors; `profiling` opens and closes a profile, and what runs programs
tells it what it has run.

Read first: `Profile`.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ArgumentError, layer_of
from ..late import late

if TYPE_CHECKING:
    from ..runtime.instructions import Step
    from ..runtime.timeline import Span
    from . import limits
else:
    limits = late("plait.tensor.limits")

# The profile that is open, if any.
watching: Profile | None = None

# What lies inside of a program's run, rather than beside it.
_INSIDE = ("kernel", "host", "copy", "clear")
_WIDTH = 80


class Event(NamedTuple):
    """Something that took time.

    Attributes:
        kind: "kernel", "host" (a Python function called by a program), "copy", "clear";
            and around those "program", "interpreted" or "compile".
        name: what it did.
        begin, end: in nanoseconds, as of `time.perf_counter_ns`.
        flops, nbytes: what it did, as far as that is known.
        shared: whether threads shared it.
        where: the user's line that asked for it.
        thread: the Python thread.
    """

    kind: str
    name: str
    begin: int
    end: int
    flops: int = 0
    nbytes: int = 0
    shared: bool = False
    where: str = ""
    thread: int = 0


@dataclass
class Row:
    """All events of one kind and name.

    Attributes:
        calls: how many there were.
        seconds: how long they took together.
        flops, nbytes: what they did together.
        least: the seconds in which this machine could have done it, by its limits.
    """

    kind: str
    name: str
    calls: int = 0
    seconds: float = 0.0
    flops: int = 0
    nbytes: int = 0
    least: float = 0.0

    def add(self, event: Event) -> None:
        """Count an event."""
        self.calls += 1
        self.seconds += (event.end - event.begin) / 1e9
        self.flops += event.flops
        self.nbytes += event.nbytes
        if event.flops or event.nbytes:
            bound = limits.limits(event.shared)
            self.least += bound.seconds(event.flops, event.nbytes)


class Profile:
    """What was run while it was open; see `plait.profile`.

    Attributes:
        events: all that was taken down.
        begin, end: when it was opened and closed, in nanoseconds.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.begin = self.end = 0

    def __repr__(self) -> str:
        return f"<profile of {len(self.events)} events in {self.seconds:.3f} s>"

    @property
    def seconds(self) -> float:
        """How long it was open."""
        return (self.end - self.begin) / 1e9

    def add(self, kind: str, name: str, begin: int, end: int) -> None:
        """Take an event down."""
        thread = threading.get_ident()
        self.events.append(Event(kind, name, begin, end, thread=thread))

    def add_spans(self, steps: Mapping[int, Step], spans: Sequence[Span]) -> None:
        """Take down the instructions of a program that was run."""
        thread = threading.get_ident()
        for at, begin, end in spans:
            step = steps[at]
            flops, nbytes = step.work.flops, step.work.nbytes
            self.events.append(
                Event(
                    *(step.kind, step.name, begin, end, flops, nbytes),
                    *(step.shared, step.where, thread),
                )
            )

    def rows(self, kinds: Iterable[str] = _INSIDE, by: str = "kernel") -> list[Row]:
        """Return what kernels took, and what else is named; the longest first.

        Args:
            kinds: of events.
            by: "kernel": those of one name together; "line": those of one line of the
                user's, and one layer that ran there.
        """
        wanted = set(kinds)
        found: dict[tuple[str, str], Row] = {}
        for event in self.events:
            if event.kind in wanted:
                key = event.kind, event.name
                if by == "line":
                    name = f"{os.path.basename(event.where)} {layer_of(event.where)}"
                    key = "kernel", name.strip() or "(no line)"
                found.setdefault(key, Row(*key)).add(event)
        return sorted(found.values(), key=lambda row: -row.seconds)

    def table(self, most: int = 30, by: str = "kernel") -> str:
        """Return a table of what took how long, in 80 columns.

        The column `limit` is the share of what this machine could do at most: 100 %
        cannot be computed, or fetched from memory, any faster. It may be exceeded by
        what lies in the caches.

        Args:
            most: how many lines of kernels.
            by: as for `rows`: "kernel" or "line".

        Raises:
            ArgumentError: `by` is something else.
        """
        if by not in ("kernel", "line"):
            raise ArgumentError(
                "[table] the table has no such form",
                got=f"by={by!r}",
                expected="'kernel' or 'line'",
            )
        rows = self.rows(by=by)
        lines = [_HEAD.replace("kernel", f"{by:<6}"), "-" * _WIDTH]
        lines += [_line(row, self.seconds) for row in rows[:most]]
        if len(rows) > most:
            rest = sum(row.seconds for row in rows[most:])
            lines.append(f"... {len(rows) - most} more, {rest * 1e3:.3f} ms together")
        lines += ["-" * _WIDTH, *self._around(rows)]
        for bound in dict.fromkeys((limits.limits(False), limits.limits())):
            lines.append(_limit_line(bound))
        return "\n".join(lines)

    def _around(self, rows: Sequence[Row]) -> list[str]:
        """Return lines about all that is no kernel."""
        whole = {kind: Row(kind, text) for kind, text in _AROUND.items()}
        for event in self.events:
            if event.kind in whole:
                whole[event.kind].add(event)
        inside = sum(row.seconds for row in rows)
        programs = whole["program"]
        programs.seconds -= inside
        other = self.seconds - inside - sum(row.seconds for row in whole.values())
        parts = [("kernels and calls", sum(row.calls for row in rows), inside)]
        parts += [(row.name, row.calls, row.seconds) for row in whole.values()]
        parts += [("everything else (Python)", 0, max(other, 0.0))]
        lines = [
            f"{name:<31}{calls or '':>6}{seconds * 1e3:>10.3f} ms"
            f"{_share(seconds, self.seconds):>9}"
            for name, calls, seconds in parts
        ]
        return [*lines, f"{'together':<37}{self.seconds * 1e3:>10.3f} ms"]

    def trace(self) -> dict[str, Any]:
        """Return the events in the Trace Event Format of Chromium.

        Source: "Trace Event Format", the Chromium project.
        """
        threads = {thread: i for i, thread in enumerate(self._threads())}
        process = os.getpid()
        events: list[dict[str, Any]] = [
            {
                "name": "thread_name", "ph": "M", "pid": process, "tid": i,
                "args": {"name": f"Python thread {i}"},
            }
            for i in threads.values()
        ]  # fmt: skip
        for event in sorted(self.events, key=lambda one: (one.begin, -one.end)):
            facts: dict[str, Any] = {}
            if event.flops or event.nbytes:
                facts = {"flops": event.flops, "bytes": event.nbytes}
                facts["threads"] = "all" if event.shared else "one"
            if event.where:
                facts["line"] = str(event.where)
                facts["layer"] = layer_of(event.where)
            events.append(
                {
                    "name": event.name, "cat": event.kind, "ph": "X", "pid": process,
                    "tid": threads[event.thread],
                    "ts": (event.begin - self.begin) / 1e3,
                    "dur": (event.end - event.begin) / 1e3,
                    "args": facts,
                }
            )  # fmt: skip
        return {"displayTimeUnit": "ns", "traceEvents": events}

    def _threads(self) -> list[int]:
        return list(dict.fromkeys(event.thread for event in self.events))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file for chrome://tracing or Perfetto."""
        with open(path, "w", encoding="utf-8") as stream:
            json.dump(self.trace(), stream)


_AROUND = {
    "program": "starting and ending programs",
    "interpreted": "interpreted runs",
    "compile": "compilations",
}
_HEAD = (
    f"{'kernel':<27}{'calls':>6}{'total ms':>10}{'mean us':>9}{'share':>7}"
    f"{'GFLOP/s':>8}{'GB/s':>7}{'limit':>6}"
)


def _line(row: Row, whole: float) -> str:
    name = row.name if row.kind == "kernel" else f"{row.kind} {row.name}"
    seconds = max(row.seconds, 1e-9)
    speeds = [
        f"{row.flops / seconds / 1e9:>8.1f}" if row.flops else " " * 8,
        f"{row.nbytes / seconds / 1e9:>7.1f}" if row.nbytes else " " * 7,
        f"{row.least / seconds * 100:>4.0f} %" if row.least else " " * 6,
    ]
    return (
        f"{shortened(name, 26):<27}{row.calls:>6}{row.seconds * 1e3:>10.3f}"
        f"{row.seconds / row.calls * 1e6:>9.1f}{_share(row.seconds, whole):>7}"
        f"{''.join(speeds)}"
    ).rstrip()


def shortened(name: str, width: int) -> str:
    """Return a name in at most `width` letters: its end tells kernels apart."""
    if len(name) <= width:
        return name
    end = width // 2 - 1
    return f"{name[: width - end - 2]}..{name[-end:]}"


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole > 0 else ""


def _limit_line(bound: limits.Limits) -> str:
    threads = f"{bound.threads} thread{'s' if bound.threads > 1 else ''}"
    return (
        f"at most, on {threads}: {bound.flops / 1e9:.0f} GFLOP/s (float32), "
        f"{bound.bandwidth / 1e9:.1f} GB/s (memory)"
    )

"""When each instruction of a run began and ended, taken down natively.

A second `run` of the machine reads a clock before and after each launch, copy and
clear, and writes what it reads into a table. Its clock is that of
`time.perf_counter_ns`, so that Python's times and its own stand on one axis.

    table ::= count  capacity  {where-in-the-code  begin  end}

Read first: `Timeline`, `run_timed`.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import NamedTuple

import numpy as np

from . import binding, host, machine, memory, sharing
from . import cache as disk
from .library import Library

_CAPACITY = 4096


class Span(NamedTuple):
    """One instruction that was run: where it lies in the code, and nanoseconds."""

    at: int
    begin: int
    end: int


class Timeline:
    """The table of one run, and what was taken out of it."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._store = np.zeros(2 + 3 * _CAPACITY, np.int64)
        self._store[1] = _CAPACITY
        self.address = memory.address(self._store)

    @property
    def is_full(self) -> bool:
        """Whether the machine can write no more."""
        return bool(self._store[0] >= _CAPACITY)

    def drain(self) -> None:
        """Take all out of the table."""
        count = int(self._store[0])
        rows = self._store[2 : 2 + 3 * count].reshape(count, 3).tolist()
        self.spans += [Span(*row) for row in rows]
        self._store[0] = 0


@cache
def run_timed() -> int:
    """Return the address of the machine's `run` that keeps a timeline."""
    parts = (sharing.text(host.architecture()), binding.text(), clock_text())
    text = "".join(parts) + machine.text(timed=True)
    name = disk.key(text, host.description())
    data = disk.get(name)
    if data is None:
        data = host.assemble(text)
        disk.put(name, data)
    _loaded.append(Library(data, ("run",)))
    return _loaded[0].addresses["run"]


_loaded: list[Library] = []  # as long as the process lives


def clock_text(platform: str = sys.platform) -> str:
    """Return the functions `now` and `note` for a platform."""
    if platform == "win32":
        now = _WINDOWS.format(nanoseconds=_nanoseconds_of_a_tick())
    else:
        now = _DARWIN if platform == "darwin" else _POSIX
    return now + _NOTE


def _nanoseconds_of_a_tick() -> int:
    frequency = ctypes.c_int64()
    kernel = ctypes.CDLL("kernel32")
    kernel.QueryPerformanceFrequency(ctypes.byref(frequency))
    return 10**9 // frequency.value


_POSIX = """
declare i32 @clock_gettime(i32, ptr)

define internal i64 @now() {
  %time = alloca [2 x i64]
  %status = call i32 @clock_gettime(i32 1, ptr %time)  ; CLOCK_MONOTONIC
  %seconds = load i64, ptr %time
  %rest.at = getelementptr i64, ptr %time, i64 1
  %rest = load i64, ptr %rest.at
  %whole = mul i64 %seconds, 1000000000
  %all = add i64 %whole, %rest
  ret i64 %all
}
"""

_DARWIN = """
declare i64 @clock_gettime_nsec_np(i32)

define internal i64 @now() {
  %time = call i64 @clock_gettime_nsec_np(i32 8)  ; CLOCK_UPTIME_RAW
  ret i64 %time
}
"""

_WINDOWS = """
declare i32 @QueryPerformanceCounter(ptr)

define internal i64 @now() {{
  %time = alloca i64
  %status = call i32 @QueryPerformanceCounter(ptr %time)
  %ticks = load i64, ptr %time
  %all = mul i64 %ticks, {nanoseconds}
  ret i64 %all
}}
"""

_NOTE = """
define internal void @note(ptr %table, i64 %pc, i64 %begin) {
  %end = call i64 @now()
  %count = load i64, ptr %table
  %words = mul i64 %count, 3
  %first = add i64 %words, 2
  %row = getelementptr i64, ptr %table, i64 %first
  store i64 %pc, ptr %row
  %begin.at = getelementptr i64, ptr %row, i64 1
  store i64 %begin, ptr %begin.at
  %end.at = getelementptr i64, ptr %row, i64 2
  store i64 %end, ptr %end.at
  %more = add i64 %count, 1
  store i64 %more, ptr %table
  ret void
}
"""

"""The threads that share the chunks of large kernels.

Threads are Python's, so that Python knows them; each calls the machine's `work`, which
lets go of the GIL and takes chunks of whatever launch is open. It returns when there
has been nothing to do for about a millisecond; then the thread sleeps until a program
wakes it up. Nobody waits for a thread that has not taken a chunk, so it does not matter
whether, when, or how many threads come.

One program uses the pool at a time. A program that another Python thread runs meanwhile
runs on that thread alone: the processors are busy anyway, and results never depend on
how many threads there are.

Read first: `lease`, `Pool`.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
import time
from typing import Any

import numpy as np

from ..errors import ArgumentError
from ..settings import settings
from . import kernels, memory, sharing

_IDLE_SECONDS = 1e-3
_PAGE = 4096

_Function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)


class Pool:
    """Threads, and the words by which they find work.

    Attributes:
        threads: how many there are, with the one that runs the program.
        address: where its words lie, for the machine.
        busy: held by the program that uses it.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.busy = threading.Lock()
        self.stopped = False
        # Words are written by Python only where no thread can be looking, or where one
        # value is as good as the other.
        words = sharing.LEFT + sharing.PART_WORDS * threads
        self._store = np.zeros(words + 16, np.int64)
        skip = -memory.address(self._store) % 128 // 8
        self.words = self._store[skip : skip + words]
        self.address = memory.address(self.words)
        self.words[sharing.YIELD] = _yield_address()
        self.words[sharing.PARTS] = threads
        self._scratch: Any = None
        self._lock = threading.Lock()
        self._workers: list[tuple[np.ndarray, threading.Lock]] = []
        self._work = _Function(kernels.own()["work"])
        spins = self._calibrated()
        self._threads: list[threading.Thread] = []
        for i in range(1, threads):
            record, bed = self._record(i, spins), threading.Lock()
            bed.acquire()
            thread = threading.Thread(
                target=self._serve, args=(record, bed), daemon=True, name=f"plait-{i}"
            )
            try:
                thread.start()
            except RuntimeError:  # the system allows no more: fewer will do
                break
            self._threads.append(thread)
            with self._lock:
                self._workers.append((record, bed))

    def _calibrated(self) -> int:
        """Return how many turns of waiting take about `_IDLE_SECONDS`."""
        best = _IDLE_SECONDS
        for _ in range(3):
            before = time.perf_counter()
            self._work(self._record(0, 4000).ctypes.data)
            best = min(best, time.perf_counter() - before)
        self.words[sharing.AWAKENED] = self.words[sharing.SLEPT]
        return int(4000 * _IDLE_SECONDS / max(best, 1e-6))

    def _record(self, index: int, spins: int) -> np.ndarray:
        record = np.zeros(sharing.WORKER_WORDS, np.int64)
        record[sharing.WORKER_POOL] = self.address
        record[sharing.WORKER_INDEX] = index
        record[sharing.WORKER_SPINS] = spins
        return record

    def _serve(self, record: np.ndarray, bed: threading.Lock) -> None:
        """Be a thread of the pool."""
        address = memory.address(record)
        while True:
            self._work(address)
            with self._lock:
                if self.stopped:
                    return
            bed.acquire()

    @property
    def sleeps(self) -> bool:
        """Whether a thread sleeps, or is about to."""
        words = self.words
        return bool(words[sharing.SLEPT] != words[sharing.AWAKENED])

    def wake(self) -> None:
        """Wake up all threads that sleep, without waiting for them.

        One that is about to sleep does not then.
        """
        with self._lock:
            for record, bed in self._workers:
                if record[sharing.WORKER_ASLEEP]:
                    record[sharing.WORKER_ASLEEP] = 0
                    self.words[sharing.AWAKENED] += 1
                    bed.release()

    def reserve(self, scratch: int) -> None:
        """Have at least `scratch` bytes of scratch memory for every thread.

        Only the program that uses the pool may ask, while it has no launch open.
        """
        if scratch > self.words[sharing.SCRATCH_STRIDE]:
            # Threads do not share a page, nor the page that is fetched with it.
            stride = -(-scratch // _PAGE) * _PAGE + _PAGE
            self._scratch = memory.take(stride * self.threads + _PAGE)
            begin = ctypes.addressof(self._scratch)
            self.words[sharing.SCRATCH_BEGIN] = begin + -begin % _PAGE
            self.words[sharing.SCRATCH_STRIDE] = stride

    def stop(self) -> None:
        """End all threads; a program that uses the pool goes on alone."""
        self.words[sharing.STOP] = 1
        with self._lock:
            self.stopped = True
        self.wake()
        for thread in self._threads:
            thread.join()


def _yield_address() -> int:
    """Return the address of the system's "let another thread run"."""
    if sys.platform == "win32":
        function: Any = ctypes.WinDLL("kernel32").SwitchToThread
    else:
        function = ctypes.CDLL(None).sched_yield
    return ctypes.cast(function, ctypes.c_void_p).value or 0


class _Current:
    """The pool of the process."""

    def __init__(self) -> None:
        self.over = False  # the interpreter exits
        self.forked()

    def forked(self) -> None:
        """Forget the pool: a child process has none of its threads."""
        self.pool: Pool | None = None
        self.lock = threading.Lock()
        self.processors = _processors()

    def renewed(self, threads: int) -> Pool | None:
        with self.lock:
            pool = self.pool
            if pool is None or pool.threads != threads:
                self.pool = None
                if pool is not None:
                    pool.stop()
                if threads > 1 and not self.over:
                    self.pool = Pool(threads)
            return self.pool

    def end(self) -> None:
        self.over = True
        self.renewed(1)


def _processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_current = _Current()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_current.forked)
# Threads that run native code while the interpreter takes itself apart may crash.
atexit.register(_current.end)


def lease(scratch: int) -> Pool | None:
    """Return the pool, for the caller alone until it releases `busy`.

    Args:
        scratch: bytes of scratch memory that each thread needs.

    Returns:
        None if there is but one thread, or another program uses the pool.
    """
    threads = settings.num_threads or _current.processors
    if threads <= 1:
        return None
    pool = _current.pool
    if pool is None or pool.threads != threads:
        pool = _current.renewed(threads)
        if pool is None:
            return None
    if not pool.busy.acquire(False):
        return None
    if pool.stopped:
        pool.busy.release()
        return None
    pool.reserve(scratch)
    return pool


def get_num_threads() -> int:
    """Return how many threads run a program: those of `set_num_threads`, else of
    the setting `PLAIT_NUM_THREADS`, else one for each processor.
    """
    return settings.num_threads or _current.processors


def set_num_threads(count: int) -> None:
    """Set how many threads run a program. Results do not depend on it.

    Raises:
        ArgumentError: `count` is not an integer of at least 1.
    """
    if type(count) is not int or count < 1:
        raise ArgumentError(
            "[set_num_threads] the number of threads is not an integer of at least 1",
            got=repr(count),
        )
    settings.num_threads = count

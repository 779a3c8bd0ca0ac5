"""Measuring in new processes: what the first runs cost, in time and memory.

Read first: `measure_fresh`.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness import Case, Found, Options
from processes import Missing, fresh

ROUNDS, QUICK_ROUNDS = 3, 1
# Peer: the variables that name the folder of compiled code kept between processes.
CACHES = {
    "plait": ("PLAIT_CACHE",),
    "torch.compile": ("TORCHINDUCTOR_CACHE_DIR",),
    "jax": ("JAX_COMPILATION_CACHE_DIR",),
}
# JAX keeps only what took long to compile unless told otherwise.
KEEP_ALL = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


@contextmanager
def cache(peer: str) -> Iterator[dict[str, str]]:
    """Yield an environment in which compiled code is kept in a new folder."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        extra = {name: str(Path(folder) / "code") for name in CACHES.get(peer, ())}
        yield {**extra, **KEEP_ALL}


def measure_fresh(
    options: Options, threads: int, case: Case, peers: list[str], warm: bool
) -> dict[str, list[Found]]:
    """Return, for each peer, what its processes said, taken in turn.

    Args:
        options: of the command line.
        threads: how many a process has.
        case: the work.
        peers: those to be measured.
        warm: keep compiled code of a first, unmeasured process; else each begins
            with none.
    """
    answers: dict[str, list[Found]] = {}

    def once(peer: str, extra: dict[str, str]) -> Found:
        return fresh(peer, threads, case.spec, extra, options.interpreter(peer))

    with ExitStack() as stack:
        filled: dict[str, dict[str, str]] = {}
        for peer in peers if warm else ():
            extra = stack.enter_context(cache(peer))
            try:
                once(peer, extra)
            except Missing:
                continue
            filled[peer] = extra
        most = QUICK_ROUNDS if options.quick else ROUNDS
        rounds = min(options.samples(case), most)
        absent: set[str] = set()
        for _ in range(rounds):
            for peer in filled if warm else peers:
                if peer in absent:
                    continue
                try:
                    if warm:
                        said = once(peer, filled[peer])
                    else:
                        with cache(peer) as extra:
                            said = once(peer, extra)
                except Missing as error:
                    print(f"left out: {error}", file=sys.stderr)
                    absent.add(peer)
                else:
                    answers.setdefault(peer, []).append(said)
    return answers


def middle(numbers: Iterable[float]) -> float:
    """Return the median."""
    return statistics.median(list(numbers))

"""Graphs as compiled programs: from the disk if one is there, else newly compiled.

Read first: `compiled`.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from ..errors import ArgumentError, CompileWarning
from ..ir.graph import Graph
from ..late import late
from ..program import Program
from ..settings import settings
from ..stopwatch import timed

if TYPE_CHECKING:
    from ..compile import pipeline, saved
    from ..compile.llvm import target
    from ..runtime import cache, kernels
else:
    pipeline = late("plait.compile.pipeline")
    saved = late("plait.compile.saved")
    target = late("plait.compile.llvm.target")
    cache = late("plait.runtime.cache")
    kernels = late("plait.runtime.kernels")

PRECISIONS = ("highest", "high", "fast")
# Whose source decides what becomes of a graph.
_MAKERS = (
    "compile", "transform", "ops", "ir", "program.py", "dtypes.py", "shapes.py",
)  # fmt: skip


def compiled(graph: Graph, lasts: bool = False) -> Program:
    """Return the program that computes `graph` on this machine.

    Args:
        graph: simplified.
        lasts: see `compile_graph`.

    Raises:
        ArgumentError: there is no such precision as `settings.matmul_precision`.
    """
    precision = settings.matmul_precision
    if precision not in PRECISIONS:
        raise ArgumentError(
            "settings.matmul_precision is not one of the precisions",
            got=repr(precision),
            expected=" or ".join(PRECISIONS),
        )
    limit = settings.memory_limit << 20
    program = _compiled(graph, precision, limit, lasts)
    if limit and program.taken > limit:
        warnings.warn(
            f"settings.memory_limit is {limit >> 20} MiB, but a program takes at least "
            f"{program.taken / 2**20:.1f} MiB besides its inputs, of which "
            f"{(program.taken - program.arena) / 2**20:.1f} MiB are results",
            CompileWarning,
            stacklevel=2,
        )
    return program


def _compiled(graph: Graph, precision: str, limit: int, lasts: bool) -> Program:
    here = target.host()
    if cache.folder() is None:
        return pipeline.compile_graph(graph, here, precision, limit, lasts)
    with timed("load"):
        text = saved.text_of(graph)
        if text is not None:
            versions = kernels.versions(*_MAKERS)
            settled = (here.key, precision, str(limit), str(lasts))
            name = cache.key("program", text, *settled, versions)
            found = _found(name, graph, precision, limit, lasts)
            if found is not None:
                return found
    program = pipeline.compile_graph(graph, here, precision, limit, lasts)
    if text is not None:
        data = saved.encode(program, graph)
        if data is not None:
            cache.put(name, data.encode())
    return program


def _found(
    name: str, graph: Graph, precision: str, limit: int, lasts: bool
) -> Program | None:
    data = cache.get(name)
    if data is None:
        return None

    def again() -> Program:
        return pipeline.compile_graph(graph, target.host(), precision, limit, lasts)

    try:
        return saved.decode(data.decode(), graph, again)
    except (saved.Unreadable, UnicodeDecodeError):
        return None

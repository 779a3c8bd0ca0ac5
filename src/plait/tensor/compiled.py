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


def compiled(graph: Graph) -> Program:
    """Return the program that computes `graph` on this machine.

    Args:
        graph: simplified.

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
    program = _compiled(graph, precision, limit)
    if limit and program.taken > limit:
        warnings.warn(
            f"settings.memory_limit is {limit >> 20} MiB, but a program takes at least "
            f"{program.taken / 2**20:.1f} MiB besides its inputs, of which "
            f"{(program.taken - program.arena) / 2**20:.1f} MiB are results",
            CompileWarning,
            stacklevel=2,
        )
    return program


def _compiled(graph: Graph, precision: str, limit: int) -> Program:
    here = target.host()
    if cache.folder() is None:
        return pipeline.compile_graph(graph, here, precision, limit)
    with timed("load"):
        text = saved.text_of(graph)
        if text is not None:
            versions = kernels.versions(*_MAKERS)
            name = cache.key("program", text, here.key, precision, str(limit), versions)
            found = _found(name, graph, precision, limit)
            if found is not None:
                return found
    program = pipeline.compile_graph(graph, here, precision, limit)
    if text is not None:
        data = saved.encode(program, graph)
        if data is not None:
            cache.put(name, data.encode())
    return program


def _found(name: str, graph: Graph, precision: str, limit: int) -> Program | None:
    data = cache.get(name)
    if data is None:
        return None

    def again() -> Program:
        return pipeline.compile_graph(graph, target.host(), precision, limit)

    try:
        return saved.decode(data.decode(), graph, again)
    except (saved.Unreadable, UnicodeDecodeError):
        return None

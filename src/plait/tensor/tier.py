"""The two ways a graph is run: interpreted at first, then as machine code.

The first run of a graph is interpreted, so that what is run once never waits for a
compiler. From the second run on it is compiled; small graphs from a later run on, and
graphs whose interpretation costs more than compiling them at once. The choice depends
on the graph and the number of runs alone, never on time.

Both ways give the same numbers up to rounding. Training must not depend on how often
something ran before, or it could not be resumed with the same bits: graphs that belong
to it are compiled at once.

Read first: `Tiered`.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from ..compile.llvm.target import host
from ..compile.pipeline import compile_graph
from ..errors import CompileWarning, WrongResultError
from ..ir.evaluate import Interpreted
from ..ir.graph import Graph, Node, TensorType
from ..program import WrongIndex
from ..runtime import Runner, unavailable
from ..settings import settings

logger = logging.getLogger("plait.compile")

# What a node costs the interpreter, and a node to compile, in microseconds.
_INTERPRETED, _COMPILED = 2.0, 3000.0
# What it does besides: bytes and multiplications in a microsecond.
_BYTES, _PRODUCTS = 3_000.0, 20_000.0
# Cheaper graphs are compiled from a later run on.
_CHEAP, _LATER = 30.0, 10
# Nodes that cost nothing to interpret.
_FREE = frozenset({"constant", "expand", "reshape", "permute", "pick", "iota"})


class Tiered:
    """A graph that is ready to be run in the way that pays.

    Args:
        graph: simplified.
        updates: it updates what is trained.
        trains: derivatives of its results may be asked for.
    """

    __slots__ = (
        "graph", "runs", "_cost", "_due", "_interpreted", "_lock", "_runner", "_trains",
    )  # fmt: skip

    def __init__(
        self, graph: Graph, updates: bool = False, trains: bool = False
    ) -> None:
        self.graph = graph
        self.runs = 0
        self._lock = threading.Lock()
        self._interpreted: Interpreted | None = None
        self._runner: Runner | None = None
        self._cost = interpreting_cost(graph)
        self._trains = updates or (trains and self._cost >= _CHEAP)
        self._due = self._first_compiled_run()

    def run(self, values: list[Any]) -> list[np.ndarray]:
        """Return the values of the outputs, given those of the inputs.

        The list is the run's own: inputs that nothing else refers to may be
        overwritten.
        """
        if settings.check:
            return self._run_both(values)
        runner = self._runner
        if runner is None:
            if not self._is_due():
                return self.interpret(values)
            runner = self._compile()
            if runner is None:
                return self.interpret(values)
        try:
            return runner.run(values)
        except WrongIndex as wrong:
            self.interpret(wrong.args[0])
            raise AssertionError("the interpreter found no wrong index") from wrong

    def interpret(self, values: Sequence[Any]) -> list[np.ndarray]:
        """Return the values of the outputs by the primitives' references."""
        if self._interpreted is None:
            self._interpreted = Interpreted(self.graph)
        return self._interpreted.run(values)

    def _first_compiled_run(self) -> float:
        """Return the number of the first run that is compiled."""
        nodes = sum(node.primitive.name not in _FREE for node in self.graph.nodes())
        if not nodes:
            return math.inf
        if self._trains or self._cost > _COMPILED * nodes:
            return 1
        return 2 if self._cost >= _CHEAP else _LATER

    def _is_due(self) -> bool:
        self.runs += 1
        if settings.execution == "auto":
            return self.runs >= self._due
        return settings.execution == "compile"

    def _compile(self) -> Runner | None:
        reason = unavailable()
        if reason:
            _warn_once(reason)
            self._due = math.inf
            return None
        with self._lock:
            if self._runner is None:
                start = time.perf_counter()
                program = compile_graph(self.graph, host())
                self._runner = Runner(program)
                self._log(len(program.kernels), time.perf_counter() - start)
            return self._runner

    def _log(self, kernels: int, seconds: float) -> None:
        if settings.execution == "compile":
            why = "settings.execution is 'compile'"
        elif self._trains:
            why = "it is a step of training"
        elif self._due == 1:
            why = f"interpreting it would take about {self._cost / 1000:.0f} ms"
        else:
            why = f"this is its run number {self.runs}"
        nodes = self.graph.nodes()
        where = next((node.where for node in nodes if node.where), "")
        message = (
            f"compiled because {why}: {len(nodes)} nodes"
            f"{f', the first at {where},' if where else ''} to {kernels} kernels "
            f"in {seconds * 1000:.0f} ms"
        )
        logger.info(message)
        if settings.shows("compile"):
            print(f"# {message}", file=sys.stderr)

    def _run_both(self, values: list[Any]) -> list[np.ndarray]:
        """Run both ways, compare, and return what the compiled program gave."""
        self.runs += 1
        expected = self.interpret(list(values))
        runner = self._runner or self._compile()
        if runner is None:
            return expected
        found = runner.run(values)
        for node, right, got in zip(self.graph.outputs, expected, found, strict=True):
            compare(node, right, got)
        return found


def interpreting_cost(graph: Graph) -> float:
    """Return about how many microseconds one interpretation takes."""
    total = 0.0
    for node in graph.nodes():
        name = node.primitive.name
        if name in _FREE:
            continue
        types = [node.type] if isinstance(node.type, TensorType) else list(node.type)
        nbytes = sum(type.nbytes for type in (*types, *_types(node.operands)))
        total += _INTERPRETED + nbytes / _BYTES
        if name == "dot":
            x = node.operands[0]
            inner = math.prod(x.shape[axis] for axis in node.attributes["axes"][0])
            total += node.size * inner / _PRODUCTS
        elif name == "convolution":
            weight = node.operands[1]
            total += node.size * math.prod(weight.shape[1:]) / _PRODUCTS
        elif name == "scan":
            body = interpreting_cost(node.attributes["body"])
            total += body * node.attributes["length"]
    return total


def _types(nodes: Sequence[Node]) -> list[TensorType]:
    return [node.type for node in nodes if isinstance(node.type, TensorType)]


# How far a compiled result may be from the interpreted one, relative to the largest
# number in it: some hundred roundings, as sums are added up in another order.
_TOLERANCES = {"float64": 1e-10, "float32": 2e-4, "bfloat16": 0.05, "float16": 0.01}


def compare(node: Node, expected: np.ndarray, found: np.ndarray) -> None:
    """Raise unless a compiled result is the interpreted one up to rounding.

    Raises:
        WrongResultError: it is not, naming the line of the node.
    """
    tolerance = _TOLERANCES.get(node.dtype.name, 0.0)
    if tolerance == 0.0:
        wrong = expected != found
    else:
        right = np.asarray(expected, np.float64)
        got = np.asarray(found, np.float64)
        finite = np.isfinite(right)
        scale = np.abs(right[finite]).max(initial=1e-30)
        with np.errstate(all="ignore"):
            near = np.abs(right - got) <= tolerance * scale
        same = (right == got) | (np.isnan(right) & np.isnan(got))
        wrong = ~np.where(finite, near, same)
    if not wrong.any():
        return
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    error = WrongResultError(
        f"[check] the compiled {node.primitive.name} differs from the interpreted one "
        f"in {int(wrong.sum())} of {wrong.size} elements, first at {at}",
        got=str(found[at]),
        expected=f"{expected[at]}, up to {tolerance:g} of the largest element",
        fix="please report it; settings.execution = 'interpret' goes around it",
    )
    error.where = node.where or error.where
    raise error


@cache
def _warn_once(reason: str) -> None:
    warnings.warn(
        f"programs are interpreted, which is slow: {reason}",
        CompileWarning,
        stacklevel=2,
    )

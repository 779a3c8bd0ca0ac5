"""The two ways a graph is run: interpreted at first, then as machine code.

The first run of a graph is interpreted, so that what is run once never waits for a
compiler. From the second run on it is compiled; small graphs from a later run on, and
graphs whose interpretation costs more than compiling them at once. The choice depends
on the graph and the number of runs alone, never on time.

Both ways give the same numbers up to rounding. Training must not depend on how often
something ran before, or it could not be resumed with the same bits: graphs that belong
to it are compiled at once.

What differs from a compiled program in a smaller batch alone, such as the last batch of
an evaluation, is compiled once interpreting it has cost as much as that would.

Read first: `Tiered`.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ahead import finish
from ..errors import CompileWarning
from ..ir.evaluate import Interpreted
from ..ir.graph import Graph, Node, TensorType
from ..late import late
from ..program import Program, WrongIndex
from ..settings import settings
from ..stopwatch import taken
from . import profile
from .compare import compare
from .compiled import compiled
from .device import CPU, place
from .family import family_of
from .nonfinite import traced, wrong_outputs

if TYPE_CHECKING:
    from .. import runtime
    from ..compile import listing, wgsl
    from ..runtime import timeline, webgpu
else:
    webgpu = late("plait.runtime.webgpu")
    wgsl = late("plait.compile.wgsl")
    listing = late("plait.compile.listing")
    runtime = late("plait.runtime")
    timeline = late("plait.runtime.timeline")

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
        recorded: as it was before that.
        updated: the outputs that take the place of old values; None if it updates
            nothing that is trained.
        trains: derivatives of its results may be asked for.
    """

    __slots__ = (
        "graph", "recorded", "runs", "_ahead", "_cost", "_due", "_elsewhere", "_family",
        "_interpreted", "_lasts", "_lock", "_passes", "_runner", "_trains", "_updated",
        "_waits",
    )  # fmt: skip

    def __init__(
        self,
        graph: Graph,
        recorded: Graph | None = None,
        updated: Mapping[int, int] | None = None,
        trains: bool = False,
    ) -> None:
        updates = updated is not None
        self._updated = dict(updated or {})
        self.graph = graph
        self.recorded = graph if recorded is None else recorded
        self.runs = 0
        self._family = family_of(self.recorded)
        self._passes = taken()  # of what has made the graph
        self._waits = False
        self._lock = threading.Lock()
        self._interpreted: Interpreted | None = None
        self._runner: runtime.Runner | None = None
        self._elsewhere: webgpu.Runner | None = None
        self._cost = interpreting_cost(graph)
        self._ahead = updates and not trains  # else histories hold what may change
        self._trains = updates or (trains and self._cost >= _CHEAP)
        self._lasts = not updates and not trains
        self._due = self._first_compiled_run()

    def run(self, values: list[Any]) -> list[np.ndarray]:
        """Return the values of the outputs, given those of the inputs.

        The list is the run's own: inputs that nothing else refers to may be
        overwritten.
        """
        if place.device is not CPU:
            return self._run_elsewhere(values)
        if settings.trace_nonfinite:
            return self._run_traced(values)
        if settings.check:
            return self.run_both(values)
        watching = profile.watching
        if watching is not None:
            return self._run_watched(values, watching)
        runner = self._runner
        if runner is None:
            runner = self._compiled_if_due()
            if runner is None:
                return self.interpret(values)
        return self._run_compiled(runner, values, self._ahead)

    def _run_compiled(
        self, runner: runtime.Runner, values: list[Any], may_run_on: bool = False
    ) -> list[np.ndarray]:
        try:
            if may_run_on:
                return runner.start(values)
            return runner.run(values)
        except WrongIndex as wrong:
            values[:] = wrong.args[0]  # the run has let go of them
        # It raises; or it does not, if it rounds otherwise and a matrix that seemed to
        # be singular is not.
        return self.interpret(values)

    def _run_elsewhere(self, values: list[Any]) -> list[np.ndarray]:
        """Run on WebGPU, which is compiled for at once."""
        finish()
        if self._elsewhere is None and self._first_compiled_run() == math.inf:
            return self.interpret(values)  # nothing is computed
        with self._lock:
            if self._elsewhere is None:
                precision = settings.matmul_precision
                program = wgsl.compile_graph(self.graph, precision)
                self._elsewhere = webgpu.Runner(program)
        try:
            return self._elsewhere.run(values)
        except WrongIndex:
            return self.interpret(values)

    def _run_traced(self, values: list[Any]) -> list[np.ndarray]:
        """Run, and raise if results are not finite that should be."""
        given = list(values)  # held, so that nothing is written over them
        runner = self._runner or self._compiled_if_due()
        if settings.check:
            results = self.run_both(values)
        elif runner is None:
            results = self.interpret(values)
        else:
            results = self._run_compiled(runner, values)
        wrong = wrong_outputs(results, self._updated)
        if wrong:
            values[:] = given
            raise traced(self.graph, given, wrong)
        return results

    def interpret(self, values: Sequence[Any]) -> list[np.ndarray]:
        """Return the values of the outputs by the primitives' references."""
        finish()
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
        limit = settings.memory_limit << 20
        if limit and sum(map(_nbytes, self.graph.nodes())) > limit:
            return 1  # the interpreter keeps to no limit
        return 2 if self._cost >= _CHEAP else _LATER

    def _compiled_if_due(self) -> runtime.Runner | None:
        self.runs += 1
        if settings.execution == "auto":
            if self.runs < self._due or self._shall_wait():
                return None
        elif settings.execution != "compile":
            return None
        return self.compile()

    def _shall_wait(self) -> bool:
        """Return whether compiling is put off, the first time that it is due."""
        if self._waits or self._trains or self._due == 1:
            return False
        self._waits = True
        larger = self._family.larger(self.recorded)
        if larger is None:
            return False
        nodes = sum(node.primitive.name not in _FREE for node in self.graph.nodes())
        self._due = math.ceil(_COMPILED * nodes / self._cost)
        logger.info(
            "interpreted until run number %d: only the batch is smaller than that of a "
            "compiled program: %s",
            self._due,
            self._family.difference(self.recorded),
        )
        return self.runs < self._due

    def compile(self, program: Program | None = None) -> runtime.Runner | None:
        """Return the compiled program, made once; None where that cannot be.

        Args:
            program: what the compiler makes of the graph, where it is there already.
        """
        reason = runtime.unavailable()
        if reason:
            _warn_once(reason)
            self._due = math.inf
            return None
        with self._lock:
            if self._runner is None:
                taken()
                start = time.perf_counter_ns()
                asked = program is not None
                if program is None:
                    program = compiled(self.graph, self._lasts)
                self._runner = runtime.Runner(program)
                end = time.perf_counter_ns()
                self._passes.update(taken())
                self._log(len(program.kernels), (end - start) / 1e9, asked)
                _show(program)
                if profile.watching is not None:
                    nodes = len(self.graph.nodes())
                    profile.watching.add("compile", f"{nodes} nodes", start, end)
            return self._runner

    def _log(self, kernels: int, seconds: float, asked: bool) -> None:
        if asked:
            why = "compile() was called"
        elif settings.execution == "compile":
            why = "settings.execution is 'compile'"
        elif self._trains:
            why = "it is a step of training"
        elif settings.memory_limit and self._due == 1:
            why = "there is a limit of memory"
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
        difference = self._family.difference(self.recorded)
        if difference:
            message += f"; of a program with the same steps, {difference}"
        self._family.join(self.recorded)
        logger.info(message)
        if settings.shows("compile"):
            print(f"# {message}", file=sys.stderr)
        if settings.time:
            print(_spent(self._passes), file=sys.stderr)

    def _run_watched(
        self, values: list[Any], watching: profile.Profile
    ) -> list[np.ndarray]:
        """Run as `run` does, and take down what it took."""
        runner = self._runner or self._compiled_if_due()
        nodes = len(self.graph.nodes())
        start = time.perf_counter_ns()
        if runner is None:
            results = self.interpret(values)
            end = time.perf_counter_ns()
            watching.add("interpreted", f"{nodes} nodes", start, end)
            return results
        table = timeline.Timeline()
        try:
            return runner.run(values, table)
        except WrongIndex as wrong:
            values[:] = wrong.args[0]
        finally:
            end = time.perf_counter_ns()
            watching.add("program", f"{nodes} nodes", start, end)
            watching.add_spans(runner.steps, table.spans)
        return self.interpret(values)

    def run_both(self, values: list[Any]) -> list[np.ndarray]:
        """Run both ways, compare, and return what the compiled program gave."""
        self.runs += 1
        expected = self.interpret(list(values))
        runner = self._runner or self.compile()
        if runner is None:
            return expected
        given = [np.array(value) for value in values]
        found = runner.run(values)
        compare(self.graph, given, expected, found)
        return found


def _show(program: Program) -> None:
    """Print the stages of a compiled program that are to be shown."""
    if not settings.show:
        return
    for stage in listing.STAGES:
        if settings.shows(stage):
            kernel = settings.shown_kernel(stage)
            if kernel is None or kernel < len(program.kernels):
                text = listing.listing(program, stage, kernel)
                print(f"# {stage}\n{text}", file=sys.stderr)
    taken()


# The passes of a compilation, in order.
_PASSES = ("simplify", "group", "lower", "loops", "emit", "assemble", "load")


def _spent(passes: dict[str, float]) -> str:
    """Return a line about the seconds of passes."""
    times = [f"{x} {passes[x] * 1000:.1f}" for x in _PASSES if x in passes]
    cached = "" if "assemble" in passes else "; all kernels came from the cache"
    total = sum(passes.values()) * 1000
    return f"# passes, in ms: {', '.join(times)}; {total:.1f} together{cached}"


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


def _nbytes(node: Node) -> int:
    return node.type.nbytes if isinstance(node.type, TensorType) else 0


def _types(nodes: Sequence[Node]) -> list[TensorType]:
    return [node.type for node in nodes if isinstance(node.type, TensorType)]


@cache
def _warn_once(reason: str) -> None:
    warnings.warn(
        f"programs are interpreted, which is slow: {reason}",
        CompileWarning,
        stacklevel=2,
    )

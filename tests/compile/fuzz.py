"""Looks for graphs that are compiled wrong, for as long as one likes.

    python -m tests.compile.fuzz --seconds 600 --seed 1

Graphs are made, compiled and run in a process of their own, so that a crash, too, is
caught. What fails is made small, and printed with its seed, which `--only` runs again.

Read first: `hunt`, `shrink`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from plait.errors import PlaitError
from plait.ir.build import make_input, substitute
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph, Node, TensorType
from plait.ir.text import to_text
from plait.program import WrongIndex

from . import both
from .programs import Case, random_case

_ROOT = Path(__file__).parents[2]
# Processes are started anew after so many graphs, as each keeps its code.
_ROUND = 400
# And after so many failures.
_ENOUGH = 3


def examine(case: Case) -> None:
    """Raise unless a graph gives the same compiled and interpreted."""
    graph, arguments = case.graph, case.arguments
    try:
        expected = interpret(graph, arguments)
    except PlaitError as error:
        program, _ = both.compiled_unproven(graph)
        try:
            both.run(program, arguments, 1)
        except (WrongIndex, PlaitError):
            return
        raise AssertionError(f"compiled it does not raise {error!r}") from None
    both.check(graph, arguments, case.exact, expected=expected, prove=False)


# Making it small


def shrink(case: Case, fails: Any) -> Case:
    """Return a small case that fails too.

    Args:
        fails: takes a case.
    """
    improved = True
    while improved:
        improved = False
        for smaller in _smaller(case):
            if fails(smaller):
                case = smaller
                improved = True
                break
    return case


def _smaller(case: Case) -> Iterator[Case]:
    """Yield cases that are smaller, those that save the most first."""
    graph = case.graph
    if len(graph.outputs) > 1:
        for y in dict.fromkeys(graph.outputs):
            yield replace(case, graph=Graph(graph.inputs, [y]))
        for i in range(len(graph.outputs)):
            rest = [*graph.outputs[:i], *graph.outputs[i + 1 :]]
            yield replace(case, graph=Graph(graph.inputs, rest))
    nodes = [x for x in graph.nodes() if isinstance(x.type, TensorType)]
    for node in nodes:
        if graph.outputs != (node,):
            yield replace(case, graph=Graph(graph.inputs, [node]))
    for node in reversed(nodes):
        cut = _cut(case, node)
        if cut is not None:
            yield cut
    for node in nodes:
        for x in node.operands:
            if x.type is node.type:
                yield _replaced(case, node, x)
    used = {x for node in graph.nodes() for x in node.operands} | set(graph.outputs)
    kept = [i for i, x in enumerate(graph.inputs) if x in used]
    if len(kept) < len(graph.inputs):
        yield replace(
            case,
            graph=Graph([graph.inputs[i] for i in kept], graph.outputs),
            arguments=[case.arguments[i] for i in kept],
        )


def _cut(case: Case, node: Node) -> Case | None:
    """Return the case with a node's value given."""
    graph = case.graph
    if not any(x not in graph.inputs for x in node.operands) and node.operands:
        return None
    try:
        (value,) = interpret(Graph(graph.inputs, [node]), case.arguments)
    except PlaitError:
        return None
    given = make_input(node.shape, node.dtype)
    outputs = substitute(graph.outputs, {node: given})
    grown = Graph((*graph.inputs, given), outputs)
    return replace(case, graph=grown, arguments=[*case.arguments, value])


def _replaced(case: Case, node: Node, other: Node) -> Case:
    outputs = substitute(case.graph.outputs, {node: other})
    return replace(case, graph=Graph(case.graph.inputs, outputs))


def describe(case: Case) -> str:
    """Return the graph of a case, and its arguments."""
    lines = [to_text(case.graph)]
    for x in case.arguments:
        array = np.asarray(x)
        lines.append(f"{array.dtype}{array.shape}: {array.ravel()[:12].tolist()}")
    return "\n".join(lines)


# In the process that may crash


def _failure(case: Case) -> str:
    """Return the kind of failure, or ""."""
    try:
        examine(case)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _fails_like(failure: str, case: Case) -> bool:
    return _failure(case).split(":")[0] == failure.split(":")[0]


def _work(first: int, count: int, seconds: float) -> None:
    """Examine graphs; say which one it is before each."""
    end = time.monotonic() + seconds
    failures = 0
    for seed in range(first, first + count):
        print(f"seed {seed}", flush=True)
        case = random_case(seed, loops=True)
        found = _failure(case)
        if found:
            small = shrink(case, partial(_fails_like, found))
            print(f"failed {seed}\n{_failure(small)}\n{describe(small)}", flush=True)
            failures += 1
        if time.monotonic() > end or failures == _ENOUGH:
            break
    print("done", flush=True)


def _steps(seed: int, path: list[int]) -> Case:
    """Return the case of a seed, made smaller by steps that are numbered."""
    case = random_case(seed, loops=True)
    for step in path:
        case = list(_smaller(case))[step]
    return case


# Outside of it


def hunt(seed: int, seconds: float, most: int = 10) -> tuple[int, list[str]]:
    """Examine graphs from a seed on.

    Returns:
        How many were examined, and what failed.
    """
    end = time.monotonic() + seconds
    first, found, examined = seed, [], 0
    while time.monotonic() < end and len(found) < most:
        left = end - time.monotonic()
        process = subprocess.run(
            [*_command(), "--work", str(first), str(_ROUND), str(left)],
            capture_output=True,
            text=True,
            check=False,
            cwd=_ROOT,
        )
        lines = process.stdout.splitlines()
        seeds = [int(x.split()[1]) for x in lines if x.startswith("seed ")]
        examined += len(seeds)
        report = [x for x in lines if not x.startswith("seed ") and x != "done"]
        for line in report:
            if line.startswith("failed "):
                found.append(line)
            else:
                found[-1] += f"\n{line}"
        if not seeds:
            raise RuntimeError(f"it does not start:\n{process.stderr[-3000:]}")
        if process.returncode:
            found.append(_crash(seeds[-1], process.returncode, process.stderr, end))
        first = seeds[-1] + 1
    return examined, found


def _command() -> list[str]:
    return [sys.executable, "-X", "faulthandler", "-m", "tests.compile.fuzz"]


def _crash(seed: int, code: int, stderr: str, end: float) -> str:
    """Return the report of a graph at which the process died, made small."""
    path: list[int] = []
    improved = True
    # A signal ends a process with a number below 0.
    while code < 0 and improved and time.monotonic() < end:
        improved = False
        for step in range(len(list(_smaller(_steps(seed, path))))):
            tried = [str(x) for x in (*path, step)]
            process = subprocess.run(
                [*_command(), "--only", str(seed), "--path", *tried],
                capture_output=True,
                check=False,
                cwd=_ROOT,
            )
            if process.returncode < 0:
                path.append(step)
                improved = True
                break
    text = describe(_steps(seed, path))
    return f"failed {seed}: the process ended with {code}\n{stderr[-3000:]}\n{text}"


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="look for graphs compiled wrong")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=10, help="failures to stop at")
    parser.add_argument("--only", type=int, help="one seed, in this process")
    parser.add_argument("--path", type=int, nargs="*", default=[])
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        first, count, seconds = given.work
        _work(int(first), int(count), float(seconds))
        return 0
    if given.only is not None:
        case = _steps(given.only, given.path)
        print(describe(case), flush=True)
        examine(case)
        return 0
    examined, found = hunt(given.seed, given.seconds, given.most)
    print("\n\n".join([*found, f"{examined} graphs, {len(found)} failures"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

"""Random graphs, compiled and interpreted, for some seconds; see `fuzz`.

`PLAIT_FUZZ_SECONDS=600` looks longer.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from plait.dtypes import float32
from plait.errors import WrongResultError
from plait.ir.build import make_input
from plait.ir.graph import Graph
from plait.ir.text import from_text
from plait.ops import elementwise as e
from plait.ops import movement as m
from plait.ops import reduce as r
from plait.transform import ALL_PRIMITIVES

from . import fuzz
from .programs import Case, random_case

SECONDS = float(os.environ.get("PLAIT_FUZZ_SECONDS", "20"))
# What the search has found, made small.
GRAPHS = {
    "the alarm lies where a value lay": """
graph(%0: int64[2, 3], %1: float64[1, 8], %2: float64[1, 8]) {
  %3 = multiply(%2, %1) : float64[1, 8]
  %4 = cumulative_sum(%3, axis=0) : float64[1, 8]
  %5 = gather(%4, %0, axis=1, batch=0) : float64[1, 2, 3]
  return %5
}""",
    "a padding at the end reads its operand at the same index": """
graph(%0: float32[3, 31, 2], %1: float32[9], %2: float32[31, 2, 3]) {
  %3 = dot(%0, %2, axes=((), ()), batch=((1, 2, 0), (0, 1, 2))) : float32[31, 2, 3]
  %4 = pad(%3, value=0, widths=((0, 0), (0, 0), (0, 6))) : float32[31, 2, 9]
  %5 = dot(%4, %1, axes=((2,), (0,)), batch=((), ())) : float32[31, 2]
  return %5
}""",
    "padding of nothing": """
graph(%0: float32[1, 0, 3]) {
  %1 = pad(%0, value=7, widths=((0, 0), (1, 2), (0, 0))) : float32[1, 3, 3]
  return %1
}""",
    "concatenation of nothing": """
graph(%0: float32[1, 0], %1: float32[3]) {
  %2 = concatenate(%0, %0, axis=0) : float32[2, 0]
  %3 = sum(%2, axes=(1,)) : float32[2]
  return %2, %3
}""",
    "a product that adds up nothing": """
graph(%0: bfloat16[3, 0], %1: bfloat16[3, 0]) {
  %2 = dot(%0, %1, axes=((1,), (1,)), batch=((0,), (0,))) : bfloat16[3]
  return %2
}""",
    "a constant is the operand of a call": """
graph(%0: float64[2, 2]) {
  %1 = constant(value=float64[2, 2] [[2.0, 0.0], [0.0, 3.0]]) : float64[2, 2]
  %2 = cholesky(%1, upper=False) : float64[2, 2]
  %3 = add(%2, %0) : float64[2, 2]
  return %3
}""",
    "reductions of nothing with others": """
graph(%0: float32[0], %1: float32[0]) {
  %2 = tanh(%0) : float32[0]
  %3 = sum(%2, axes=(0,)) : float32[]
  %4 = reshape(%3, shape=(1,)) : float32[1]
  %5 = sum(%1, axes=(0,)) : float32[]
  %6 = reshape(%5, shape=(1,)) : float32[1]
  %7 = expand(%6, shape=(0,)) : float32[0]
  %8 = add(%7, %2) : float32[0]
  return %4, %8
}""",
    "an index into an axis of size 0": """
graph(%0: int64[9]) {
  %1 = wrap_index(%0, axis=0, size=0) : int64[9]
  return %1
}""",
    "a row of nothing is looked up": """
graph(%0: float64[16, 1, 0, 16], %1: int64[1]) {
  %2 = gather(%0, %1, axis=2, batch=0) : float64[16, 1, 1, 16]
  return %2
}""",
    "a tile of what is looked up": """
graph(%0: int64[8, 9, 3], %1: float64[8, 7, 9]) {
  %2 = permute(%1, axes=(0, 2, 1)) : float64[8, 9, 7]
  %3 = gather(%2, %0, axis=2, batch=2) : float64[8, 9, 3]
  %4 = permute(%3, axes=(2, 1, 0)) : float64[3, 9, 8]
  return %4
}""",
    "what nobody reads": """
graph(%0: float64[1, 0, 4], %1: float64[3]) {
  %2 = sum(%1, axes=(0,)) : float64[]
  %3 = dot(%0, %2, axes=((), ()), batch=((), ())) : float64[1, 0, 4]
  %4 = reshape(%3, shape=(1, 1, 0, 4)) : float64[1, 1, 0, 4]
  %5 = pad(%4, value=0, widths=((0, 0), (0, 2), (0, 0), (0, 0))) : float64[1, 3, 0, 4]
  return %5
}""",
    "16-bit floats on the way to others": """
graph(%0: bfloat16[17, 1], %1: bfloat16[1, 17, 1]) {
  %2 = expand(%0, shape=(1, 17, 1)) : bfloat16[1, 17, 1]
  %3 = add(%1, %2) : bfloat16[1, 17, 1]
  %4 = cast(%3, dtype=float32) : float32[1, 17, 1]
  return %4
}""",
    "what roundings make of a difference": """
graph(%0: float16[3], %1: float16[3]) {
  %2 = exp(%0) : float16[3]
  %3 = subtract(%2, %2) : float16[3]
  %4 = multiply(%3, %1) : float16[3]
  %5 = subtract(%1, %2) : float16[3]
  return %4, %5
}""",
}


@pytest.mark.timeout(max(120, 3 * SECONDS))
def test_random_graphs_are_compiled_as_interpreted():
    examined, found = fuzz.hunt(1_000_000, SECONDS, most=3)
    assert not found, "\n\n".join(found)
    assert examined


@pytest.mark.parametrize("text", GRAPHS.values(), ids=GRAPHS)
def test_graphs_that_once_failed(text):
    graph = from_text(text.strip(), ALL_PRIMITIVES)
    rng = np.random.default_rng(0)
    arrays = [fuzz.both.numbers(rng, x.shape, x.dtype) for x in graph.inputs]
    fuzz.examine(Case(graph, arrays, False))


def test_the_graphs_are_worth_running():
    primitives = set()
    derivatives = several = empty = 0
    for seed in range(150):
        graph = random_case(seed).graph
        nodes = graph.nodes()
        primitives |= {node.primitive.name for node in nodes}
        several += len(graph.outputs) > 1
        empty += any(y.size == 0 for y in graph.outputs)
        derivatives += sum(node.primitive.name == "scatter" for node in nodes)
    assert len(primitives) > 60
    assert several > 50
    assert 2 < empty < 50
    assert derivatives


def wrong_case():
    """A graph whose arguments are said to give something else."""
    x, y = make_input((2, 3), float32), make_input((3,), float32)
    total = r.sum(e.tanh(e.add(x, y)), [0])
    bad = e.floor(m.flip(e.multiply(total, 10.0), axis=[0]))
    arrays = [np.ones((2, 3), np.float32), np.ones(3, np.float32)]
    return Case(Graph([x, y], [total, e.exp(e.negative(bad)), y]), arrays, False)


def test_what_fails_is_made_small():
    """Here a graph fails as long as it has the primitive `floor`."""

    def fails(case):
        return any(node.primitive.name == "floor" for node in case.graph.nodes())

    small = fuzz.shrink(wrong_case(), fails)
    names = [node.primitive.name for node in small.graph.nodes()]
    assert names == ["floor"]
    assert len(small.graph.inputs) == len(small.arguments) == 1
    assert "floor" in fuzz.describe(small)


def test_a_wrong_result_is_seen(monkeypatch):
    case = wrong_case()

    def off(program, arrays, threads):
        return [y + np.float32(0.5) for y in run(program, arrays, threads)]

    run = fuzz.both.run
    fuzz.examine(case)
    monkeypatch.setattr(fuzz.both, "run", off)
    with pytest.raises(WrongResultError):
        fuzz.examine(case)


CRASHING = """
import ctypes
import sys

from tests.compile import fuzz


def examine(case):
    if any(node.primitive.name == "tanh" for node in case.graph.nodes()):
        ctypes.string_at(0)


fuzz.examine = examine
sys.exit(fuzz.main())
"""


def test_a_crash_is_reported_with_its_graph(tmp_path, monkeypatch):
    """Here the process dies of each graph with the primitive `tanh`."""
    script = tmp_path / "crashing.py"
    script.write_text(CRASHING)
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, *sys.path]))
    command = [sys.executable, "-X", "faulthandler", str(script)]
    monkeypatch.setattr(fuzz, "_command", lambda: command)
    seed = next(
        seed
        for seed in range(1000)
        if sum(
            n.primitive.name == "tanh"
            for n in random_case(seed, loops=True).graph.nodes()
        )
        == 1
    )
    _, found = fuzz.hunt(seed, 5, most=1)
    assert f"failed {seed}: the process ended with -" in found[0]
    assert "Fatal Python error" in found[0]
    assert found[0].count(" = tanh(") == 1

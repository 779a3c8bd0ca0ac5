"""Compiled programs are found again by the next process, and only where they fit."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import plait
from plait.compile import saved
from plait.compile.pipeline import compile_graph
from plait.dtypes import float32, int64
from plait.ir.build import apply, make_input
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph
from plait.ir.text import from_text, to_text
from plait.ops import contract, source
from plait.ops.convolution import CONVOLUTION
from plait.program import Host, Launch, Settled
from plait.runtime import Runner, cache, kernels
from plait.settings import settings
from plait.tensor import compiled as module
from plait.tensor.compare import compare
from plait.tensor.compiled import compiled
from plait.transform import ALL_PRIMITIVES
from plait.transform.simplify import simplify

from ..compile.planning.test_alike import training_step


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Have an empty cache of its own."""
    monkeypatch.setattr(settings, "cache", str(tmp_path))
    monkeypatch.setattr(cache, "_state", cache._State())
    return tmp_path / "objects"


@pytest.fixture
def compilations(monkeypatch):
    """Return a list of the graphs that the compiler was given."""
    found = []

    def counted(graph, *rest):
        found.append(graph)
        return compile_graph(graph, *rest)

    monkeypatch.setattr(module.pipeline, "compile_graph", counted)
    return found


def traced(function, *examples):
    examples = [plait.asarray(x) for x in examples]
    return simplify(plait.jit(function).trace(*examples).graph)


def turns(x, xs):
    return plait.scan(lambda c, v: ((c + v).tanh(), c.sum()), x, xs)


def halves(x):
    return plait.while_loop(lambda x: x.sum() > 1, lambda x: x / 2, x)


def branches(x):
    return plait.cond(x.sum() > 0, lambda x: x + 1, lambda x: x.sort(), x)


def constants():
    x = make_input((4, 6), float32)
    numbers = source.constant(np.arange(36.0).reshape(6, 6), float32)
    return simplify(Graph([x], [contract.matmul(x, numbers)]))


def values_of(graph):
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 3, x.shape)
        if x.dtype is int64
        else rng.standard_normal(x.shape).astype(x.dtype.numpy)
        for x in graph.inputs
    ]


def plain(program):
    """Return a program, but for the lines of the user's, as what can be compared."""
    return (
        [(x.name, x.key, x.chunks, x.scratch, x.work) for x in program.kernels],
        [list(x.uses) for x in program.kernels],
        [
            (x.operands, x.results, getattr(x.function, "func", x.function))
            if isinstance(x, Host)
            else x._replace(where="")
            if isinstance(x, Launch)
            else x
            for x in program.instructions
        ],
        (program.inputs, program.outputs, program.arena, program.slots),
        (program.constants.tobytes(), program.donations),
    )


EXAMPLE = np.ones((4, 6), np.float32)
GRAPHS = {
    "a step of training": lambda: training_step(3),
    "scan": lambda: traced(turns, EXAMPLE, np.ones((3, 4, 6), np.float32)),
    "while": lambda: traced(halves, EXAMPLE),
    "cond": lambda: traced(branches, EXAMPLE),
    "constants": constants,
    "a wrong index is told": lambda: traced(
        lambda x, i: x.take(i, axis=0), EXAMPLE, np.array([1, 3])
    ),
    "calls of Python": lambda: traced(lambda x: [*plait.linalg.qr(x)], np.eye(4)),
    "nothing": lambda: Graph(*[[make_input((3,), float32)]] * 2),
}


def anew(graph):
    """Return an equal graph, as another process would have it."""
    return from_text(to_text(graph), ALL_PRIMITIVES)


@pytest.mark.parametrize("name", GRAPHS)
def test_the_next_process_need_not_compile(name, compilations):
    graph = GRAPHS[name]()
    first = compiled(graph)
    Runner(first)  # keeps the kernels
    again = compiled(anew(graph))
    assert plain(again) == plain(first)
    values = values_of(graph)
    expected = interpret(graph, list(values))
    compare(graph, values, expected, Runner(again).run(tuple(values)))
    assert len(compilations) == 1


def test_the_lines_are_those_of_the_graph_that_asks():
    graph = GRAPHS["a step of training"]()
    other = anew(graph)
    for i, node in enumerate(other.nodes()):
        node.where = f"net.py:{i}"
    first, again = compiled(graph), compiled(other)
    pairs = [
        (x, y)
        for x, y in zip(first.instructions, again.instructions, strict=True)
        if not isinstance(x, Settled)
    ]
    lines = {x.where: set() for x, _ in pairs}
    for x, y in pairs:
        lines[x.where].add(y.where)
    assert all(x.startswith("test_") or "/" in x for x in lines)
    for line, (found,) in lines.items():
        nodes = zip(graph.nodes(), other.nodes(), strict=True)
        assert line in [x.where for x, y in nodes if y.where == found]


def test_what_lasts_is_part_of_it(compilations):
    inputs = [make_input((1, 16, 8, 8), float32), make_input((64, 16, 3, 3), float32)]
    one = ((1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), 1)
    names = ("stride", "padding", "dilation", "input_dilation", "groups")
    result = apply(CONVOLUTION, *inputs, **dict(zip(names, one, strict=True)))
    graph = Graph(inputs, [result])
    first, again = compiled(graph, lasts=True), compiled(anew(graph), lasts=True)
    assert first.lasts
    for name in ("lasts", "lasting", "lasting_slot"):
        assert getattr(again, name) == getattr(first, name)
    assert not compiled(graph).lasts
    assert len(compilations) == 2


DAMAGES = {
    "cut off": lambda data: data[:-7],
    "a bit": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_damaged_is_compiled_again(damage, folder, compilations):
    graph = GRAPHS["scan"]()
    first = compiled(graph)
    (path,) = folder.iterdir()
    data = path.read_bytes()
    path.write_bytes(damage(data))
    assert plain(compiled(graph)) == plain(first)
    assert len(compilations) == 2
    assert path.read_bytes() == data


OTHERS = {
    "no JSON": lambda parts: "x",
    "no program": lambda parts: {},
    "an unknown instruction": lambda parts: {**parts, "instructions": [[99]]},
    "a missing part": lambda parts: {**parts, "kernels": [[1]]},
    "a call of something else": lambda parts: {
        **parts,
        "instructions": [
            [1, "graph() { %0 = system() : int64[] return %0 }", [], [], 0]
        ],
    },
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_what_is_no_program_is_compiled_again(change, folder, compilations):
    graph = GRAPHS["cond"]()
    first = compiled(graph)
    (path,) = folder.iterdir()
    data = json.dumps(change(json.loads(path.read_bytes()[cache._HEADER :])))
    cache.put(path.name.removesuffix(".object"), data.encode())
    assert plain(compiled(graph)) == plain(first)
    assert len(compilations) == 2


def test_other_source_compiles_again(monkeypatch, compilations):
    graph = GRAPHS["while"]()
    compiled(graph)
    monkeypatch.setattr(module.kernels, "versions", lambda *rooms: f"new {rooms}")
    compiled(graph)
    compiled(graph)
    assert len(compilations) == 2


def test_versions_tell_the_state_of_the_source(tmp_path, monkeypatch):
    source = tmp_path / "plait" / "compile" / "lower.py"
    source.parent.mkdir(parents=True)
    source.write_text("a = 1")
    monkeypatch.setattr(kernels, "__file__", str(tmp_path / "plait" / "x" / "y.py"))
    read = kernels.versions.__wrapped__
    first = read("compile")
    assert first == read("compile") != ""
    source.write_text("a = 12")
    assert read("compile") != first
    os.utime(source, ns=(1, 1))
    assert read("compile") == f"{source} 6 1"
    assert read("ir") == ""


def test_what_decides_is_in_the_key(monkeypatch, compilations):
    for text in ("add(%0, %0)", "multiply(%0, %0)"):
        line = f"%1 = {text} : float32[3]"
        text = f"graph(%0: float32[3]) {{ {line} return %1 }}"
        graph = from_text(text, ALL_PRIMITIVES)
        compiled(graph)
    monkeypatch.setattr(settings, "matmul_precision", "high")
    compiled(graph)
    monkeypatch.setattr(settings, "memory_limit", 100)
    compiled(graph)
    compiled(graph)
    assert len(compilations) == 4


def test_graphs_that_text_cannot_tell_are_not_kept(folder, monkeypatch, compilations):
    graph = traced(lambda x: x.exp(), plait.ones(3))
    (node,) = (x for x in graph.nodes() if x.primitive.name == "exp")
    monkeypatch.setattr(node, "attributes", {"of": object()})
    assert saved.text_of(graph) is None
    monkeypatch.setattr(node, "attributes", {})
    assert saved.text_of(graph) is not None
    monkeypatch.setattr(saved, "_known", lambda: frozenset())
    compiled(graph)
    compiled(graph)
    assert len(compilations) == 2
    assert not folder.exists()


def test_without_a_cache_nothing_is_kept(monkeypatch, folder, compilations):
    monkeypatch.setattr(settings, "cache", "off")
    graph = GRAPHS["cond"]()
    compiled(graph)
    compiled(graph)
    assert len(compilations) == 2
    assert not folder.exists()


def test_large_constants_are_not_kept(monkeypatch, folder):
    monkeypatch.setattr(saved, "_MOST_CONSTANTS", 100)
    compiled(GRAPHS["constants"]())
    assert not folder.exists()


def test_code_that_is_gone_is_built_again(compilations):
    graph = GRAPHS["a step of training"]()
    first = compiled(graph)
    again = compiled(anew(graph))
    for code, other in zip(first.kernels, again.kernels, strict=True):
        assert code.build() == other.build()
        for stage in other.stages:
            assert code.stages[stage]() == other.stages[stage]()
    assert first.kernels[0].stages.keys() == again.kernels[0].stages.keys()
    assert len(compilations) == 2  # once for all of them


KILLED = """
import os, signal
from plait.runtime import cache
from plait.ir.text import from_text
from plait.tensor.compiled import compiled
from plait.transform import ALL_PRIMITIVES
cache.os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)
text = "graph(%0: float32[3]) { %1 = exp(%0) : float32[3] return %1 }"
compiled(from_text(text, ALL_PRIMITIVES))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL")
def test_a_process_killed_while_it_writes_leaves_nothing(folder, compilations):
    environment = {**os.environ, "PLAIT_CACHE": str(folder.parent)}
    done = subprocess.run([sys.executable, "-c", KILLED], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path.suffix for path in folder.iterdir()] == [".unfinished"]
    graph = traced(lambda x: x.exp(), plait.ones(3))
    compiled(graph)
    compiled(graph)
    assert len(compilations) == 1

"""Orders of groups: they need little memory, and respect what must come first."""

import numpy as np
import pytest

from plait.compile.flatten import flatten
from plait.compile.llvm.target import host
from plait.compile.pipeline import compile_graph
from plait.compile.schedule.again import within
from plait.compile.schedule.group import group
from plait.compile.schedule.lives import held_bytes, most_held, stored
from plait.compile.schedule.order import ordered, orders
from plait.compile.split import split
from plait.dtypes import float64
from plait.ir.build import make_input
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph
from plait.ops import special
from plait.runtime import Runner

from ..nets import mlp, transformer
from ..programs import random_case


def grouped(graph):
    graph, after = split(*flatten(graph))
    return group(graph, after), graph


def assert_valid(order, graph):
    """Assert that all is computed before it is read, and kept for the outputs."""
    known = set(graph.inputs)
    for one in order:
        members = set(one.members)
        for node in one.reads:
            assert node in known or node in members or not node.operands
        known |= members
    assert known.issuperset(x for x in graph.outputs if x.operands)


def test_gradients_are_used_at_once():
    graph, _ = mlp(12, 64, 128)
    groups, graph = grouped(graph)
    value = 128 * 64 * 4
    # Not 12 outputs of layers and as many gradients with respect to them.
    assert most_held(ordered(groups, graph), graph) <= (12 + 2.1) * value


@pytest.mark.parametrize("seed", range(30))
def test_random_graphs(seed):
    case = random_case(seed)
    if case is None:
        return
    groups, graph = grouped(case.graph)
    all_orders = orders(groups, graph)
    for order in all_orders:
        assert sorted(x.number for x in order) == sorted(x.number for x in groups)
        assert_valid(order, graph)
    best = ordered(groups, graph)
    assert best in all_orders
    most = most_held(best, graph)
    for part in (0.8, 0.5):
        found, other = within([best, *all_orders], graph, int(part * most))
        assert_valid(found, other)
        assert most_held(found, other) <= most
        assert [x.type for x in other.outputs] == [x.type for x in graph.outputs]


def test_what_runs_again_is_read():
    graph, _ = transformer(2, 2, 16, (2, 16))
    groups, graph = grouped(graph)
    best = ordered(groups, graph)
    room = most_held(best, graph) // 2
    found, other = within([best], graph, room)
    assert len(best) < len(found) < 2 * len(best)
    assert most_held(found, other) <= room
    wanted = stored(found, other)
    nodes = [x for one in found for x in one.members]
    assert len(nodes) == len(set(nodes))
    assert all(wanted.intersection(one.members) for one in found)


@pytest.mark.parametrize("layers", [2, 8])
def test_held_bytes_are_those_of_the_arena(layers):
    graph, _ = mlp(layers, 32, 256)
    arena = compile_graph(graph, host()).arena
    groups, graph = grouped(graph)
    held = held_bytes(ordered(groups, graph), graph)
    assert held[0] == 256 * 32 * 4
    # Besides there is a copy of a matrix for a while.
    assert max(held) <= arena <= max(held) + 2 * 32 * 32 * 4


def test_what_is_computed_again_by_all_who_read_it_is_not_computed_before():
    # A long chain of elementwise steps, in several groups: the later ones compute again
    # all that the first would keep for them.
    x = make_input((120, 100), float64)
    graph = Graph((x,), (special.polygamma(2, x),))
    given = np.random.default_rng(0).uniform(0.5, 9, (120, 100))
    (found,) = Runner(compile_graph(graph, host())).run((given,))
    np.testing.assert_allclose(found, interpret(graph, [given])[0], rtol=1e-12)

"""When programs are compiled that differ from others in sizes, and what is said."""

import numpy as np
import pytest

import plait
from plait.dtypes import float32, float64
from plait.ir.build import make_input
from plait.ir.graph import Graph
from plait.ops.elementwise import add, exp
from plait.ops.movement import reshape
from plait.settings import settings
from plait.tensor.family import family_of
from plait.tensor.tier import Tiered


@pytest.fixture
def said(monkeypatch, caplog):
    """What is logged about compilations."""
    monkeypatch.setattr(settings, "execution", "auto")
    caplog.set_level("INFO", "plait.compile")
    return caplog


def graph(n=64, m=8, dtype=float32, steps=30):
    """Return a graph that is worth compiling at its second run."""
    x, w = make_input((n, m), dtype), make_input((m,), dtype)
    y = add(x, w)
    for _ in range(steps):
        y = exp(y)
    return Graph([x, w], [y])


def values(one):
    return [np.zeros(node.shape, node.dtype.numpy) for node in one.inputs]


@pytest.fixture
def alive():
    """Programs that are there as long as the test."""
    return []


def compiled_run(one, alive, most=2000):
    """Return the number of the run at which a graph was compiled, or None."""
    tiered = Tiered(one)
    alive.append(tiered)
    arguments = values(one)
    for number in range(1, most):
        runner = tiered._compiled_if_due()
        if runner is not None:
            tiered.run(arguments)
            return number
    return None


def test_a_family_is_the_same_steps_on_any_sizes():
    assert family_of(graph(64)) is family_of(graph(32, 4))
    assert family_of(graph()) is not family_of(graph(steps=29))
    assert family_of(graph()) is not family_of(graph(dtype=float64))


def test_a_smaller_batch_waits_until_compiling_pays(said, alive):
    whole, part, again = graph(64), graph(16), graph(16)
    assert compiled_run(whole, alive) == 2
    tiered = Tiered(part)
    due = int(3000 * 31 / tiered._cost) + 1
    assert due > 500
    said.clear()
    assert compiled_run(again, alive, due + 9) == due
    waiting, compiled = said.messages
    assert waiting.startswith(f"interpreted until run number {due}: only the batch is")
    assert waiting.endswith("input 0 has shape (16, 8), was (64, 8)")
    assert "input 0 has shape (16, 8), was (64, 8)" in compiled


@pytest.mark.parametrize("other", [(65, 8), (16, 9), (16, 7)])
def test_what_is_no_smaller_batch_does_not_wait(said, alive, other):
    whole, one = graph(64), graph(*other)
    assert compiled_run(whole, alive) == 2
    said.clear()
    assert compiled_run(one, alive) == 2
    assert f"input 0 has shape {other}, was (64, 8)" in said.messages[-1]
    if other[1] != 8:
        assert said.messages[-1].endswith("and 1 more")


def test_a_smaller_batch_does_not_wait_for_what_is_not_compiled(said, alive):
    whole, part = graph(64, 16), graph(16, 16)
    alive.append(Tiered(whole))
    assert compiled_run(part, alive) == 2


def test_training_never_waits(said):
    # It could not be resumed with the same bits: see design note 7.
    whole, part = graph(64, 24), graph(16, 24)
    tiered = [Tiered(one, updated=()) for one in (whole, part)]
    assert all(one._compiled_if_due() is not None for one in tiered)
    assert all("it is a step of training" in text for text in said.messages)


def test_a_difference_in_a_step_is_named(said):
    def shaped(*shape):
        x = make_input((4, 6), float32)
        return Graph([x], [exp(reshape(x, shape))])

    first, second = shaped(3, 8), shaped(8, 3)
    family = family_of(first)
    family.join(first)
    assert family_of(second) is family
    assert "reshape" in family.difference(second)
    assert "has shape=(8, 3), was (3, 8)" in family.difference(second)
    assert family.difference(shaped(3, 8)).startswith("an equal program")


def test_the_last_batch_of_an_evaluation_is_not_compiled(said):
    w = plait.asarray(np.ones((64, 64), np.float32))
    data = np.ones((100, 64), np.float32)
    for _ in range(3):
        for start in range(0, 100, 40):
            (plait.tanh(plait.asarray(data[start : start + 40]) @ w)).numpy()
    compiled = [text for text in said.messages if text.startswith("compiled")]
    assert len(compiled) == 1

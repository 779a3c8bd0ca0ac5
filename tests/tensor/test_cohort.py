"""Tensors that enter a trace together."""

import copy
import gc
import weakref

import numpy as np
import pytest

import plait
from plait.tensor import trie


def cohort(n=3):
    """Return tensors that enter together: n that require a gradient, and n others."""
    tensors = [plait.full((2,), i + 1.0) for i in range(2 * n)]
    for tensor in tensors[:n]:
        tensor.requires_grad_()
    plait.updating(lambda tensors, _: [x * 1 for x in tensors])(tensors)
    return tensors


def entered():
    """Return the tensors that have entered the current trace."""
    return [id(owner) for owner in trie.recorder.trace.owners]


def test_the_first_brings_the_others():
    tensors = cohort()
    depth = trie.recorder.trace.step.depth
    y = tensors[1] * tensors[0]
    assert entered() == [id(x) for x in tensors[:3]]
    assert trie.recorder.trace.step.depth == depth + 2
    z = tensors[4] + y
    assert entered() == [id(x) for x in tensors]
    assert (y.tolist(), z.tolist()) == ([2.0, 2.0], [7.0, 7.0])
    y.sum().backward()
    assert tensors[0].grad.tolist() == [2.0, 2.0]
    assert tensors[2].grad is None


CHANGES = {
    "in place": lambda x: x.mul_(10.0),
    "data": lambda x: setattr(x, "data", x.detach() * 10.0),
    "another shape": lambda x: setattr(x, "data", plait.full((3,), 20.0)),
    "another type": lambda x: setattr(x, "data", plait.full(2, 20.0, dtype="float64")),
    "requires grad": lambda x: x.requires_grad_(not x.requires_grad),
    "detach": lambda x: x.detach_(),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("at", [1, 4])
@pytest.mark.parametrize("entered_before", [True, False])
def test_a_change_of_one_ends_it(change, at, entered_before):
    tensors = cohort()
    others = [x for i, x in enumerate(tensors) if i != at]
    if entered_before:
        _ = tensors[0] + tensors[5]
    with plait.no_grad():
        CHANGES[change](tensors[at])
    changed = tensors[at].detach().numpy().copy()
    for x in others:
        plait.add(x, 1.0)
    result = tensors[at] * 2
    np.testing.assert_array_equal(result.detach().numpy(), changed * 2)
    assert result.dtype is tensors[at].dtype
    assert result.requires_grad is tensors[at].requires_grad
    for i, x in enumerate(tensors):
        if i != at:
            assert (x + 0).tolist() == [i + 1.0] * 2


def test_members_are_not_kept_alive():
    gc.disable()  # they do not wait for the collector either
    try:
        tensors = cohort()
        gone = weakref.ref(tensors[1])
        del tensors[1]
        assert gone() is None
    finally:
        gc.enable()
    assert (tensors[0] + tensors[1]).tolist() == [4.0, 4.0]


def test_a_copy_is_no_member():
    tensors = cohort()
    other = copy.copy(tensors[4])
    with plait.no_grad():
        other += 1
    result = tensors[3] + tensors[4]
    assert {id(x) for x in tensors[3:]} <= set(entered())
    assert result.tolist() == [9.0, 9.0]
    assert (other + 0).tolist() == [6.0, 6.0]


def test_equal_types_record_nothing_new():
    for _ in range(2):
        tensors = cohort()
        before = trie.roots.count
        assert (tensors[0] + tensors[3]).tolist() == [5.0, 5.0]
    assert trie.roots.count == before

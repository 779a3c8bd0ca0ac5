"""Windows put back and added up, compiled as interpreted."""

import numpy as np
import pytest

from plait.compile.lower.fold import MOST_TERMS, terms_of
from plait.dtypes import as_dtype, int32
from plait.ir.build import apply, make_input
from plait.ir.graph import Graph
from plait.ops.window import FOLD
from plait.program import Host

from .. import both

# Leading shape, size, window, stride, dilation.
CASES = [
    ((2,), (7,), (3,), (2,), (1,)),
    ((), (28,), (3,), (3,), (1,)),
    ((3,), (9,), (2,), (4,), (1,)),
    ((1, 2), (7, 7), (2, 5), (2, 3), (1, 1)),
    ((3,), (12, 13), (2, 1), (3, 3), (3, 2)),
    ((), (4, 5, 6), (3, 1, 1), (1, 1, 2), (1, 3, 3)),
    ((2,), (5, 6), (2, 3), (2, 1), (2, 1)),
    ((2, 3), (), (), (), ()),
]


def folded(lead, size, window, stride, dilation, dtype=int32):
    counts = [
        (n - (k - 1) * gap - 1) // step + 1
        for n, k, step, gap in zip(size, window, stride, dilation, strict=True)
    ]
    x = make_input((*lead, *counts, *window), dtype)
    return x, apply(FOLD, x, size=size, stride=stride, dilation=dilation)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_windows_are_added_up(case):
    x, y = folded(*case)
    graph = Graph([x], [y])
    array = np.random.default_rng(0).integers(0, 9, x.shape).astype(np.int32)
    both.check(graph, [array], exact=True)
    assert not any(isinstance(one, Host) for one in both.compiled(graph).instructions)


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float64", "uint8"])
def test_types(name):
    dtype = as_dtype(name)
    x, y = folded((2,), (9, 8), (3, 3), (2, 1), (1, 1), dtype)
    array = np.random.default_rng(0).integers(0, 9, x.shape).astype(dtype.numpy)
    both.check(Graph([x], [y]), [array])


def test_many_windows_are_left_to_the_reference():
    x, y = folded((1,), (140,), (MOST_TERMS + 1,), (1,), (1,))
    assert terms_of(y) > MOST_TERMS
    graph = Graph([x], [y])
    assert any(isinstance(one, Host) for one in both.compiled(graph).instructions)
    both.check(graph, [np.ones(x.shape, np.int32)], exact=True)

"""Elements read at places that are known, or that are data."""

import numpy as np
import pytest

from plait.dtypes import bfloat16, bool_, float32, float64, int64
from plait.ir.build import make_input
from plait.ir.graph import Graph
from plait.ops import elementwise as e
from plait.ops import gather, reduce, source
from plait.ops import movement as m
from plait.program import WrongIndex
from plait.runtime import Runner

from ..both import check, compiled, numbers

_RNG = np.random.default_rng(0)
# Even along their last axis, on all lines or on some, forward and backward; one; none.
_KNOWN = [
    np.arange(20) + 3,
    np.arange(40, 0, -2),
    np.arange(3)[:, None] * 7 + np.arange(17),
    np.array([[0, 1, 2], [4, 6, 8]]),
    np.full((2, 5), 6),
    np.array([4]),
    np.array(5),
    _RNG.integers(0, 41, (3, 18)),
    np.array([40, 0]),
]


@pytest.mark.parametrize("known", _KNOWN, ids=lambda x: f"{x.shape}-{x.flat[0]}")
@pytest.mark.parametrize("dtype", [float32, bfloat16, bool_], ids=lambda x: x.name)
def test_places_that_are_known(known, dtype):
    for shape, axis in (((41,), 0), ((2, 41), 1), ((41, 19), 0)):
        x = make_input(shape, dtype)
        node = gather.gather(x, source.constant(known, int64), axis)
        array = numbers(np.random.default_rng(1), shape, dtype)
        graph = Graph([x], [node])
        (found,) = check(graph, [array])
        np.testing.assert_array_equal(found, np.take(array, known, axis))
        # Nothing is asked at run time.
        kernels = compiled(graph).kernels
        assert kernels
        assert not any("alarm" in code.stages["basic"]() for code in kernels)


def test_known_places_out_of_range_are_found_when_they_are_read():
    x = make_input((4,), float32)
    node = gather.gather(x, source.constant([3, 4], int64), 0)
    with pytest.raises(WrongIndex):
        Runner(compiled(Graph([x], [node]))).run((np.zeros(4, np.float32),))


@pytest.mark.parametrize("count", [1, 7, 16, 37])
@pytest.mark.parametrize(
    "dtype", [float32, float64, bfloat16, bool_], ids=lambda x: x.name
)
def test_places_that_are_data(count, dtype):
    x, at = make_input((2, 11), dtype), make_input((2, count), int64)
    here = gather.gather(x, at, 1, 1)
    # Beyond the edges nothing is read.
    around = m.pad_constant(here, ((0, 0), (2, 3)), False if dtype is bool_ else 7)
    rng = np.random.default_rng(count)
    arrays = [numbers(rng, (2, 11), dtype), rng.integers(0, 11, (2, count))]
    check(Graph([x, at], [here, around]), arrays)


def test_windows_of_known_places_are_summed_along_them():
    x = make_input((3, 50), float32)
    starts = np.array([0, 11, 19, 30])
    node = gather.gather(x, source.constant(starts[:, None] + np.arange(18), int64), 1)
    total = reduce.sum_over(e.multiply(node, 2.0), (2,))
    array = numbers(np.random.default_rng(2), (3, 50), float32)
    (found,) = check(Graph([x], [total]), [array])
    expected = [2 * array[:, s : s + 18].sum(1) for s in starts]
    np.testing.assert_allclose(found, np.stack(expected, 1), rtol=1e-5)

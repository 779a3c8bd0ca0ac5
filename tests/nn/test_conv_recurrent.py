"""Recurrences of images: layers against their cells, fillers, and errors."""

import numpy as np
import pytest

import plait
from plait import errors, nn

rng = np.random.default_rng(0)
X = rng.normal(size=(4, 3, 2, 5, 4))


def pair(**named):
    layer = nn.ConvLSTM2d(2, 3, 3, **named).double()
    cell = nn.ConvLSTMCell2d(2, 3, 3, **named).double()
    cell.load_state_dict(layer.state_dict())
    return layer, cell


def same(found, expected):
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("lengths", [None, [4, 1, 2]])
def test_equals_a_loop_over_its_cell(lengths):
    layer, cell = pair(padding="same")
    x = plait.tensor(X)
    found, (h, c) = layer(x, lengths=lengths)
    expected, (own_h, own_c) = nn.Recurrent(cell)(x, lengths=lengths)
    same(found, expected)
    same(h, own_h)
    same(c, own_c)
    first = nn.ConvLSTM2d(2, 3, 3, padding="same", batch_first=True).double()
    first.load_state_dict(layer.state_dict())
    other, _ = first(plait.moveaxis(x, 0, 1), lengths=lengths)
    same(plait.moveaxis(other, 0, 1), found)


def test_a_mask_in_the_middle():
    layer, _ = pair(stride=2)
    mask = np.ones((4, 3), bool)
    mask[1, 0] = False
    spoiled = X.copy()
    spoiled[1, 0] = np.inf
    found, _ = layer(plait.tensor(spoiled), mask=plait.tensor(mask))
    shorter, _ = layer(plait.tensor(X[[0, 2, 3], :1]))
    same(found[:, 0][[0, 2, 3]], shorter[:, 0])
    assert not found.numpy()[1, 0].any()


def test_a_cell_without_batch():
    _, cell = pair()
    (h, c), (one_h, one_c) = cell(plait.tensor(X[0])), cell(plait.tensor(X[0, 1]))
    same(one_h, h[1])
    same(one_c, c[1])


def test_errors():
    layer, cell = pair(padding=1)
    with pytest.raises(
        errors.ShapeError,
        match=r"\(4, 2, 5, 4\)\. Expected: \(steps, batch, 2\) and 2 spatial axes",
    ):
        layer(plait.zeros(4, 2, 5, 4))
    with pytest.raises(errors.ShapeError, match="no step"):
        layer(plait.zeros(0, 3, 2, 5, 4))
    zero = plait.zeros(3, 3, 5, 5)
    with pytest.raises(
        errors.ShapeError,
        match=r"\(3, 3, 5, 5\)\. Expected: \(3, 3, 5, 4\)",
    ):
        cell(plait.tensor(X[0]), (zero, zero))
    with pytest.raises(errors.ArgumentTypeError, match=r"a pair \(h, c\)"):
        cell(plait.tensor(X[0]), zero)
    with pytest.raises(errors.ArgumentError, match=r"no padding of that name"):
        nn.ConvLSTM1d(2, 3, 3, padding="full")

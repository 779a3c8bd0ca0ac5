"""Padding, against PyTorch and NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from plait import errors
from plait.ops.padding import pad

from .op_checks import check_derivatives, like_torch, value
from .torch_table import torch

F = torch and torch.nn.functional

needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")
RNG = np.random.default_rng(0)
NUMPY_NAMES = {
    "constant": "constant", "reflect": "reflect", "replicate": "edge",
    "circular": "wrap",
}  # fmt: skip
every_mode = pytest.mark.parametrize("mode", NUMPY_NAMES)


@every_mode
@pytest.mark.parametrize(
    "widths", [((2, 1),), ((0, 3), (1, 0)), ((0, 0), (2, 2), (1, 3)), ()]
)
def test_padding_against_numpy(mode, widths):
    x = RNG.normal(size=(3, 4, 5, 6))
    found = value(pad, x, widths=widths, mode=mode)
    whole = ((0, 0),) * (4 - len(widths)) + widths
    np.testing.assert_array_equal(found, np.pad(x, whole, mode=NUMPY_NAMES[mode]))


@every_mode
@needs_torch
def test_padding_against_torch(mode):
    x = RNG.normal(size=(2, 3, 4, 5))
    like_torch(
        pad, lambda t: F.pad(t, (2, 1, 0, 3), mode=mode), [x],
        widths=((0, 3), (2, 1)), mode=mode,
    )  # fmt: skip
    like_torch(
        pad, lambda t: F.pad(t, (-1, 2, 1, -2), mode=mode), [x],
        widths=((1, -2), (-1, 2)), mode=mode,
    )  # fmt: skip
    check_derivatives(pad, [x[:1, :1]], widths=((1, -2), (-1, 2)), mode=mode)


def test_values_and_empty_axes():
    x = np.arange(4, dtype=np.int8)
    found = value(pad, x, widths=[(1, 2)], value=7)
    assert found.dtype == np.int8
    assert found.tolist() == [7, 0, 1, 2, 3, 7, 7]
    assert value(pad, x[:0], widths=((2, 1),)).tolist() == [0, 0, 0]
    assert value(pad, x, widths=((-2, -2),)).shape == (0,)
    assert value(pad, x, widths=((0, 0),), mode="reflect").tolist() == [0, 1, 2, 3]
    assert value(pad, np.zeros((0, 3)), widths=((1, 1),), mode="circular").size == 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: value(pad, np.zeros(4), widths=(1, 2)),
            errors.ArgumentError,
            "[pad] widths must be pairs (before, after), one for each of the last "
            "axes. Got: (1, 2). Expected: ((before, after), ...), the last pair for "
            "the last axis.",
        ),
        (
            lambda: value(pad, np.zeros(4), widths=((1.5, 2),)),
            errors.ArgumentTypeError,
            "[pad] a width must be an integer. Got: 1.5.",
        ),
        (
            lambda: value(pad, np.zeros(4), widths=((1, 2), (0, 0))),
            errors.ShapeError,
            "[pad] there are more pairs of widths than axes. Got: 2 pairs for shape "
            "(4,).",
        ),
        (
            lambda: value(pad, np.zeros(4), widths=((1, 2),), mode="edge"),
            errors.ArgumentError,
            "[pad] there is no mode of that name. Got: 'edge'. Expected: constant, "
            "reflect, replicate, circular.",
        ),
        (
            lambda: value(pad, np.zeros((2, 3)), widths=((3, 0),), mode="reflect"),
            errors.ShapeError,
            '[pad] mode "reflect" cannot pad so much. Got: widths (3, 0) for axis 1 of '
            "shape (2, 3). Expected: less than the size of the axis.",
        ),
        (
            lambda: value(pad, np.zeros((2, 3)), widths=((0, 4),), mode="circular"),
            errors.ShapeError,
            '[pad] mode "circular" cannot pad so much. Got: widths (0, 4) for axis 1 '
            "of shape (2, 3). Expected: at most the size of the axis.",
        ),
        (
            lambda: value(pad, np.zeros((2, 0)), widths=((0, 1),), mode="replicate"),
            errors.ShapeError,
            '[pad] mode "replicate" cannot pad so much. Got: widths (0, 1) for axis 1 '
            "of shape (2, 0). Expected: an axis that is not empty.",
        ),
        (
            lambda: value(pad, np.zeros((2, 3)), widths=((-2, -2),)),
            errors.ShapeError,
            "[pad] more is cut off than there is. Got: widths (-2, -2) for axis 1 of "
            "shape (2, 3).",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert caught.value.message == message

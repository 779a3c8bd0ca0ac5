"""Convolution and windows, against PyTorch, loops and finite differences."""

from __future__ import annotations

import itertools

import ml_dtypes
import numpy as np
import pytest

from plait import errors
from plait.ops import elementwise, window
from plait.ops.convolution import CONVOLUTION, convolution, convolution_transposed

from .op_checks import (
    check_batch_rule,
    check_derivatives,
    inputs_for,
    like_torch,
    value,
)
from .torch_table import torch

F = torch and torch.nn.functional

needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")
RNG = np.random.default_rng(0)


def draw(*shape, dtype=np.float64):
    return RNG.normal(size=shape).astype(dtype)


def of_rank(name, rank):
    return getattr(F, name.format(rank))


# Convolution


def loops(x, weight, *, stride, padding, dilation, input_dilation, groups):
    """Return the convolution by its definition, one product at a time."""
    rank = x.ndim - 2
    axes = range(rank)
    sizes = [
        (n - 1) * d + 1 + sum(p)
        for n, d, p in zip(x.shape[2:], input_dilation, padding, strict=True)
    ]
    spans = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
    out = [(n - k) // s + 1 for n, k, s in zip(sizes, spans, stride, strict=True)]
    rows = weight.shape[0] // groups
    result = np.zeros((x.shape[0], weight.shape[0], *out))
    for b, o, *at in np.ndindex(*result.shape):
        for c, *k in np.ndindex(*weight.shape[1:]):
            places = [
                at[i] * stride[i] + k[i] * dilation[i] - padding[i][0] for i in axes
            ]
            if any(p % d for p, d in zip(places, input_dilation, strict=True)):
                continue
            source = [p // d for p, d in zip(places, input_dilation, strict=True)]
            if all(0 <= p < n for p, n in zip(source, x.shape[2:], strict=True)):
                channel = (o // rows) * weight.shape[1] + c
                result[(b, o, *at)] += x[(b, channel, *source)] * weight[(o, c, *k)]
    return result


SETTINGS = [
    {},
    {"stride": 2},
    {"padding": 2},
    {"padding": ((3, 0),)},
    {"dilation": 2, "padding": ((1, 2),)},
    {"input_dilation": 2, "stride": 3},
    {"input_dilation": 3, "padding": ((-2, 1),)},
    {"padding": ((-1, -2),), "dilation": 2},
    {"groups": 2, "stride": 2, "padding": 1},
    {"groups": 2, "dilation": 2, "input_dilation": 2},
]


def full_settings(rank, given):
    pairs = given.get("padding", 0)
    pairs = pairs * rank if isinstance(pairs, tuple) else ((pairs, pairs),) * rank
    return {
        "stride": (given.get("stride", 1),) * rank,
        "padding": pairs,
        "dilation": (given.get("dilation", 1),) * rank,
        "input_dilation": (given.get("input_dilation", 1),) * rank,
        "groups": given.get("groups", 1),
    }


@pytest.mark.parametrize("given", SETTINGS, ids=str)
@pytest.mark.parametrize(
    ("sizes", "kernel"),
    [((7,), (3,)), ((4,), (1,)), ((5, 6), (2, 3)), ((6, 7), (4, 2))],
)
def test_the_convolution_is_its_definition(given, sizes, kernel):
    at = full_settings(len(sizes), given)
    x, weight = draw(2, 4, *sizes), draw(6, 4 // at["groups"], *kernel)
    types = [node.type for node in inputs_for([x, weight])]
    try:
        type = CONVOLUTION.infer(*types, **at)
    except errors.ShapeError:
        spread = [
            (n - 1) * d + 1 for n, d in zip(sizes, at["input_dilation"], strict=True)
        ]
        spans = [(k - 1) * d + 1 for k, d in zip(kernel, at["dilation"], strict=True)]
        room = [n + sum(p) for n, p in zip(spread, at["padding"], strict=True)]
        assert any(n < k for n, k in zip(room, spans, strict=True))
        return
    got = CONVOLUTION.reference(x, weight, **at)
    expected = loops(x, weight, **at)
    assert got.shape == type.shape == expected.shape
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_a_large_convolution_in_parts_is_the_same(monkeypatch):
    for sizes, kernel in (((9, 9), (3, 3)), ((9, 9), (8, 8))):
        x, weight = draw(5, 4, *sizes), draw(6, 2, *kernel)
        at = full_settings(2, {"groups": 2})
        whole = CONVOLUTION.reference(x, weight, **at)
        with monkeypatch.context() as patch:
            patch.setattr("plait.ops.convolution._LAID_OUT", 1000)
            parts = CONVOLUTION.reference(x, weight, **at)
        np.testing.assert_allclose(parts, whole, atol=1e-12)


@pytest.mark.parametrize(
    ("sizes", "kernel", "settings"),
    [
        ((7,), (3,), {}),
        ((9,), (3,), {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}),
        ((6, 7), (3, 2), {"stride": (2, 1), "padding": (1, 0)}),
        ((6, 7), (3, 2), {"padding": "same", "dilation": (2, 3)}),
        ((6, 7), (3, 2), {"padding": "valid", "groups": 4}),
        ((6, 7), (1, 1), {"padding": 2, "stride": 3}),
        ((4, 5, 4), (2, 3, 2), {"stride": (1, 2, 2), "padding": (1, 1, 0)}),
    ],
)
@needs_torch
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_convolution_against_torch(sizes, kernel, settings):
    rank = len(sizes)
    channels = 4 // settings.get("groups", 1)
    arrays = [draw(2, 4, *sizes), draw(8, channels, *kernel), draw(8)]
    theirs = of_rank("conv{}d", rank)
    like_torch(convolution, lambda *t: theirs(*t, **settings), arrays, **settings)
    arrays[0] = arrays[0][0]
    like_torch(convolution, lambda *t: theirs(*t, **settings), arrays, **settings)


@pytest.mark.parametrize(
    ("sizes", "kernel", "settings"),
    [
        ((5,), (3,), {}),
        ((5,), (4,), {"stride": 3, "padding": 1, "output_padding": 2, "groups": 2}),
        ((4, 3), (3, 2), {"stride": (2, 3), "padding": (1, 0), "dilation": (2, 1)}),
        ((4, 3), (3, 3), {"dilation": 3, "output_padding": 2}),
        ((2, 3), (1, 1), {"stride": 2, "output_padding": 1}),
        (
            (3, 2, 3),
            (2, 2, 2),
            {"stride": 2, "padding": 1, "output_padding": (1, 0, 1)},
        ),
    ],
)
@needs_torch
def test_transposed_convolution_against_torch(sizes, kernel, settings):
    arrays = [
        draw(2, 4, *sizes), draw(4, 3, *kernel), draw(3 * settings.get("groups", 1))
    ]  # fmt: skip
    theirs = of_rank("conv_transpose{}d", len(sizes))
    for first in (arrays[0], arrays[0][1]):
        like_torch(
            convolution_transposed, lambda *t: theirs(*t, **settings),
            [first, *arrays[1:]], **settings,
        )  # fmt: skip


def test_the_transposed_convolution_is_the_transpose():
    x, weight = draw(1, 2, 8), draw(3, 2, 3)
    settings = {"stride": 2, "padding": 1}
    y = value(convolution, x, weight, **settings)
    ct = draw(*y.shape)
    back = value(convolution_transposed, ct, weight, output_padding=1, **settings)
    np.testing.assert_allclose(np.sum(ct * y), np.sum(back * x))


def test_convolution_settings():
    x, weight = draw(1, 1, 7), draw(1, 1, 4)
    same = value(convolution, x, weight, padding="same")
    assert same.shape == x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 2)))
    np.testing.assert_allclose(same, value(convolution, padded, weight))
    pairs = value(convolution, x, weight, padding=((1, 2),))
    np.testing.assert_allclose(pairs, same)
    mixed = value(convolution, x.astype(np.float32), weight)
    assert mixed.dtype == np.float64
    assert value(convolution, x[:0], weight).shape == (0, 1, 4)
    ints = value(convolution, np.arange(4).reshape(1, 1, 4), np.ones((1, 1, 2), int))
    assert ints.dtype == np.int64
    assert ints.tolist() == [[[1, 3, 5]]]


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_16_bit_floats_accumulate_in_float32(dtype):
    x = np.full((1, 300, 5), 1, dtype)
    weight = np.concatenate([np.full((1, 1, 3), 4096), np.full((1, 299, 3), 1)], 1)
    got = value(convolution, x, weight.astype(dtype))
    assert got.dtype == dtype
    # A 16-bit accumulator would stay near 3 * 4096.
    exact = np.array(3 * 4096 + 3 * 299, np.float32).astype(dtype)
    assert (got == exact).all()
    overlaps = np.full((299, 299), 1, dtype)
    folded = window.FOLD.reference(overlaps, size=(597,), stride=(1,), dilation=(1,))
    assert folded[298] == np.float32(299).astype(dtype)
    assert folded.dtype == dtype


def test_derivatives_of_the_op():
    arrays = [draw(1, 4, 5), draw(2, 2, 3), draw(2)]
    settings = {"stride": 2, "padding": 1, "groups": 2}
    check_derivatives(
        lambda *n: elementwise.square(convolution(*n, **settings)), arrays
    )
    arrays = [draw(1, 2, 4), draw(2, 3, 2)]
    check_derivatives(convolution_transposed, arrays, stride=2, padding=1)


# Batch rules


@pytest.mark.parametrize("flags", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(("batch_size", "rows"), [(2, 1), (1, 3), (0, 1)])
def test_the_batch_rule_of_convolution(flags, groups, batch_size, rows):
    x, weight = (batch_size, 4, 5, 6), (groups * rows, 4 // groups, 2, 3)
    arrays = [
        draw(*((3, *shape) if flag else shape))
        for shape, flag in zip((x, weight), flags, strict=True)
    ]
    at = full_settings(2, {"groups": groups, "stride": 2, "padding": 1})
    check_batch_rule(CONVOLUTION, arrays, flags, **at)


def test_the_batch_rules_of_windows():
    at = {"window": (2, 3), "stride": (1, 2), "dilation": (2, 1)}
    check_batch_rule(window.WINDOWS, [draw(3, 2, 5, 6)], (True,), **at)
    at = {"size": (5, 6), "stride": (1, 2), "dilation": (2, 1)}
    check_batch_rule(window.FOLD, [draw(3, 2, 3, 2, 2, 3)], (True,), **at)


# Windows


@pytest.mark.parametrize("stride", [1, 2, 5])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_windows_and_their_overlap_add(stride, dilation, size):
    x = draw(2, 7, 9)
    settings = {"stride": stride, "dilation": dilation}
    got = value(window.sliding_windows, x, window=(size, 2), **settings)
    out = got.shape[1:3]
    for i, j, a, b in itertools.product(*map(range, got.shape[1:])):
        row, column = i * stride + a * dilation, j * stride + b * dilation
        assert np.array_equal(got[:, i, j, a, b], x[:, row, column])
    y = draw(*got.shape)
    back = np.zeros_like(x)
    for i, j, a, b in itertools.product(*map(range, got.shape[1:])):
        row, column = i * stride + a * dilation, j * stride + b * dilation
        back[:, row, column] += y[:, i, j, a, b]
    at = {"stride": (stride,) * 2, "dilation": (dilation,) * 2}
    folded = window.FOLD.reference(y, size=(7, 9), **at)
    np.testing.assert_allclose(folded, back, atol=1e-12)
    assert out == ((6 - dilation * (size - 1)) // stride + 1,
                   (8 - dilation) // stride + 1)  # fmt: skip


def test_a_window_larger_than_the_number_of_windows_folds_the_same():
    y = draw(2, 2, 6)
    expected = np.zeros((2, 9))
    for t in range(2):
        expected[:, 3 * t : 3 * t + 6] += y[:, t]
    got = window.FOLD.reference(y, size=(9,), stride=(3,), dilation=(1,))
    np.testing.assert_allclose(got, expected)


@needs_torch
def test_unfold_and_fold_against_torch():
    settings = {"dilation": (2, 1), "padding": (1, 2), "stride": (1, 2)}
    x = draw(2, 3, 5, 6)
    for one in (x, x[0]):
        like_torch(
            window.unfold, lambda t: F.unfold(t, (2, 3), **settings), [one],
            window=(2, 3), **settings,
        )  # fmt: skip
    columns = value(window.unfold, x, window=(2, 3), **settings)
    y = draw(*columns.shape)
    for one in (y, y[0]):
        like_torch(
            window.fold, lambda t: F.fold(t, (5, 6), (2, 3), **settings), [one],
            size=(5, 6), window=(2, 3), **settings,
        )  # fmt: skip


def test_unfold_turns_a_convolution_into_a_product():
    x, weight = draw(2, 3, 8), draw(4, 3, 3)
    columns = value(window.unfold, x, window=3)
    product = weight.reshape(4, -1) @ columns
    np.testing.assert_allclose(product, value(convolution, x, weight))


# Errors


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: value(convolution, draw(1, 3, 5), draw(4, 2, 3), groups=2),
            errors.ShapeError,
            "[convolution] the channels of input and weight do not fit. Got: an input "
            "of 3 channels and a weight from 2 channels per group to 4, groups=2. "
            "Expected: input channels = groups * weight.shape[1], and weight.shape[0] "
            "divisible by groups.",
        ),
        (
            lambda: value(convolution, draw(5), draw(4, 2, 3)),
            errors.ShapeError,
            "[convolution] the number of axes is wrong. Got: input (5,) and weight "
            "(4, 2, 3). Expected: (batch, channels, *spatial) or (channels, *spatial), "
            "and a weight with one kernel axis for each spatial axis after two channel "
            "axes.",
        ),
        (
            lambda: value(convolution, draw(1, 2, 4), draw(4, 2, 3), dilation=3),
            errors.ShapeError,
            "[convolution] the window is empty or larger than what it slides over. "
            "Got: window (3,) with dilation (3,) over sizes (4,), padding included. "
            "Expected: at least 1, and at most the size on each axis.",
        ),
        (
            lambda: value(
                convolution, draw(1, 2, 4), draw(4, 2, 3), draw(3), padding=1
            ),
            errors.ShapeError,
            "[convolution] the bias does not have one element for each output channel. "
            "Got: (3,). Expected: (4,).",
        ),
        (
            lambda: value(
                convolution, draw(1, 2, 4), draw(4, 2, 3), padding="full"
            ),
            errors.ArgumentError,
            "[convolution] there is no padding of that name. Got: 'full'. "
            'Expected: "same", "valid", or integers.',
        ),
        (
            lambda: value(
                convolution, draw(1, 2, 4), draw(4, 2, 3), padding="same",
 stride=2
            ),
            errors.ArgumentError,
            '[convolution] padding="same" needs stride 1. Got: stride=(2,). '
            "Fix: give the padding as integers.",
        ),
        (
            lambda: value(
                convolution, draw(1, 2, 4), draw(4, 2, 3), stride=(1, 2)
            ),
            errors.ArgumentError,
            "[convolution] stride does not fit. Got: stride=(1, 2) for 1 spatial axes. "
            "Expected: an integer of at least 1, or one for each spatial axis.",
        ),
        (
            lambda: value(convolution, draw(1, 2, 4), draw(4, 2, 3), stride=0),
            errors.ArgumentError,
            "[convolution] stride does not fit. Got: stride=0 for 1 spatial axes. "
            "Expected: an integer of at least 1, or one for each spatial axis.",
        ),
        (
            lambda: value(convolution, draw(1, 2, 4), draw(4, 2, 3), stride=1.5),
            errors.ArgumentTypeError,
            "[convolution] stride must be an integer, or one for each spatial axis. "
            "Got: stride=1.5.",
        ),
        (
            lambda: value(
                convolution_transposed, draw(1, 2, 4), draw(2, 2, 3),
                output_padding=1,
            ),
            errors.ArgumentError,
            "[convolution_transposed] output_padding must be less than stride or "
            "dilation. Got: output_padding=(1,), stride=(1,), dilation=(1,).",
        ),
        (
            lambda: value(convolution_transposed, draw(1, 3, 4), draw(2, 2, 3)),
            errors.ShapeError,
            "[convolution_transposed] the channels of input and weight do not fit. "
            "Got: an input of 3 channels and a weight from 2 channels to 2 per group, "
            "groups=1. Expected: input channels = weight.shape[0], divisible by "
            "groups.",
        ),
        (
            lambda: value(
                convolution_transposed, draw(1, 2, 1), draw(2, 2, 2), padding=1
            ),
            errors.ShapeError,
            "[convolution_transposed] the output would be empty. Got: sizes (0,) from "
            "input (1, 2, 1) and weight (2, 2, 2). Fix: use less padding.",
        ),
        (
            lambda: value(window.fold, draw(2, 6, 3), size=5, window=2),
            errors.ShapeError,
            "[fold] the columns are not those of such windows. Got: (2, 6, 3). "
            "Expected: (batch, channels * 2, 4).",
        ),
        (
            lambda: value(window.unfold, draw(4), window=(2, 2)),
            errors.ShapeError,
            "[unfold] the number of axes is wrong. Got: input (4,) for a window "
            "(2, 2). Expected: (batch, channels, *spatial) or (channels, *spatial).",
        ),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert caught.value.message == message

"""Ops across channels, against NumPy and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from plait import errors
from plait.ops import channels

from .op_checks import check_derivatives, like_torch, value
from .torch_table import torch

F = torch and torch.nn.functional

needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")
RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.normal(size=shape)


@needs_torch
def test_instance_norm_against_torch():
    like_torch(
        channels.instance_norm,
        lambda t, w, b: F.instance_norm(t, weight=w, bias=b),
        [draw(2, 3, 5), draw(3), draw(3)],
    )


def test_instance_norm():
    x = draw(2, 3, 4, 5)
    found = value(channels.instance_norm, x)
    np.testing.assert_allclose(found.mean((2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(found.var((2, 3)), 1, rtol=1e-4)
    assert value(channels.instance_norm, np.zeros((2, 0, 3))).shape == (2, 0, 3)
    check_derivatives(channels.instance_norm, [draw(1, 2, 3), draw(2), draw(2)])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
def test_local_response_norm(size):
    x = draw(2, 5, 3)
    padded = np.pad(x**2, ((0, 0), (size // 2, (size - 1) // 2), (0, 0)))
    total = sum(padded[:, i : i + 5] for i in range(size))
    expected = x / (1.5 + 0.3 * total / size) ** 0.6
    settings = {"size": size, "alpha": 0.3, "beta": 0.6, "k": 1.5}
    found = value(channels.local_response_norm, x, **settings)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    check_derivatives(channels.local_response_norm, [x], **settings)
    if torch is not None:
        like_torch(
            channels.local_response_norm,
            lambda t: F.local_response_norm(t, size, 0.3, 0.6, 1.5), [x], **settings,
        )  # fmt: skip


def test_channel_shuffle():
    x = np.arange(12).reshape(1, 6, 2)
    found = value(channels.channel_shuffle, x, groups=3)
    np.testing.assert_array_equal(found, x[:, [0, 2, 4, 1, 3, 5]])
    back = value(channels.channel_shuffle, found, groups=2)
    np.testing.assert_array_equal(back, x)


@pytest.mark.parametrize(
    ("op", "x", "settings", "kind", "message"),
    [
        (channels.channel_shuffle, draw(2, 6), {"groups": 4}, errors.ArgumentError,
         "[channel_shuffle] the channels cannot be divided into so many groups. Got: "
         "groups=4 for 6 channels."),
        (channels.local_response_norm, draw(2, 6), {"size": 0}, errors.ArgumentError,
         "[local_response_norm] size must be at least 1. Got: size=0."),
        (channels.instance_norm, draw(2), {}, errors.ShapeError,
         "[instance_norm] axis 1 holds the channels. Got: (2,). Expected: "
         "(n, channels, ...)."),
    ],
)  # fmt: skip
def test_wrong_arguments(op, x, settings, kind, message):
    with pytest.raises(kind) as error:
        value(op, x, **settings)
    assert error.value.message == message

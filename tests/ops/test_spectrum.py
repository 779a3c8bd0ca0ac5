"""Spectra over time, against NumPy's Fourier transforms and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from plait import errors
from plait.ops.spectrum import spectrogram, stft

from .op_checks import check_derivatives, like_torch, value
from .torch_table import torch

needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 40))
WINDOW = RNG.uniform(0.1, 1, 9)


def by_numpy(x, n, hop, window):
    """Return the transform of pieces of n numbers, without padding."""
    starts = range(0, x.shape[-1] - n + 1, hop)
    pieces = np.stack([x[..., i : i + n] for i in starts], -1)
    found = np.fft.rfft(pieces * window[:, None], axis=-2)
    return np.stack([found.real, found.imag], -1)


@pytest.mark.parametrize("n", [1, 2, 9, 16])
@pytest.mark.parametrize("hop", [1, 5])
def test_equals_fourier_transforms(n, hop):
    found = value(stft, X, n_fft=n, hop_length=hop, center=False)
    expected = by_numpy(X, n, hop, np.ones(n))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    found = value(stft, X, n_fft=n, hop_length=hop, center=False, normalized=True)
    np.testing.assert_allclose(found, expected / np.sqrt(n), atol=1e-12)


def test_pieces_about_their_middles():
    window = np.pad(WINDOW, (3, 4))
    for mode, theirs in (("reflect", "reflect"), ("replicate", "edge")):
        wide = np.pad(X, ((0, 0), (0, 0), (8, 8)), mode=theirs)
        settings = {"n_fft": 16, "win_length": 9, "pad_mode": mode}
        found = value(lambda x, w, s=settings: stft(x, window=w, **s), X, WINDOW)
        expected = by_numpy(wide, 16, 4, window)
        np.testing.assert_allclose(found, expected, atol=1e-12)
        for power in (1.0, 2.0, 0.5):
            found = value(
                lambda x, w, s=settings, p=power: spectrogram(
                    x, window=w, power=p, **s
                ),
                X, WINDOW,
            )  # fmt: skip
            strength = np.hypot(expected[..., 0], expected[..., 1]) ** power
            np.testing.assert_allclose(found, strength, rtol=1e-9)


@needs_torch
@pytest.mark.parametrize("center", [False, True])
def test_equals_torch(center):
    def theirs(x, window):
        found = torch.stft(
            x, 12, 5, 9, window, center=center, return_complex=True, normalized=True
        )
        return torch.view_as_real(found)

    like_torch(
        lambda x, w: stft(
            x, 12, hop_length=5, win_length=9, window=w, center=center, normalized=True
        ),
        theirs, [X[0], WINDOW],
    )  # fmt: skip


def test_long_pieces_lose_no_digits():
    """Cosines of large angles come out as those of small ones."""
    x = RNG.normal(size=4096)
    found = value(stft, x, n_fft=4096, center=False)[:, 0]
    expected = by_numpy(x, 4096, 1, np.ones(4096))[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-10)
    single = value(stft, x.astype(np.float32), n_fft=4096, center=False)[:, 0]
    np.testing.assert_allclose(single, expected, atol=2e-3)


def test_derivatives():
    settings = {"n_fft": 9, "hop_length": 4}
    check_derivatives(
        lambda x, w: stft(x, window=w, **settings), [X[0], WINDOW], second=False
    )
    for power in (1.0, 2.0):
        check_derivatives(
            lambda x, w, p=power: spectrogram(x, window=w, power=p, **settings),
            [X[0], WINDOW], second=False,
        )  # fmt: skip


def test_silence():
    found = value(spectrogram, np.zeros(20), n_fft=8, power=1.0)
    np.testing.assert_array_equal(found, 0)
    half = value(spectrogram, X.astype(np.float16), n_fft=8)
    assert half.dtype == np.float16
    np.testing.assert_allclose(
        half, value(spectrogram, X, n_fft=8), rtol=0.02, atol=0.2
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: value(stft, X, n_fft=8, win_length=9),
            errors.ArgumentError,
            "[stft] the lengths make no sense. Got: n_fft=8, hop_length=None, "
            "win_length=9. Expected: 1 <= win_length <= n_fft and 1 <= hop_length.",
        ),
        (
            lambda: value(stft, X, n_fft=41, center=False),
            errors.ShapeError,
            "[stft] the signal is shorter than a piece. Got: 40 numbers, padding "
            "included. Expected: at least n_fft=41.",
        ),
        (
            lambda: value(lambda x, w: stft(x, 8, window=w), X, WINDOW),
            errors.ShapeError,
            "[stft] the window does not fit. Got: shape (9,). Expected: shape (8,).",
        ),
        (
            lambda: value(stft, np.array(1.0), n_fft=8),
            errors.ShapeError,
            "[stft] a signal has an axis. Got: shape ().",
        ),
        (
            lambda: value(spectrogram, X, n_fft=8, power=0.0),
            errors.ArgumentError,
            "[spectrogram] the power is above 0. Got: power=0.0.",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).split("\n")[0] == message

"""Spectra of signals over time, of real numbers only: sums with cosines and sines.

Read first: `stft`, `spectrogram`.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from ..dtypes import DType, float32, promote
from ..errors import ArgumentError, ShapeError
from ..ir.graph import Node
from . import contract, elementwise, movement, padding
from .operand import as_float
from .source import constant
from .window import sliding_windows


@functools.lru_cache(maxsize=8)
def _waves(n: int) -> np.ndarray:
    """Return cosines and negative sines: shape (2, n // 2 + 1, n)."""
    # Whole periods are taken off before the division, so that no digit is lost.
    step = np.outer(np.arange(n // 2 + 1), np.arange(n)) % n
    angle = 2 * np.pi / n * step
    # Exactly 0 after half periods, so that the sums there have no phase of their own.
    sine = np.where(step * 2 % n == 0, 0.0, -np.sin(angle))
    return np.stack([np.cos(angle), sine])


def _window_of(op: str, window: Node | None, size: int, n: int, dtype: DType) -> Node:
    """Return the window in the middle of n numbers, zeros around it."""
    if window is None:
        node = constant(np.ones(size), dtype)
    else:
        if window.shape != (size,):
            raise ShapeError(
                f"[{op}] the window does not fit",
                got=f"shape {window.shape}",
                expected=f"shape ({size},)",
            )
        node = elementwise.cast(window, dtype)
    left = (n - size) // 2
    return movement.pad_constant(node, [(left, n - size - left)])


def stft(
    x: Node,
    n_fft: int,
    *,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Node | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
) -> Node:
    """Return the short-time Fourier transform: spectra of pieces of signals.

    Formula: out[..., k, t, 0] = sum over i of w[i] * x[t * hop + i] * cos(2 pi k i / n)
    and out[..., k, t, 1] the same with -sin, where n is `n_fft`.

    Args:
        x: signals, shape (..., length).
        n_fft: how many numbers a piece has.
        hop_length: from the start of a piece to that of the next. Default: a quarter of
            n_fft.
        win_length: the length of the window, in the middle of a piece. Default: n_fft.
        window: w, shape (win_length,), such as `plait.hann_window(win_length)`.
            Default: ones.
        center: pad the signal with n_fft // 2 numbers at both ends, so that piece t has
            its middle at number t * hop.
        pad_mode: how; see `pad`.
        normalized: divide by the root of n_fft.

    Returns:
        Shape (..., n_fft // 2 + 1, pieces, 2): cosine and sine parts, also called real
        and imaginary parts. 16-bit floats are computed in float32.

    Raises:
        ArgumentError: a length below 1, or a window longer than a piece.
        ShapeError: the window does not fit, or the signal is shorter than a piece.

    Gradient: to `x` and `window`.

    Source: J. B. Allen, L. R. Rabiner, "A unified approach to short-time Fourier
    analysis and synthesis", 1977.
    """
    op = "stft"
    hop = max(n_fft // 4, 1) if hop_length is None else hop_length
    size = n_fft if win_length is None else win_length
    if not 1 <= size <= n_fft or hop < 1:
        raise ArgumentError(
            f"[{op}] the lengths make no sense",
            got=f"n_fft={n_fft}, hop_length={hop_length}, win_length={win_length}",
            expected="1 <= win_length <= n_fft and 1 <= hop_length",
        )
    if x.ndim < 1:
        raise ShapeError(f"[{op}] a signal has an axis", got=f"shape {x.shape}")
    x = as_float(op, x)
    dtype = x.dtype
    inner = promote(dtype, float32)
    lead, length = x.shape[:-1], x.shape[-1]
    rows = movement.reshape(elementwise.cast(x, inner), (math.prod(lead), length))
    if center:
        half = n_fft // 2
        rows = padding.pad(rows, [(half, half)], mode=pad_mode)
    if rows.shape[-1] < n_fft:
        raise ShapeError(
            f"[{op}] the signal is shorter than a piece",
            got=f"{rows.shape[-1]} numbers, padding included",
            expected=f"at least n_fft={n_fft}",
        )
    bins = n_fft // 2 + 1
    waves = _waves(n_fft) / (math.sqrt(n_fft) if normalized else 1)
    weight = constant(waves.reshape(2 * bins, n_fft), inner)
    if window is not None or size < n_fft:
        shape = _window_of(op, window, size, n_fft, inner)
        weight = elementwise.multiply(weight, shape)
    pieces = sliding_windows(rows, n_fft, stride=hop)
    count = pieces.shape[1]
    found = contract.matmul(pieces, movement.matrix_transpose(weight))
    found = movement.reshape(found, (*lead, count, 2, bins))
    ahead = tuple(range(len(lead)))
    order = (*ahead, len(lead) + 2, len(lead), len(lead) + 1)
    return elementwise.cast(movement.permute_dims(found, order), dtype)


def spectrogram(
    x: Node,
    n_fft: int,
    *,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Node | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    power: float = 2.0,
) -> Node:
    """Return how strong each frequency is over time.

    Formula: (cosine part ** 2 + sine part ** 2) ** (power / 2), with the parts of
    `stft`.

    Args:
        x: signals, shape (..., length).
        n_fft, hop_length, win_length, window, center, pad_mode, normalized: as in
            `stft`.
        power: 2 for power, 1 for magnitude.

    Returns:
        Shape (..., n_fft // 2 + 1, pieces). Frequency k is k / n_fft of the rate at
        which the signal was sampled.

    Raises:
        ArgumentError, ShapeError: as in `stft`; a power not above 0.

    Special cases: where a strength is 0, its derivative is 0.

    Gradient: to `x` and `window`.
    """
    if not power > 0:
        raise ArgumentError("[spectrogram] the power is above 0", got=f"power={power}")
    x = as_float("spectrogram", x)
    dtype = x.dtype
    parts = stft(
        elementwise.cast(x, promote(dtype, float32)), n_fft, hop_length=hop_length,
        win_length=win_length, window=window, center=center, pad_mode=pad_mode,
        normalized=normalized,
    )  # fmt: skip
    last = parts.ndim - 1
    cosine, sine = (
        movement.squeeze(movement.slice_axis(parts, last, i, i + 1), last)
        for i in range(2)
    )
    strength = elementwise.add(elementwise.square(cosine), elementwise.square(sine))
    if power != 2:
        # A root has no derivative at 0.
        some = elementwise.greater(strength, 0)
        safe = elementwise.select(some, strength, 1)
        root = (
            elementwise.sqrt(safe) if power == 1 else elementwise.pow(safe, power / 2)
        )
        strength = elementwise.select(some, root, 0)
    return elementwise.cast(strength, dtype)


OPS = (stft, spectrogram)

"""Windows over pieces of signals, and filters for their spectra.

Read first: `hann_window`, `mel_filters`.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..arguments import checked
from ..dtypes import as_dtype, default_float
from ..errors import ArgumentError
from .create import asarray
from .tensor import Tensor

# The logarithmic part of Slaney's scale: from this frequency and mel on, one mel is a
# factor of 6.4 ** (1 / 27). Source: M. Slaney, "Auditory toolbox", 1998.
_BREAK_HERTZ, _BREAK_MEL, _STEP = 1000.0, 15.0, np.log(6.4) / 27


def _cosines(
    name: str, length: int, periodic: bool, coefficients: tuple[float, ...], dtype: Any
) -> Tensor:
    """Return a sum of cosines of 0, 1, 2 ... periods over a window."""
    angle = _steps(name, length, periodic) * 2 * np.pi
    terms = [c * np.cos(i * angle) for i, c in enumerate(coefficients)]
    return _made(np.sum(terms, 0) if length > 1 else np.ones(length), dtype)


def _steps(name: str, length: int, periodic: bool) -> np.ndarray:
    """Return how far along the window each element lies, from 0 to 1."""
    if length < 0:
        raise ArgumentError(f"[{name}] a length is not negative", got=str(length))
    return np.arange(length) / max(length if periodic else length - 1, 1)


def _made(values: np.ndarray, dtype: Any) -> Tensor:
    kind = default_float if dtype is None else as_dtype(dtype)
    return asarray(values.astype(kind.numpy))


@checked
def hann_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None
) -> Tensor:
    """Return the window of Hann: one period of a cosine, from 0 to 1 and back.

    Formula: (1 - cos(2 pi i / n)) / 2, with n the length, or length - 1 if it is not
    periodic.

    Args:
        window_length: of the result.
        periodic: leave out the last element of a symmetric window that is one longer,
            as spectra need it.
        dtype: default: the default floating-point type.

    Raises:
        ArgumentError: a negative length.

    Source: R. B. Blackman, J. W. Tukey, "The measurement of power spectra", 1958.
    """
    return _cosines("hann_window", window_length, periodic, (0.5, -0.5), dtype)


@checked
def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    *,
    dtype: Any = None,
) -> Tensor:
    """Return the window of Hamming, as `hann_window` but not down to 0.

    Formula: alpha - beta * cos(2 pi i / n).

    Args:
        window_length, periodic, dtype: as in `hann_window`.
        alpha, beta: of the formula.

    Raises:
        ArgumentError: a negative length.

    Source: R. B. Blackman, J. W. Tukey, "The measurement of power spectra", 1958.
    """
    return _cosines("hamming_window", window_length, periodic, (alpha, -beta), dtype)


@checked
def blackman_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None
) -> Tensor:
    """Return the window of Blackman, narrower than that of Hann.

    Formula: 0.42 - 0.5 cos(2 pi i / n) + 0.08 cos(4 pi i / n).

    Args:
        window_length, periodic, dtype: as in `hann_window`.

    Raises:
        ArgumentError: a negative length.

    Source: R. B. Blackman, J. W. Tukey, "The measurement of power spectra", 1958.
    """
    return _cosines(
        "blackman_window", window_length, periodic, (0.42, -0.5, 0.08), dtype
    )


@checked
def bartlett_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None
) -> Tensor:
    """Return the window of Bartlett, a triangle from 0 to 1 and back.

    Formula: 1 - abs(2 i / n - 1).

    Args:
        window_length, periodic, dtype: as in `hann_window`.

    Raises:
        ArgumentError: a negative length.

    Source: M. S. Bartlett, "Periodogram analysis and continuous spectra", 1950.
    """
    at = _steps("bartlett_window", window_length, periodic)
    one = np.ones(window_length)
    return _made(1 - np.abs(2 * at - 1) if window_length > 1 else one, dtype)


@checked
def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: Any = None
) -> Tensor:
    """Return the window of Kaiser, of a width of one's choice.

    Formula: I0(beta * sqrt(1 - (2 i / n - 1) ** 2)) / I0(beta), with the modified
    Bessel function I0.

    Args:
        window_length, periodic, dtype: as in `hann_window`.
        beta: the larger, the narrower; 0 is a window of ones.

    Raises:
        ArgumentError: a negative length.

    Source: J. F. Kaiser, "Nonrecursive digital filter design using the I0-sinh window
    function", 1974.
    """
    at = _steps("kaiser_window", window_length, periodic)
    inside = np.sqrt(np.maximum(1 - (2 * at - 1) ** 2, 0))
    one = np.ones(window_length)
    values = np.i0(beta * inside) / np.i0(beta)
    return _made(values if window_length > 1 else one, dtype)


def _mel(hertz: Any, scale: str) -> Any:
    if scale == "htk":
        return 2595 * np.log10(1 + hertz / 700)
    linear = hertz * _BREAK_MEL / _BREAK_HERTZ
    high = np.log(np.maximum(hertz, _BREAK_HERTZ) / _BREAK_HERTZ) / _STEP
    return np.where(hertz < _BREAK_HERTZ, linear, _BREAK_MEL + high)


def _hertz(mel: np.ndarray, scale: str) -> np.ndarray:
    if scale == "htk":
        return np.asarray(700 * (10 ** (mel / 2595) - 1))
    high = _BREAK_HERTZ * np.exp(_STEP * (mel - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _BREAK_HERTZ / _BREAK_MEL, high)


@functools.lru_cache(maxsize=32)
def _triangles(
    n_mels: int,
    n_fft: int,
    sample_rate: float,
    f_min: float,
    f_max: float,
    mel_scale: str,
    norm: str | None,
) -> np.ndarray:
    low, high = (_mel(np.float64(f), mel_scale) for f in (f_min, f_max))
    corners = _hertz(np.linspace(low, high, n_mels + 2), mel_scale)
    frequency = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)
    left, middle, right = (corners[i : i + n_mels, None] for i in range(3))
    rising = (frequency - left) / (middle - left)
    falling = (right - frequency) / (right - middle)
    filters: np.ndarray = np.maximum(0, np.minimum(rising, falling))
    if norm == "slaney":
        filters = filters * 2 / (right - left)
    return filters


@checked
def mel_filters(
    n_mels: int,
    n_fft: int,
    sample_rate: float,
    *,
    f_min: float = 0.0,
    f_max: float | None = None,
    mel_scale: str = "htk",
    norm: str | None = None,
    dtype: Any = None,
) -> Tensor:
    """Return filters that sum the frequencies of spectra into bands, as ears do.

    The bands are triangles over the frequencies, with corners at equal distances in
    mel. `mel_filters(...) @ plait.spectrogram(x, n_fft)` is a mel spectrogram.

    Args:
        n_mels: the number of bands.
        n_fft: of the spectrum, as in `stft`.
        sample_rate: how many numbers of the signal there are in a second.
        f_min, f_max: the lowest and the highest frequency, in hertz. Default of the
            highest: half of the sample rate.
        mel_scale: "htk": mel = 2595 log10(1 + f / 700); "slaney": linear up to 1000 Hz,
            which are 15 mel, and logarithmic from there, 27 mel for a factor of 6.4.
        norm: "slaney" divides each band by half its width in hertz; None: its highest
            point is 1.
        dtype: default: the default floating-point type.

    Returns:
        Shape (n_mels, n_fft // 2 + 1).

    Raises:
        ArgumentError: no band, frequencies that do not ascend, or above half the sample
            rate, no such scale or norm.

    Source: S. Young et al., "The HTK book"; M. Slaney, "Auditory toolbox", 1998.
    """
    top = sample_rate / 2 if f_max is None else f_max
    scales = mel_scale in ("htk", "slaney") and norm in (None, "slaney")
    if n_mels < 1 or not 0 <= f_min < top <= sample_rate / 2 or not scales:
        raise ArgumentError(
            "[mel_filters] the bands make no sense",
            got=f"n_mels={n_mels}, f_min={f_min}, f_max={f_max}, "
            f"sample_rate={sample_rate}, mel_scale={mel_scale!r}, norm={norm!r}",
            expected="n_mels >= 1, f_min < f_max <= sample_rate / 2, 'htk' or 'slaney'",
        )
    filters = _triangles(n_mels, n_fft, sample_rate, f_min, top, mel_scale, norm)
    return _made(filters, dtype)

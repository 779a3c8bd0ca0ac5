"""Layers that make pictures of sounds: frequencies over time.

Read first: `STFTSpectrogram`, `MelSpectrogram`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

import plait
from plait import DType, Tensor

from ..errors import ArgumentError, ShapeError
from .module import Module
from .sample import Sample, uniform

_WINDOWS: dict[str, Callable[..., Tensor]] = {
    "hann": plait.hann_window,
    "hamming": plait.hamming_window,
    "blackman": plait.blackman_window,
    "bartlett": plait.bartlett_window,
}
# Below this, a logarithm is taken of this instead.
_LEAST = 1e-7


def _check_window(layer: str, window: Any, length: int) -> Any:
    """Return a window: a name, None, or its values as a list.

    Raises:
        ArgumentError: there is no such window.
        ShapeError: it has not the length of a piece.
    """
    if window is None or (isinstance(window, str) and window in _WINDOWS):
        return window
    if isinstance(window, str):
        raise ArgumentError(
            f"[{layer}] there is no such window",
            got=repr(window),
            expected=f"{', '.join(map(repr, _WINDOWS))}, None, or its values",
        )
    values = np.asarray(window.numpy() if isinstance(window, Tensor) else window)
    if values.shape != (length,):
        raise ShapeError(
            f"[{layer}] the window does not fit",
            got=f"shape {values.shape}",
            expected=f"shape ({length},)",
        )
    return values.astype(np.float64)


def _window(window: Any, length: int, periodic: bool, dtype: DType) -> Tensor:
    if window is None:
        return plait.ones(length, dtype=dtype)
    if isinstance(window, str):
        return _WINDOWS[window](length, periodic, dtype=dtype)
    return plait.tensor(window, dtype=dtype)


_MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")


class STFTSpectrogram(Module):
    """Gives the frequencies of signals over time, by short-time Fourier transforms.

    Args:
        mode: "magnitude", the root of 1e-7 at least; "log", its natural logarithm;
            "psd", the power spectral density, with the power of the negative
            frequencies added; "real", "imag" or "angle" of the transform; "stft", the
            real parts and, behind them, the imaginary ones.
        frame_length: how many numbers a piece of the signal has.
        frame_step: from the start of a piece to that of the next. None: half a piece.
        fft_length: zeros are put behind each piece up to this length. None: the next
            power of 2.
        window: "hann", "hamming", "blackman", "bartlett", None for ones, or its values.
        periodic: leave out the last element of a window that is one longer.
        scaling: divide by the root of the sum of the window's squares, "density", by
            its sum, "spectrum", or not at all, None.
        padding: "valid": pieces lie inside of the signal; "same": one begins at each
            step, and zeros are put around the signal.
        expand_dims: give the frequencies an axis of their own, the last one.

    Input: shape (n, channels, length), or without n. Result: (n, channels *
    frequencies, pieces), with fft_length // 2 + 1 frequencies, twice as many for
    "stft"; or (n, channels, pieces, frequencies) with `expand_dims`.

    Raises:
        ArgumentError: lengths that make no sense, no such mode, window, scaling or
            padding.
        ShapeError: (calling it) the signal is shorter than a piece.

    Source: J. B. Allen, L. R. Rabiner, "A unified approach to short-time Fourier
    analysis and synthesis", 1977.
    """

    _shown = ("mode", "frame_length", "frame_step", "fft_length")

    def __init__(
        self,
        mode: str = "log",
        frame_length: int = 256,
        frame_step: int | None = None,
        fft_length: int | None = None,
        window: Any = "hann",
        periodic: bool = False,
        scaling: str | None = "density",
        padding: str = "valid",
        expand_dims: bool = False,
    ) -> None:
        super().__init__()
        name = "STFTSpectrogram"
        known = {
            "mode": (mode, _MODES), "padding": (padding, ("valid", "same")),
            "scaling": (scaling, ("density", "spectrum", None)),
        }  # fmt: skip
        for what, (given, words) in known.items():
            if given not in words:
                raise ArgumentError(
                    f"[{name}] there is no such {what}",
                    got=repr(given),
                    expected=", ".join(map(repr, words)),
                )
        step = max(frame_length // 2, 1) if frame_step is None else frame_step
        size = fft_length
        if size is None:
            size = 1 << max(frame_length - 1, 0).bit_length()
        if not 1 <= frame_length <= size or step < 1:
            raise ArgumentError(
                f"[{name}] the lengths make no sense",
                got=f"frame_length={frame_length}, frame_step={frame_step}, "
                f"fft_length={fft_length}",
                expected="1 <= frame_length <= fft_length and 1 <= frame_step",
            )
        self.mode, self.padding, self.scaling = mode, padding, scaling
        self.frame_length, self.frame_step, self.fft_length = frame_length, step, size
        self.window = _check_window(name, window, frame_length)
        self.periodic, self.expand_dims = periodic, expand_dims

    def _scaled_window(self, dtype: DType) -> Tensor:
        window = _window(self.window, self.frame_length, self.periodic, dtype)
        if self.scaling == "density":
            window = window / plait.sqrt((window * window).sum())
        elif self.scaling == "spectrum":
            window = window / plait.abs(window).sum()
        # A piece stands at the beginning of what is transformed.
        return plait.pad(window, [(0, self.fft_length - self.frame_length)])

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (2, 3):
            raise ShapeError(
                "[STFTSpectrogram] the input does not fit",
                got=f"shape {input.shape}",
                expected="(n, channels, length) or (channels, length)",
            )
        dtype = plait.result_type(input.dtype, plait.float32)
        signal, length = input.to(dtype), input.shape[-1]
        if self.padding == "same":
            pieces = -(-length // self.frame_step)
            missing = (pieces - 1) * self.frame_step + self.frame_length - length
            left = max(missing, 0) // 2
            signal = plait.pad(signal, [(left, max(missing, 0) - left)])
        # Of the zeros behind the last piece, the signal has none.
        signal = plait.pad(signal, [(0, self.fft_length - self.frame_length)])
        parts = plait.stft(
            signal, self.fft_length, hop_length=self.frame_step,
            window=self._scaled_window(dtype), center=False,
        )  # fmt: skip
        result = self._in_mode(parts[..., 0], parts[..., 1])
        if self.expand_dims:
            result = result.mT
        else:
            result = result.flatten(-3, -2)
        return result.to(input.dtype)

    def _in_mode(self, real: Tensor, imaginary: Tensor) -> Tensor:
        if self.mode in ("real", "imag"):
            return real if self.mode == "real" else imaginary
        if self.mode == "angle":
            return plait.atan2(imaginary, real)
        if self.mode == "stft":
            return plait.concat([real, imaginary], axis=-2)
        power = real * real + imaginary * imaginary
        if self.mode == "psd":
            # Frequency 0, and the highest of an even length, have no negative ones.
            last = 1 - self.fft_length % 2
            inner = power[..., 1 : power.shape[-2] - last, :]
            return power + plait.pad(inner, [(1, last), (0, 0)])
        if self.mode == "log":
            return plait.log(power.clip(_LEAST)) / 2
        return plait.sqrt(power.clip(_LEAST))

    @staticmethod
    def samples() -> list[Sample]:
        plain: dict[str, Any] = {"like_torch": "never"}
        x = uniform(2, 2, 20)

        def reference(layer: Any, x: Any) -> Any:
            size, step, n = layer.frame_length, layer.frame_step, layer.fft_length
            starts = range(0, x.shape[-1] - size + 1, step)
            pieces = np.stack([x[..., i : i + size] for i in starts], -1)
            window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / (size - 1))
            window /= np.sqrt((window**2).sum())
            found = np.fft.rfft(pieces * window[:, None], n, axis=-2)
            power = np.abs(found) ** 2
            if layer.mode == "log":
                result = np.log(np.maximum(power, _LEAST)) / 2
            else:
                result = np.concatenate([found.real, found.imag], -2)
            return result.reshape(*x.shape[:-2], -1, len(starts))

        sizes = {"frame_length": 6, "frame_step": 3}
        return [
            Sample((x,), (), sizes, **plain, reference=reference),
            Sample((x,), ("stft",), sizes, **plain, reference=reference),
            Sample((x,), ("psd",), {**sizes, "expand_dims": True}, **plain),
            Sample((x,), ("angle",), {**sizes, "padding": "same"}, **plain),
        ]


class MelSpectrogram(Module):
    """Gives the strength of bands of frequencies over time, bands as ears have them.

    Formula: the filters of `plait.mel_filters` times the spectrogram, in decibels
    10 * log10(s / ref_power), and no more than `top_db` below the example's highest.

    Args:
        fft_length: how many numbers a piece of the signal has.
        sequence_stride: from the middle of a piece to that of the next.
        sequence_length: the length of the window, in the middle of a piece. None:
            fft_length.
        window: "hann", "hamming", "blackman", "bartlett", None for ones, or its values.
        sampling_rate: how many numbers of the signal there are in a second.
        num_mel_bins: how many bands.
        min_freq: the lowest frequency, in hertz.
        max_freq: the highest. None: half of the sampling rate.
        power_to_db: give decibels.
        top_db: see the formula; None: no such limit.
        mag_exp: the exponent of magnitudes: 2 for power.
        min_power: a power is at least this before its logarithm is taken.
        ref_power: what 0 decibels are.
        mel_scale: "htk" or "slaney"; see `plait.mel_filters`.
        norm: None or "slaney"; see `plait.mel_filters`.

    Input: shape (..., length). Result: (..., num_mel_bins, pieces). At both ends the
    signal is mirrored, so that there are 1 + length // sequence_stride pieces.

    Raises:
        ArgumentError: lengths or frequencies that make no sense, no such window.
        ShapeError: (calling it) the signal is not longer than half a piece.

    Source: S. Young et al., "The HTK book"; M. Slaney, "Auditory toolbox", 1998.
    """

    _shown: ClassVar[tuple[str, ...]] = (
        "fft_length", "sequence_stride", "sampling_rate", "num_mel_bins",
    )  # fmt: skip

    def __init__(
        self,
        fft_length: int = 2048,
        sequence_stride: int = 512,
        sequence_length: int | None = None,
        window: Any = "hann",
        sampling_rate: float = 16000,
        num_mel_bins: int = 128,
        min_freq: float = 20.0,
        max_freq: float | None = None,
        power_to_db: bool = True,
        top_db: float | None = 80.0,
        mag_exp: float = 2.0,
        min_power: float = 1e-10,
        ref_power: float = 1.0,
        mel_scale: str = "htk",
        norm: str | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        length = fft_length if sequence_length is None else sequence_length
        if not 1 <= length <= fft_length or sequence_stride < 1:
            raise ArgumentError(
                f"[{name}] the lengths make no sense",
                got=f"fft_length={fft_length}, sequence_stride={sequence_stride}, "
                f"sequence_length={sequence_length}",
                expected="1 <= sequence_length <= fft_length and 1 <= sequence_stride",
            )
        if not (mag_exp > 0 and min_power > 0 and ref_power > 0):
            raise ArgumentError(
                f"[{name}] powers are above 0",
                got=f"mag_exp={mag_exp}, min_power={min_power}, ref_power={ref_power}",
            )
        self.fft_length, self.sequence_stride = fft_length, sequence_stride
        self.sequence_length = length
        self.window = _check_window(name, window, length)
        self.num_mel_bins, self.sampling_rate = num_mel_bins, sampling_rate
        self.min_freq, self.max_freq = min_freq, max_freq
        self.power_to_db, self.top_db = power_to_db, top_db
        self.mag_exp, self.min_power, self.ref_power = mag_exp, min_power, ref_power
        self.mel_scale, self.norm = mel_scale, norm
        self._filters(plait.float32)  # raises now, if the bands make no sense

    def _filters(self, dtype: DType) -> Tensor:
        return plait.mel_filters(
            self.num_mel_bins, self.fft_length, self.sampling_rate,
            f_min=self.min_freq, f_max=self.max_freq, mel_scale=self.mel_scale,
            norm=self.norm, dtype=dtype,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        dtype = plait.result_type(input.dtype, plait.float32)
        strength = plait.spectrogram(
            input.to(dtype), self.fft_length, hop_length=self.sequence_stride,
            win_length=self.sequence_length,
            window=_window(self.window, self.sequence_length, True, dtype),
            power=self.mag_exp,
        )  # fmt: skip
        # In 16 bits, under autocast, weak bands would be lost.
        with plait.autocast(enabled=False):
            bands = plait.matmul(self._filters(dtype), strength.to(dtype))
        return self._finished(bands).to(input.dtype)

    def _finished(self, bands: Tensor) -> Tensor:
        if not self.power_to_db:
            return bands
        zero = 10 * math.log10(max(self.ref_power, self.min_power))
        decibels = plait.log10(bands.clip(self.min_power)) * 10 - zero
        if self.top_db is None:
            return decibels
        highest = decibels.amax((-2, -1), keepdims=True)
        return plait.maximum(decibels, highest - self.top_db)

    @staticmethod
    def samples() -> list[Sample]:
        sizes = {
            "fft_length": 16, "sequence_stride": 5, "sequence_length": 12,
            "num_mel_bins": 3,
        }  # fmt: skip
        x = uniform(2, 30)

        def reference(layer: Any, x: Any) -> Any:
            n, size = layer.fft_length, layer.sequence_length
            window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
            window = np.pad(window, (n - size) // 2)
            wide = np.pad(x, ((0, 0), (n // 2, n // 2)), mode="reflect")
            starts = range(0, wide.shape[-1] - n + 1, layer.sequence_stride)
            pieces = np.stack([wide[:, i : i + n] * window for i in starts], -1)
            power = np.abs(np.fft.rfft(pieces, axis=1)) ** 2
            filters = layer._filters(plait.float64).numpy()
            decibels = 10 * np.log10(np.maximum(filters @ power, 1e-10))
            return np.maximum(decibels, decibels.max((1, 2), keepdims=True) - 80)

        plain = {**sizes, "power_to_db": False, "mag_exp": 1.0, "norm": "slaney"}
        settings: dict[str, Any] = {"like_torch": "never"}
        return [
            Sample((x,), (), sizes, **settings, reference=reference),
            Sample((x,), (), plain, **settings),
        ]


class MFCC(MelSpectrogram):
    """Gives the shape of the spectrum over time: mel-frequency cepstral coefficients.

    Formula: the discrete cosine transform (the second one, orthonormal) over the bands
    of a `MelSpectrogram` in decibels.

    Args:
        num_coefficients: how many of them, the first ones.
        fft_length: see `MelSpectrogram`.
        sequence_stride: see `MelSpectrogram`.
        sequence_length: see `MelSpectrogram`.
        window: see `MelSpectrogram`.
        sampling_rate: see `MelSpectrogram`.
        num_mel_bins: see `MelSpectrogram`.
        min_freq: see `MelSpectrogram`.
        max_freq: see `MelSpectrogram`.
        top_db: see `MelSpectrogram`.
        mel_scale: see `MelSpectrogram`.
        norm: see `MelSpectrogram`.

    Input: shape (..., length). Result: (..., num_coefficients, pieces).

    Raises:
        ArgumentError: more coefficients than bands, or as in `MelSpectrogram`.

    Source: S. Davis, P. Mermelstein, "Comparison of parametric representations for
    monosyllabic word recognition in continuously spoken sentences", 1980.
    """

    _shown = ("num_coefficients", *MelSpectrogram._shown)

    def __init__(
        self,
        num_coefficients: int = 40,
        fft_length: int = 400,
        sequence_stride: int = 200,
        sequence_length: int | None = None,
        window: Any = "hann",
        sampling_rate: float = 16000,
        num_mel_bins: int = 128,
        min_freq: float = 0.0,
        max_freq: float | None = None,
        top_db: float | None = 80.0,
        mel_scale: str = "htk",
        norm: str | None = None,
    ) -> None:
        super().__init__(
            fft_length, sequence_stride, sequence_length, window, sampling_rate,
            num_mel_bins, min_freq, max_freq, top_db=top_db, mel_scale=mel_scale,
            norm=norm,
        )  # fmt: skip
        if not 1 <= num_coefficients <= num_mel_bins:
            raise ArgumentError(
                "[MFCC] there are as many coefficients as bands at most",
                got=f"num_coefficients={num_coefficients}, num_mel_bins={num_mel_bins}",
            )
        self.num_coefficients = num_coefficients

    def _finished(self, bands: Tensor) -> Tensor:
        n = self.num_mel_bins
        k = np.arange(self.num_coefficients)[:, None]
        waves = np.cos(np.pi / n * (np.arange(n) + 0.5) * k) * math.sqrt(2 / n)
        waves[0] /= math.sqrt(2)
        decibels = super()._finished(bands)
        with plait.autocast(enabled=False):
            return plait.matmul(plait.tensor(waves, dtype=decibels.dtype), decibels)

    @staticmethod
    def samples() -> list[Sample]:
        sizes = {
            "num_coefficients": 2, "fft_length": 16, "sequence_stride": 5,
            "num_mel_bins": 3,
        }  # fmt: skip
        return [Sample((uniform(2, 30),), (), sizes, like_torch="never")]

"""Pictures of sounds, against SciPy and by tones whose frequency is known."""

import numpy as np
import pytest

import plait
from plait import nn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 200))


def run(layer, x=X):
    return layer(plait.tensor(x)).numpy()


def test_a_power_spectrum_is_that_of_scipy():
    signal = pytest.importorskip("scipy.signal")
    cases = (("density", None), ("spectrum", None), ("density", 64), ("density", 65))
    for scaling, length in cases:
        _, _, expected = signal.spectrogram(
            X, window=("hamming"), nperseg=50, noverlap=30, nfft=length or 64,
            scaling=scaling, detrend=False, mode="psd",
        )  # fmt: skip
        layer = nn.STFTSpectrogram(
            "psd", 50, 20, length, "hamming", True, scaling, expand_dims=True
        )
        np.testing.assert_allclose(run(layer), np.swapaxes(expected, -1, -2), atol=1e-6)


def test_a_transform_is_that_of_scipy():
    signal = pytest.importorskip("scipy.signal")
    _, _, expected = signal.stft(
        X, window="hann", nperseg=50, noverlap=25, nfft=64, boundary=None, padded=False
    )
    for mode, wanted in (
        ("real", expected.real), ("imag", expected.imag),
        ("angle", np.angle(expected)), ("magnitude", np.abs(expected)),
        ("log", np.log(np.abs(expected))),
        ("stft", np.concatenate([expected.real, expected.imag], -2)),
    ):  # fmt: skip
        layer = nn.STFTSpectrogram(mode, 50, 25, periodic=True, scaling="spectrum")
        found = run(layer)
        assert layer.fft_length == 64
        shown = found.reshape(wanted.shape)
        if mode == "angle":  # pi and -pi are one
            shown, wanted = np.exp(1j * shown), np.exp(1j * wanted)
        floor = 1e-3 if mode in ("magnitude", "log") else 1e-6
        np.testing.assert_allclose(shown, wanted, atol=floor)


def test_pieces_at_each_step():
    x = X[..., :103]
    for step, count in ((10, 11), (50, 3)):
        layer = nn.STFTSpectrogram(
            "real",
            40,
            step,
            window=None,
            scaling=None,
            padding="same",
            expand_dims=True,
        )
        found = run(layer, x)
        assert found.shape == (2, 3, count, 33)
        missing = max((count - 1) * step + 40 - 103, 0)
        wide = np.pad(x, ((0, 0), (0, 0), (missing // 2, missing - missing // 2)))
        # The first entry is the sum of a piece.
        sums = [wide[..., i * step : i * step + 40].sum(-1) for i in range(count)]
        np.testing.assert_allclose(found[..., 0], np.stack(sums, -1), atol=1e-10)


@pytest.mark.parametrize("frequency", [300.0, 1000.0, 3000.0])
def test_a_tone_is_in_its_band(frequency):
    time = np.arange(16000) / 16000
    tone = np.sin(2 * np.pi * frequency * time)
    for scale in ("htk", "slaney"):
        layer = nn.MelSpectrogram(
            512, 256, num_mel_bins=40, min_freq=0.0, mel_scale=scale
        )
        found = run(layer, tone)
        assert found.shape == (40, 63)
        filters = plait.mel_filters(40, 512, 16000, mel_scale=scale).numpy()
        expected = filters[:, round(frequency / 16000 * 512)].argmax()
        assert (found[:, 3:-3].argmax(0) == expected).all()
        # A sine that fills a window of Hann of 512 has the power 128 ** 2 at its peak.
        assert found.max() == pytest.approx(10 * np.log10(128**2), abs=3)
        assert found.min() == pytest.approx(found.max() - 80)


def test_a_window_of_ones_own():
    values = RNG.uniform(0.5, 1, 32)
    plain = {"window": values, "fft_length": 32, "power_to_db": False}
    named = nn.MelSpectrogram(num_mel_bins=4, **plain)
    other = nn.MelSpectrogram(
        num_mel_bins=4, **{**plain, "window": plait.tensor(values)}
    )
    np.testing.assert_array_equal(run(named), run(other))
    none = nn.MelSpectrogram(num_mel_bins=4, **{**plain, "window": None})
    ones = nn.MelSpectrogram(num_mel_bins=4, **{**plain, "window": np.ones(32)})
    np.testing.assert_allclose(run(none), run(ones))


def test_cepstral_coefficients_are_those_of_scipy():
    fft = pytest.importorskip("scipy.fft")
    sizes = (64, 16, 48)
    mel = nn.MelSpectrogram(*sizes, num_mel_bins=12, min_freq=0.0)
    expected = fft.dct(run(mel), axis=-2, norm="ortho")[..., :5, :]
    found = run(nn.MFCC(5, *sizes, num_mel_bins=12))
    np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: nn.STFTSpectrogram("db"),
            plait.errors.ArgumentError,
            "[STFTSpectrogram] there is no such mode. Got: 'db'. Expected: 'log', "
            "'magnitude', 'psd', 'real', 'imag', 'angle', 'stft'.",
        ),
        (
            lambda: nn.STFTSpectrogram(frame_length=300, fft_length=256),
            plait.errors.ArgumentError,
            "[STFTSpectrogram] the lengths make no sense. Got: frame_length=300, "
            "frame_step=None, fft_length=256. "
            "Expected: 1 <= frame_length <= fft_length and 1 <= frame_step.",
        ),
        (
            lambda: nn.MelSpectrogram(window="kaiser"),
            plait.errors.ArgumentError,
            "[MelSpectrogram] there is no such window. Got: 'kaiser'. Expected: "
            "'hann', 'hamming', 'blackman', 'bartlett', None, or its values.",
        ),
        (
            lambda: nn.MelSpectrogram(window=[1.0, 2.0]),
            plait.errors.ShapeError,
            "[MelSpectrogram] the window does not fit. Got: shape (2,). "
            "Expected: shape (2048,).",
        ),
        (
            lambda: nn.MelSpectrogram(ref_power=0.0),
            plait.errors.ArgumentError,
            "[MelSpectrogram] powers are above 0. "
            "Got: mag_exp=2.0, min_power=1e-10, ref_power=0.0.",
        ),
        (
            lambda: nn.MelSpectrogram(sequence_stride=0),
            plait.errors.ArgumentError,
            "[MelSpectrogram] the lengths make no sense. Got: fft_length=2048, "
            "sequence_stride=0, sequence_length=None. "
            "Expected: 1 <= sequence_length <= fft_length and 1 <= sequence_stride.",
        ),
        (
            lambda: nn.MFCC(20, num_mel_bins=10),
            plait.errors.ArgumentError,
            "[MFCC] there are as many coefficients as bands at most. "
            "Got: num_coefficients=20, num_mel_bins=10.",
        ),
        (
            lambda: nn.STFTSpectrogram()(plait.zeros(300)),
            plait.errors.ShapeError,
            "[STFTSpectrogram] the input does not fit. Got: shape (300,). "
            "Expected: (n, channels, length) or (channels, length).",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).split("\n")[0] == message

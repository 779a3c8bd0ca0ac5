"""Windows and mel filters, against SciPy and by what is known of them."""

import numpy as np
import pytest

import plait
from plait.tensor import sound

try:
    import torch
except ImportError:
    torch = None


@pytest.mark.parametrize("name", ["hann", "hamming", "blackman", "bartlett"])
@pytest.mark.parametrize("length", [0, 1, 2, 7, 8])
@pytest.mark.parametrize("periodic", [True, False])
def test_windows(name, length, periodic):
    function = getattr(plait, f"{name}_window")
    found = function(length, periodic, dtype=plait.float64)
    if torch is not None:
        theirs = getattr(torch, f"{name}_window")
        expected = theirs(length, periodic=periodic, dtype=torch.float64)
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-15)
    windows = pytest.importorskip("scipy.signal.windows")
    if length:
        expected = getattr(windows, name)(length, sym=not periodic)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-15)
    assert function(length).dtype is plait.float32


@pytest.mark.parametrize("beta", [0.0, 5.0, 12.0])
@pytest.mark.parametrize("length", [0, 1, 2, 9, 16])
def test_windows_of_kaiser(length, beta):
    symmetric = plait.kaiser_window(length, False, beta, dtype=plait.float64)
    np.testing.assert_allclose(symmetric.numpy(), np.kaiser(length, beta), atol=1e-14)
    periodic = plait.kaiser_window(length, True, beta, dtype=plait.float64).numpy()
    if length > 1:
        longer = np.kaiser(length + 1, beta)[:-1]
        np.testing.assert_allclose(periodic, longer, atol=1e-14)


def test_windows_by_hand():
    assert plait.hann_window(4).tolist() == pytest.approx([0, 0.5, 1, 0.5])
    assert plait.bartlett_window(5, False).tolist() == [0, 0.5, 1, 0.5, 0]
    wide = plait.hamming_window(3, False, 0.6, 0.4).tolist()
    assert wide == pytest.approx([0.2, 1.0, 0.2])


def test_scales():
    # 1000 Hz are 15 mel in one scale and about 1000 in the other.
    assert sound._mel(np.array([110.0, 220.0, 440.0]), "slaney") == pytest.approx(
        [1.65, 3.3, 6.6]
    )
    assert sound._mel(np.array(6400.0), "slaney") == pytest.approx(42)
    assert sound._mel(np.array(1000.0), "htk") == pytest.approx(1000, rel=1e-4)
    hertz = np.array([0.0, 100.0, 999.0, 1001.0, 8000.0])
    for scale in ("htk", "slaney"):
        back = sound._hertz(sound._mel(hertz, scale), scale)
        np.testing.assert_allclose(back, hertz, atol=1e-9)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_filters_are_triangles(scale):
    settings = {"f_min": 100.0, "f_max": 7000.0, "mel_scale": scale}
    found = plait.mel_filters(20, 4096, 16000, dtype=plait.float64, **settings).numpy()
    frequency = np.arange(2049) * 16000 / 4096
    corners = sound._hertz(
        np.linspace(*sound._mel(np.array([100.0, 7000.0]), scale), 22), scale
    )
    for i, band in enumerate(found):
        expected = np.interp(frequency, corners[i : i + 3], [0, 1, 0])
        np.testing.assert_allclose(band, expected, atol=1e-12)
    even = plait.mel_filters(
        20, 4096, 16000, norm="slaney", dtype=plait.float64, **settings
    )
    # Each band then has the area 1, over frequencies in hertz.
    areas = even.numpy().sum(1) * 16000 / 4096
    np.testing.assert_allclose(areas, 1, atol=0.05)
    assert plait.mel_filters(20, 512, 16000).shape == (20, 257)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_mels": 0}, {"f_min": 9000.0}, {"f_max": 9000.0}, {"mel_scale": "mel"},
        {"norm": "l1"},
    ],
)  # fmt: skip
def test_wrong_filters(wrong):
    settings = {"n_mels": 4, "n_fft": 64, "sample_rate": 16000, **wrong}
    with pytest.raises(plait.errors.ArgumentError, match="the bands make no sense"):
        plait.mel_filters(**settings)


def test_a_negative_length():
    with pytest.raises(plait.errors.ArgumentError, match="a length is not negative"):
        plait.hann_window(-1)

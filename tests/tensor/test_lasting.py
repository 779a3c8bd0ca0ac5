"""What programs keep of parameters from run to run follows the parameters."""

import ctypes

import numpy as np
import pytest

import plait
from plait import nn, optim
from plait.settings import settings

SIZE = 16


@pytest.fixture(autouse=True)
def compiled(monkeypatch):
    monkeypatch.setattr(settings, "execution", "compile")


def model_and_image():
    plait.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(SIZE, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Conv2d(64, SIZE, 3, padding=1),
    ).eval()  # fmt: skip
    x = np.random.default_rng(0).normal(size=(1, SIZE, 12, 12)).astype(np.float32)
    return model, plait.asarray(x)


def checked(run, model, x, monkeypatch):
    """Compare three runs with one that is interpreted."""
    with plait.no_grad():
        found = [run(x).numpy().copy() for _ in range(3)]
        with monkeypatch.context() as patch:
            patch.setattr(settings, "execution", "interpret")
            # Another graph, as one that was compiled once stays so.
            expected = (model(x) + 0 * x.sum()).numpy()
    for one in found:
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(one, found[0])


@pytest.mark.parametrize("way", [lambda model: model, plait.jit], ids=["plain", "jit"])
def test_parameters_change_between_inferences(way, monkeypatch):
    model, x = model_and_image()
    run = way(model)
    checked(run, model, x, monkeypatch)
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    for _ in range(3):
        model.train()
        loss = (model(x) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        del loss
        checked(run, model.eval(), x, monkeypatch)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    state["0.weight"] = state["0.weight"] * 2 + 0.1
    model.load_state_dict(state)
    checked(run, model, x, monkeypatch)


def test_programs_of_inference_alone_keep_something():
    model, x = model_and_image()
    assert "lasting" in plait.jit(model).lower(x).text()
    with plait.no_grad():
        model(x).numpy()
        with plait.profile() as first:
            (model(x) * 2).numpy()
            (model(x) * 2).numpy()
    names = [row.name for row in first.rows()]
    assert sum(name.endswith("_weights") for name in names) <= 2


def test_memory_that_was_lent_is_looked_at_each_time(monkeypatch):
    model, x = model_and_image()
    checked(model, model, x, monkeypatch)
    weight = model[0].weight
    lent = np.from_dlpack(_Old(weight))
    checked(model, model, x, monkeypatch)
    new = lent + 1
    ctypes.memmove(lent.ctypes.data, new.ctypes.data, lent.nbytes)  # NumPy would not
    checked(model, model, x, monkeypatch)


class _Old:
    """Asks a tensor for its own memory, as consumers of DLPack before 1.0 may."""

    def __init__(self, tensor):
        self._tensor = tensor

    def __dlpack__(self, **_):
        return self._tensor.detach().__dlpack__(copy=False)

    def __dlpack_device__(self):
        return self._tensor.__dlpack_device__()

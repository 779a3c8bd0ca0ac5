"""Loss scaling: small gradients survive, bad steps are left out, the scale adapts."""

import numpy as np
import pytest

import plait
from plait import nn, optim
from plait.data import Loader
from plait.errors import ArgumentError, StateDictError
from plait.tensor.trie import roots
from plait.train import Checkpoint, fit


def setup(scale=8.0, optimizer=optim.Adam, **options):
    parameter = nn.Parameter(np.array([1.0, -2.0], np.float32))
    return parameter, optimizer([parameter], lr=0.1), optim.GradScaler(scale, **options)


def step(parameter, optimizer, scaler, factor=1.0):
    optimizer.zero_grad()
    scaler.scale((parameter * parameter).sum() * factor).backward()
    scaler.step(optimizer)
    scaler.update()


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.RMSprop])
def test_updates_are_those_without_a_scale(kind):
    parameter, optimizer, scaler = setup(optimizer=kind)
    other, plain, _ = setup(optimizer=kind)
    off = optim.GradScaler(enabled=False)
    for _ in range(5):
        step(parameter, optimizer, scaler)
        step(other, plain, off)
    np.testing.assert_allclose(parameter.numpy(), other.numpy(), rtol=1e-6)


def test_a_step_that_overflows_changes_nothing_but_the_scale():
    parameter, optimizer, scaler = setup()
    step(parameter, optimizer, scaler)
    before = parameter.numpy().copy()
    state = {n: x.numpy().copy() for n, x in optimizer.state[parameter].items()}
    for factor, scale in ((np.inf, 4.0), (np.nan, 2.0)):
        step(parameter, optimizer, scaler, factor)
        np.testing.assert_array_equal(parameter.numpy(), before)
        for name, kept in optimizer.state[parameter].items():
            np.testing.assert_array_equal(kept.numpy(), state[name])
        assert scaler.get_scale() == scale
    step(parameter, optimizer, scaler)
    assert np.isfinite(parameter.numpy()).all()
    assert (parameter.numpy() != before).all()


def test_the_scale_grows_after_good_steps_in_a_row():
    parameter, optimizer, scaler = setup(growth_interval=3)
    seen = []
    for factor in (1, 1, 1, 1, 1, np.inf, 1, 1, 1):
        step(parameter, optimizer, scaler, float(factor))
        seen.append(scaler.get_scale())
    assert seen == [8, 8, 16, 16, 16, 8, 8, 8, 16]


def test_gradients_can_be_clipped_in_between():
    parameter, optimizer, scaler = setup(optimizer=optim.SGD)
    scaler.scale((parameter * parameter).sum()).backward()
    scaler.unscale_(optimizer)
    norm = optim.clip_grad_norm_([parameter], 1.0)
    assert norm.item() == pytest.approx(np.sqrt(20))
    with pytest.raises(ArgumentError, match="divided by the scale already"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    moved = np.array([1.0, -2.0]) - parameter.numpy()
    assert np.linalg.norm(moved) == pytest.approx(0.1, rel=1e-5)


def test_small_gradients_of_float16_survive():
    def trained(scaler):
        w = nn.Parameter(np.array([[1.0]], np.float32))
        optimizer = optim.SGD([w], lr=1.0)
        with plait.autocast(plait.float16):
            loss = (plait.ones(1, 1) @ w).float().sum() * 2e-8
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        return w.grad.item()

    assert trained(optim.GradScaler(enabled=False)) == 0.0
    assert trained(optim.GradScaler()) == pytest.approx(2e-8, rel=1e-3)


def test_steps_record_nothing_new():
    parameter, optimizer, scaler = setup(growth_interval=4)
    for i in range(20):
        if i == 5:
            before = roots.count
        step(parameter, optimizer, scaler)
    assert roots.count == before


def test_goes_on_where_the_state_was_taken():
    parameter, optimizer, scaler = setup(growth_interval=3)
    for _ in range(2):
        step(parameter, optimizer, scaler)
    _, _, other = setup(99.0, growth_interval=3)
    other.load_state_dict(scaler.state_dict())
    step(parameter, optimizer, other)
    assert other.get_scale() == 16
    with pytest.raises(StateDictError, match="does not fit this GradScaler"):
        other.load_state_dict({"scale": 3.0})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"init_scale": 0}, "init_scale is not above 0. Got: 0."),
        ({"growth_factor": 1}, "growth_factor is not above 1. Got: 1."),
        ({"backoff_factor": 1}, "backoff_factor is not between 0 and 1. Got: 1."),
        ({"growth_interval": 0}, "growth_interval is below 1. Got: 0."),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ArgumentError) as caught:
        optim.GradScaler(**arguments)
    assert caught.value.message == f"[GradScaler] {message}"


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_fit_trains_in_16_bits(precision, tmp_path):
    plait.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 4)).astype(np.float32)
    data = (x, x[:, :3].argmax(1))
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    seen = []

    class See:
        def on_forward(self, state):
            seen.append(state.output.dtype.name)

    history = fit(
        model,
        Loader(data, 16),
        loss_function=nn.CrossEntropyLoss(),
        optimizer=optim.Adam(model.parameters(), lr=0.03),
        epochs=8,
        evaluate_on=Loader(data, 32),
        hooks=[See(), Checkpoint(tmp_path / "c")],
        quiet=True,
        precision=precision,
    )
    assert set(seen) == {precision}
    assert history[-1]["test_loss"] < 0.4 < history[0]["test_loss"]
    assert {p.dtype.name for p in model.parameters()} == {"float32"}
    with pytest.raises(ArgumentError, match="precision must be 'float32'"):
        fit(
            model,
            Loader(data, 16),
            loss_function=nn.CrossEntropyLoss(),
            optimizer=optim.SGD(model.parameters()),
            precision="half",
        )

"""What all optimizers have in common: groups, state, steps, errors."""

import numpy as np
import pytest

import plait
from plait import errors, nn, optim


def parameter(*shape, value=1.0):
    return nn.Parameter(np.full(shape, value))


def with_gradient(tensor, value=1.0):
    tensor.grad = plait.full_like(tensor, value)
    return tensor


def test_groups_have_hyperparameters_of_their_own():
    a, b = with_gradient(parameter(2)), with_gradient(parameter(3))
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    optimizer.step()
    assert a.tolist() == [0.9, 0.9]
    assert b.tolist() == [0.5, 0.5, 0.5]
    optimizer.add_param_group({"params": [with_gradient(parameter(1))], "lr": 1})
    optimizer.step()
    assert optimizer.param_groups[2]["params"][0].tolist() == [0.0]


def test_parameters_without_gradient_are_passed_over():
    a, b = with_gradient(parameter(2)), parameter(2)
    optimizer = optim.Adam([a, b])
    optimizer.step()
    assert b.tolist() == [1.0, 1.0]
    assert list(map(id, optimizer.state)) == [id(a)]
    assert optimizer.steps[a] == 1
    optim.SGD([parameter(2)]).step()


def test_zero_grad():
    a = with_gradient(parameter(2))
    optimizer = optim.SGD([a])
    optimizer.zero_grad(set_to_none=False)
    assert a.grad.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert a.grad is None
    optimizer.zero_grad(set_to_none=False)
    assert a.grad is None


def test_a_closure_computes_the_gradients():
    a = parameter(2)
    optimizer = optim.SGD([a], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (a * a).sum()
        loss.backward()
        return loss

    with plait.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == 2.0
    assert a.tolist() == [0.5, 0.5]
    assert optim.SGD([a]).step() is None


def test_a_step_runs_what_is_recorded():
    a = with_gradient(parameter(2))
    pending = a * 2
    optim.SGD([a], lr=0.5).step()
    assert pending.tolist() == [2.0, 2.0], "of the value before the step"
    assert a.tolist() == [0.5, 0.5]


def test_training_a_recorded_function():
    layer = nn.Linear(3, 1).double()
    rng = np.random.default_rng(0)
    x, y = plait.tensor(rng.normal(size=(8, 3))), plait.tensor(rng.normal(size=(8, 1)))

    @plait.jit
    def loss(weight, bias):
        return plait.mse_loss(plait.linear(x, weight, bias), y)

    optimizer = optim.Adam(layer.parameters(), lr=0.1)
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        value = loss(layer.weight, layer.bias)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    solution = np.linalg.lstsq(np.c_[x.numpy(), np.ones(8)], y.numpy(), rcond=None)
    assert losses[-1] == pytest.approx(solution[1].item() / 8, rel=1e-4)


def test_a_gradient_of_another_dtype_is_cast():
    a = parameter(2)
    a.grad = plait.ones(2, dtype=plait.float32)
    optim.SGD([a], lr=0.5).step()
    assert a.dtype is plait.float64
    assert a.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("make", "start", "steps"),
    [
        # A mean square of 16 bits would not go down again.
        (lambda p: optim.Adam(p, lr=0.02), 30.0, 1000),
        # Nor would a momentum that has come to 256 gradients go on to 500 of them.
        (lambda p: optim.SGD(p, lr=1e-4, momentum=0.998), 1.0, 1000),
    ],
)
def test_16_bit_parameters_go_the_way_of_32_bit_ones(make, start, steps):
    last = {}
    for dtype in ("float32", "bfloat16"):
        x = nn.Parameter(plait.zeros(4, dtype=dtype))
        optimizer = make([x])
        for step in range(steps):
            # From 0, where bfloat16 has room for a step of any size.
            x.data = plait.zeros(4, dtype=dtype)
            x.grad = plait.full((4,), start if step < 20 else 1.0, dtype=dtype)
            optimizer.step()
        last[dtype] = x.to("float64").numpy()
    np.testing.assert_allclose(last["bfloat16"], last["float32"], rtol=1 / 256)


def test_a_state_of_16_bits_is_widened():
    a = nn.Parameter(plait.ones(2, dtype="bfloat16"))
    optimizer = optim.Adam([with_gradient(a)])
    optimizer.step()
    state = optimizer.state_dict()
    narrow = {
        n: x if n == "step" else x.to("bfloat16") for n, x in state["state"][0].items()
    }
    optimizer.load_state_dict({**state, "state": {0: narrow}})
    kept = optimizer.state[a]
    assert {x.dtype for x in kept.values()} == {plait.float32}
    assert kept["exp_avg"].tolist() == narrow["exp_avg"].to("float32").tolist()
    optimizer.step()


def test_nothing_changes_when_a_step_fails():
    a, b = with_gradient(parameter(2)), parameter(3)
    b.grad = plait.ones(2)
    optimizer = optim.SGD([a, b], lr=0.5)
    with pytest.raises(
        errors.ShapeError, match=r"\(2,\) for a parameter of shape \(3,\)"
    ):
        optimizer.step()
    assert a.tolist() == [1.0, 1.0]
    assert optimizer.steps[a] == 0


def test_a_term_switched_on_later():
    a = with_gradient(parameter(2))
    optimizer = optim.SGD([a], lr=0.5)
    optimizer.step()
    optimizer.param_groups[0]["momentum"] = 0.9
    with pytest.raises(errors.ArgumentError, match="momentum_buffer"):
        optimizer.step()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: optim.SGD([]), errors.ArgumentError, "no params"),
        (lambda p: optim.SGD(p), errors.ArgumentTypeError, "an iterable of tensors"),
        (lambda p: optim.SGD("ab"), errors.ArgumentTypeError, "an iterable of tensors"),
        (lambda p: optim.SGD([1.0]), errors.ArgumentTypeError, "params must be"),
        (lambda p: optim.SGD([p, p]), errors.ArgumentError, "given twice"),
        (lambda p: optim.SGD([p * 2]), errors.ArgumentError, "a computed tensor"),
        (lambda p: optim.SGD([{}]), errors.ArgumentTypeError, "needs `params`"),
        (
            lambda p: optim.SGD([{"params": [p]}, {"params": [p]}]),
            errors.ArgumentError,
            "given twice",
        ),
        (
            lambda p: optim.SGD([{"params": [p], "lrr": 1.0}]),
            errors.ArgumentError,
            "'lrr'. Expected: lr, momentum",
        ),
        (lambda p: optim.SGD([p], lr=-1.0), errors.ArgumentError, "lr is negative"),
        (lambda p: optim.SGD([p], momentum=-1.0), errors.ArgumentError, "momentum"),
        (lambda p: optim.SGD([p], weight_decay=-1.0), errors.ArgumentError, "decay"),
        (lambda p: optim.SGD([p], nesterov=True), errors.ArgumentError, "nesterov"),
        (lambda p: optim.Adam([p], lr=float("nan")), errors.ArgumentError, "lr"),
        (lambda p: optim.Adam([p], betas=(0.9, 1.0)), errors.ArgumentError, "betas"),
        (lambda p: optim.AdamW([p], eps=-1.0), errors.ArgumentError, "eps"),
        (lambda p: optim.AdamW([p], weight_decay=-1.0), errors.ArgumentError, "decay"),
    ],
)
def test_wrong_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make(parameter(2))


def test_the_state_has_the_layout_of_pytorch():
    a, b = with_gradient(parameter(2)), parameter(1)
    optimizer = optim.Adam([{"params": [b]}, {"params": [a], "lr": 0.5}])
    optimizer.step()
    state = optimizer.state_dict()
    assert sorted(state) == ["param_groups", "state"]
    assert [group["params"] for group in state["param_groups"]] == [[0], [1]]
    assert state["param_groups"][1]["lr"] == 0.5
    assert list(state["state"]) == [1]
    assert list(state["state"][1]) == ["step", "exp_avg", "exp_avg_sq"]
    assert state["state"][1]["step"] == 1
    first = state["state"][1]["exp_avg"].tolist()
    with_gradient(a, 5.0)
    optimizer.step()
    assert state["state"][1]["exp_avg"].tolist() == first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: {}, "no state dict of an optimizer"),
        (lambda state: 5, "no state dict of an optimizer"),
        (lambda state: {**state, "param_groups": []}, r"groups of \[\]"),
        (lambda state: {**state, "state": {0: {"step": 1}}}, "parameter 0.*exp_avg"),
        (
            lambda state: {**state, "state": {0: {**state["state"][0], "step": "x"}}},
            "parameter 0",
        ),
        (
            lambda state: {
                **state,
                "state": {0: {**state["state"][0], "exp_avg": plait.zeros(3)}},
            },
            r"exp_avg of shape \(3,\) instead of \(2,\)",
        ),
        (
            lambda state: {**state, "param_groups": [{"params": [0], "lr": 1.0}]},
            "groups without betas",
        ),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, message):
    a = with_gradient(parameter(2))
    optimizer = optim.Adam([a], lr=0.5)
    optimizer.step()
    before = optimizer.state[a]["exp_avg"].tolist()
    with pytest.raises(errors.StateDictError, match=message):
        optimizer.load_state_dict(change(optimizer.state_dict()))
    assert optimizer.state[a]["exp_avg"].tolist() == before
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_text_shows_the_groups():
    text = repr(optim.SGD([parameter(2)], lr=0.5))
    assert text.startswith("SGD (\nParameter Group 0\n    lr: 0.5\n")

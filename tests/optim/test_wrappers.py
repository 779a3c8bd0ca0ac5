"""Optimizers around other optimizers: several as one, slow weights, two gradients."""

import copy
import pickle

import numpy as np
import pytest

import plait
from plait import nn, optim
from plait.errors import ArgumentError, ArgumentTypeError, ShapeError, StateDictError


def matrix_and_vector():
    rng = np.random.default_rng(0)
    return nn.Parameter(rng.normal(size=(4, 3))), nn.Parameter(rng.normal(size=3))


def feed(parameters, seed):
    rng = np.random.default_rng(seed)
    for parameter in parameters:
        parameter.grad = plait.tensor(rng.normal(size=parameter.shape))


def both(a, b):
    return optim.MultiOptimizer(
        [optim.Muon([a], lr=0.02), optim.Adam([b], lr=0.1, betas=(0.8, 0.9))]
    )


def values(parameters):
    return [p.numpy().copy() for p in parameters]


# Several optimizers as one


def test_several_do_what_each_would_do():
    own, others = matrix_and_vector(), matrix_and_vector()
    one = both(*own)
    muon = optim.Muon([others[0]], lr=0.02)
    adam = optim.Adam([others[1]], lr=0.1, betas=(0.8, 0.9))
    for seed in range(4):
        feed(own, seed)
        feed(others, seed)
        if seed == 2:
            own[1].grad = others[1].grad = None
        one.step()
        muon.step()
        adam.step()
    for a, b in zip(values(own), values(others), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [one.steps[p] for p in own] == [4, 3]
    assert sorted(one.state[own[1]]) == ["exp_avg", "exp_avg_sq"]
    one.zero_grad()
    assert own[0].grad is None


def test_several_go_on_where_the_state_was_taken():
    own = matrix_and_vector()
    one = both(*own)
    feed(own, 0)
    one.step()
    state = pickle.loads(pickle.dumps(one.state_dict()))
    assert [group["params"] for group in state["param_groups"]] == [[0], [1]]
    others = matrix_and_vector()
    for parameter, x in zip(others, values(own), strict=True):
        parameter.data = plait.tensor(x)
    other = both(*others)
    other.param_groups[1]["lr"] = 7.0
    other.load_state_dict(state)
    assert other.optimizers[1].param_groups[0]["lr"] == 0.1
    twin = copy.deepcopy(one)
    copies = [p for group in twin.param_groups for p in group["params"]]
    for optimizer, parameters in ((one, own), (other, others), (twin, copies)):
        feed(parameters, 1)
        optimizer.step()
    for a, b, c in zip(values(own), values(others), values(copies), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    broken = [state["param_groups"][0], {"params": [1], "lr": 1.0}]
    with pytest.raises(StateDictError, match="groups without betas"):
        other.load_state_dict({**state, "param_groups": broken})


def test_a_schedule_and_a_scaler_of_several():
    own = matrix_and_vector()
    one = both(*own)
    schedule = optim.OneCycleLR(one, max_lr=[0.5, 0.2], total_steps=10)
    rates = [group["lr"] for group in one.param_groups]
    assert rates == pytest.approx([0.02, 0.008])
    assert one.param_groups[0]["momentum"] == one.param_groups[1]["betas"][0] == 0.95
    schedule.step()
    scaler = optim.GradScaler()
    before = values(own)
    for optimizer_sees in (np.inf, 1.0):
        loss = sum((p * p).sum() for p in own) * optimizer_sees
        one.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(one)
        scaler.update()
        moved = [(a != b).any() for a, b in zip(before, values(own), strict=True)]
        assert moved == [optimizer_sees == 1.0] * 2


def test_what_several_refuse():
    a, b = matrix_and_vector()
    for given, error, message in (
        ([], ArgumentError, "there are no optimizers"),
        ([3], ArgumentTypeError, r"must be .* of class Optimizer. Got: \[3\]"),
        ([optim.LBFGS([a])], ArgumentError, "no rule for one gradient. Got: 'LBFGS'"),
        ([optim.SGD([a]), optim.Adam([a, b])], ArgumentError, "has two optimizers"),
    ):
        with pytest.raises(error, match=message):
            optim.MultiOptimizer(given)
    with pytest.raises(ArgumentError, match="add_param_group of that one"):
        both(a, b).add_param_group({"params": [b]})


def test_muon_takes_matrices_alone():
    a, b = matrix_and_vector()
    with pytest.raises(ShapeError) as caught:
        optim.Muon([a, b])
    assert caught.value.message == (
        "[Muon] only matrices can be optimized. Got: a tensor of shape (3,). Expected: "
        "two axes or more. Fix: give it to AdamW, and both optimizers to a "
        "MultiOptimizer."
    )


# Slow weights


def test_slow_weights_follow():
    (x,) = [nn.Parameter(np.array([1.0, -2.0]))]
    optimizer = optim.Lookahead(optim.SGD([x], lr=0.1), k=3, alpha=0.25)
    fast = slow = np.array([1.0, -2.0])
    for step in range(1, 8):
        x.grad = plait.tensor(np.cos(fast * step))
        optimizer.step()
        fast = fast - 0.1 * np.cos(fast * step)
        if step % 3 == 0:
            fast = slow = slow + 0.25 * (fast - slow)
        np.testing.assert_allclose(x.numpy(), fast, rtol=1e-12)
    np.testing.assert_allclose(optimizer.state[x]["slow"].numpy(), slow, rtol=1e-12)


def test_slow_weights_go_on_where_the_state_was_taken():
    own, others = matrix_and_vector(), matrix_and_vector()
    one, other = (optim.Lookahead(optim.AdamW(p, lr=0.1), k=2) for p in (own, others))
    for seed in range(3):
        feed(own, seed)
        one.step()
    for parameter, x in zip(others, values(own), strict=True):
        parameter.data = plait.tensor(x)
    other.load_state_dict(one.state_dict())
    for optimizer, parameters in ((one, own), (other, others)):
        feed(parameters, 3)
        optimizer.step()
    for a, b in zip(values(own), values(others), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_lookahead_refuses():
    a, b = matrix_and_vector()
    for make, error, message in (
        (lambda: optim.Lookahead(3), ArgumentTypeError, "must be an Optimizer. Got: 3"),
        (lambda: optim.Lookahead(both(a, b)), ArgumentError, "each optimizer by itse"),
        (lambda: optim.Lookahead(optim.SGD([a]), k=0), ArgumentError, "k is below 1"),
        (lambda: optim.Lookahead(optim.SGD([a]), alpha=2), ArgumentError, "alpha is n"),
    ):
        with pytest.raises(error, match=message):
            make()


# Two gradients


@pytest.mark.parametrize("adaptive", [False, True])
def test_gradients_from_where_the_loss_is_greater(adaptive):
    start = [np.array([[1.0, 2.0], [0.5, -1.0]]), np.array([0.25, -0.75])]
    parameters = [nn.Parameter(x) for x in start]
    optimizer = optim.SAM(optim.SGD(parameters, lr=0.1), rho=0.3, adaptive=adaptive)

    def closure():
        optimizer.zero_grad()
        loss = sum((p**4).sum() for p in parameters)
        loss.backward()
        return loss

    loss = optimizer.step(closure)
    assert loss.item() == pytest.approx(sum((x**4).sum() for x in start))
    sizes = [np.abs(x) if adaptive else np.ones_like(x) for x in start]
    gradients = [4 * x**3 for x in start]
    pairs = list(zip(start, sizes, gradients, strict=True))
    total = np.sqrt(sum(((s * g) ** 2).sum() for _, s, g in pairs))
    for parameter, (x, s, g) in zip(parameters, pairs, strict=True):
        there = x + 0.3 * s * s * g / total
        np.testing.assert_allclose(parameter.numpy(), x - 0.1 * 4 * there**3, 1e-9)


def test_sam_leaves_parameters_as_they_were_if_the_loss_fails():
    x = nn.Parameter([1.0, -2.0])
    optimizer = optim.SAM(optim.SGD([x], lr=0.1), rho=0.5)
    calls = []

    def closure():
        calls.append(x.tolist())
        if len(calls) == 2:
            raise RuntimeError("no loss")
        x.grad = None
        loss = (x**2).sum()
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match="no loss"):
        optimizer.step(closure)
    assert calls[0] != calls[1]
    assert x.tolist() == [1.0, -2.0]


def test_sam_around_several_and_its_errors():
    a, b = matrix_and_vector()
    optimizer = optim.SAM(both(a, b))

    def closure():
        optimizer.zero_grad()
        loss = (a * a).sum() + (b * b).sum()
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]
    state = optimizer.state_dict()
    optimizer.load_state_dict(state)
    assert optimizer.steps[a] == 40
    with pytest.raises(ArgumentError, match="a function that computes the loss"):
        optimizer.step()
    with pytest.raises(ArgumentTypeError, match="optimizer must be an Optimizer"):
        optim.SAM(3)
    with pytest.raises(ArgumentError, match="rho is negative"):
        optim.SAM(optim.SGD([a]), rho=-1)


# Without a schedule


@pytest.mark.parametrize("kind", [optim.ScheduleFreeSGD, optim.ScheduleFreeAdamW])
def test_the_average_and_back(kind):
    x = nn.Parameter(np.array([3.0, -1.0]))
    optimizer = kind([x], lr=0.1)
    optimizer.eval()
    optimizer.train()  # nothing to switch yet
    points = []
    for seed in range(5):
        feed([x], seed)
        optimizer.step()
        points.append(optimizer.state[x]["z"].numpy())
    before = x.numpy().copy()
    optimizer.eval()
    optimizer.eval()
    # With a constant rate, all z have the same weight.
    np.testing.assert_allclose(x.numpy(), np.mean(points, axis=0), rtol=1e-9)
    state = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ArgumentError, match=r"call optimizer.train\(\) after"):
        optimizer.step()
    optimizer.train()
    np.testing.assert_allclose(x.numpy(), before, rtol=1e-12)
    optimizer.load_state_dict(state)
    with pytest.raises(ArgumentError, match="hold the average"):
        optimizer.step()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: optim.Adadelta(p, rho=2.0), r"rho is not in 0..1. Got: 2.0"),
        (lambda p: optim.Rprop(p, etas=(1.5, 0.5)), "etas are not below and above 1"),
        (lambda p: optim.Rprop(p, step_sizes=(2, 1)), "step_sizes are not a least"),
        (lambda p: optim.NAdam(p, momentum_decay=-1), "momentum_decay is negative"),
        (lambda p: optim.Adafactor(p, d=0.5), "d is below 1"),
        (lambda p: optim.Adafactor(p, eps=(-1, 1)), "eps has a negative part"),
        (lambda p: optim.Adafactor(p, beta2_decay=1), "beta2_decay is above 0"),
        (lambda p: optim.Muon(p, ns_steps=100), "ns_steps is not in 0..99"),
        (lambda p: optim.Muon(p, ns_coefficients=(1,)), "must be a tuple of 3 numbers"),
        (lambda p: optim.Muon(p, adjust_lr_fn="x"), "adjust_lr_fn is not 'original'"),
        (lambda p: optim.Ftrl(p, lr=0.0), "lr is not above 0"),
        (lambda p: optim.Ftrl(p, lr_power=1.0), "lr_power is above 0"),
        (lambda p: optim.Ftrl(p, l1=-1.0), "l1 is negative"),
        (lambda p: optim.FTML(p, eps=0.0), "eps is not above 0"),
        (lambda p: optim.LARS(p, trust_coefficient=0), "coefficient is not above 0"),
        (lambda p: optim.Lion(p, betas=(1.0, 0.5)), "betas are not in"),
        (lambda p: optim.Signum(p, momentum=1.0), r"momentum is not in \[0, 1\)"),
        (lambda p: optim.ScheduleFreeSGD(p, momentum=0), "is not between 0 and 1"),
        (lambda p: optim.ScheduleFreeAdamW(p, betas=(0, 0)), "beta1 is not between"),
        (lambda p: optim.AdEMAMix(p, alpha=-1), "alpha is negative"),
        (lambda p: optim.AdEMAMix(p, betas=(0, 0, 0), t_beta3=3), "are not above 0"),
        (lambda p: optim.SM3(p, momentum=2.0), "momentum is not in"),
        (lambda p: optim.Yogi(p, initial_accumulator_value=-1), "value is negative"),
        (lambda p: optim.MADGRAD(p, eps=-1), "eps is negative"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ArgumentError, match=message):
        make([nn.Parameter(plait.ones(2, 2))])


# Several batches as one


def test_gradients_of_several_batches():
    own, others = matrix_and_vector(), matrix_and_vector()
    one = optim.Accumulate(optim.Adam(own, lr=0.1), 3)
    plain = optim.Adam(others, lr=0.1)
    start = values(own)
    for seed in range(8):
        feed(own, seed)
        before = [p.grad for p in own]
        one.step()
        assert [p.grad for p in own] == before
        if seed < 2:
            np.testing.assert_array_equal(values(own)[0], start[0])
        if seed == 3:  # in the midst of it
            state = pickle.loads(pickle.dumps(one.state_dict()))
            middle = values(own)
    for seeds in ((0, 1, 2), (3, 4, 5)):
        total = [0, 0]
        for seed in seeds:
            feed(others, seed)
            pairs = zip(total, others, strict=True)
            total = [sum_of + p.grad.numpy() / 3 for sum_of, p in pairs]
        for p, gradient in zip(others, total, strict=True):
            p.grad = plait.tensor(gradient)
        plain.step()
    for a, b in zip(values(own), values(others), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert one.count == 2
    assert one.steps[own[0]] == 2
    again = matrix_and_vector()
    for p, x in zip(again, middle, strict=True):
        p.data = plait.tensor(x)
    other = optim.Accumulate(optim.Adam(again, lr=0.3), 3)
    other.load_state_dict(state)
    for seed in range(4, 8):
        feed(again, seed)
        other.step()
    for a, b in zip(values(own), values(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_batches_that_overflow_count_as_nothing():
    (x,) = [nn.Parameter(plait.ones(2))]
    optimizer = optim.Accumulate(optim.SGD([x], lr=1.0), 2)
    scaler = optim.GradScaler()
    for factor in (1.0, np.inf):
        optimizer.zero_grad()
        scaler.scale((x * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    assert x.tolist() == [0.5, 0.5]


def test_sums_of_16_bit_gradients_are_not_rounded():
    x = nn.Parameter(plait.zeros(2, dtype="bfloat16"))
    optimizer = optim.Accumulate(optim.SGD([x], lr=1.0), 1000)
    x.grad = plait.ones(2, dtype="bfloat16")
    for _ in range(1000):
        optimizer.step()
    assert x.tolist() == [-1.0, -1.0]


def test_what_accumulate_refuses():
    a, b = matrix_and_vector()
    with pytest.raises(ArgumentTypeError, match="optimizer must be an Optimizer"):
        optim.Accumulate(3, 2)
    with pytest.raises(ArgumentError, match="steps is below 1"):
        optim.Accumulate(optim.SGD([a]), 0)
    one = optim.Accumulate(both(a, b), 2)
    assert one.step(lambda: 7) == 7
    state = one.state_dict()
    wrong = {**state, "accumulated": {"count": 1, "sums": {0: plait.ones(3)}}}
    for given in ({}, wrong):
        with pytest.raises(StateDictError, match="does not fit this Accumulate"):
            one.load_state_dict(given)

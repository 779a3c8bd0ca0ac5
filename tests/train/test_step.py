"""A step by itself: the loop by hand, the pure function, and going on from a file."""

import numpy as np
import pytest

import plait
from plait import nn, optim
from plait.errors import (
    ArgumentError,
    ArgumentTypeError,
    FileFormatError,
    StateDictError,
)
from plait.nn import load_weights, save_weights
from plait.train import TrainStep

RULES = {
    "sgd": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.2),
    "adam": lambda p: optim.Adam(p, lr=0.01, weight_decay=0.1),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01, centered=True),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1),
    # Each of the next ones does something with the number of the step.
    "nadam": lambda p: optim.NAdam(p, lr=0.01),
    "radam": lambda p: optim.RAdam(p, lr=0.01, betas=(0.9, 0.8)),
    "adopt": lambda p: optim.ADOPT(p, lr=0.01, weight_decay=0.1),
    "adafactor": lambda p: optim.Adafactor(p, lr=0.01),
    "schedule-free": lambda p: optim.ScheduleFreeAdamW(p, lr=0.01, warmup_steps=3),
    "lookahead": lambda p: optim.Lookahead(optim.SGD(p, lr=0.1, momentum=0.9), k=2),
    "several": lambda p: several(list(p)),
}
STEPS = 20


def several(parameters):
    matrices = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim < 2]
    return optim.MultiOptimizer(
        [optim.Muon(matrices, lr=0.02), optim.Rprop(others, lr=0.01)]
    )


def batches():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS, 6, 5)).astype(np.float32)
    return [(plait.asarray(a), plait.asarray((a.sum(1) > 0) * 1)) for a in x]


def new_model(seed=0):
    plait.manual_seed(seed)
    return nn.Sequential(
        *(nn.Linear(5, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3)),
        nn.Linear(8, 2),
    )


def new_step(rule="adam", seed=0, **named):
    model = new_model(seed)
    return TrainStep(model, nn.CrossEntropyLoss(), RULES[rule](model.parameters()),
                     **named)  # fmt: skip


def values(state):
    return {name: x.numpy().tolist() for name, x in state.items()}


def test_a_step_is_what_a_loop_by_hand_does():
    step = new_step(clip_norm=0.5)
    step.model.eval()
    losses = [step(*batch).item() for batch in batches()]
    assert not step.model.training
    after = values(step.state())
    model = new_model()
    optimizer = RULES["adam"](model.parameters())
    loss_function = nn.CrossEntropyLoss()
    for batch, expected in zip(batches(), losses, strict=True):
        x, y = batch
        loss = loss_function(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optim.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        assert loss.item() == expected
    for name, x in model.state_dict().items():
        assert x.tolist() == after[name]
    assert after["optimizer.step"] == STEPS
    assert after["random.key"] == [0, 0, 3 + STEPS, 0]  # three for weights


def test_layers_in_evaluation_mode_stay_so():
    step = new_step()
    step.model[1].eval()
    before = step.model[1].running_mean.tolist()
    step(*batches()[0])
    assert step.model[1].running_mean.tolist() == before
    assert not step.model[1].training


@pytest.mark.parametrize("rule", RULES)
def test_the_pure_function_is_the_same_step(rule):
    step = new_step(rule, clip_norm=0.5)
    numbers = {
        name: plait.tensor(x, dtype=plait.float64)
        for name, x in step.hyperparameters().items()
    }
    pure = plait.jit(lambda state, batch, numbers: step.pure(state, batch, numbers))
    state = step.state()
    for batch in batches()[:5]:
        found = pure(state, list(batch), numbers)
        state = found.state
        assert found.output.shape == (6, 2)
        assert found.loss.item() == pytest.approx(step(*batch).item(), rel=1e-6)
    for name, x in step.state().items():
        wanted = x.numpy().astype(np.float64)
        np.testing.assert_allclose(state[name].numpy(), wanted, 1e-4, 1e-6)


def test_hyperparameters_of_groups():
    model = new_model()
    groups = [
        {"params": model[0].parameters()},
        {"params": model[4].parameters(), "lr": 0.5, "momentum": 0},
    ]
    step = TrainStep(
        model, nn.CrossEntropyLoss(), optim.SGD(groups, lr=0.1, momentum=0.9)
    )
    assert step.hyperparameters() == {"lr": 0.1, "momentum": 0.9, "lr_1": 0.5}
    assert [name for name in step.state() if name.startswith("optimizer.")] == [
        "optimizer.0.weight.momentum_buffer",
        "optimizer.step",
    ]


def test_what_is_frozen_stays():
    step = new_step()
    step.model[0].requires_grad_(False)
    before = step.model[0].weight.tolist()
    numbers = {n: plait.tensor(x) for n, x in step.hyperparameters().items()}
    found = step.pure(step.state(), batches()[0], numbers)
    assert found.state["0.weight"].tolist() == before
    assert found.state["4.weight"].tolist() != step.model[4].weight.tolist()
    step(*batches()[0])
    assert step.model[0].weight.tolist() == before
    assert "optimizer.0.weight.exp_avg" not in step.state()


@pytest.mark.parametrize("rule", RULES)
def test_saving_and_loading_leaves_no_seam(rule, tmp_path):
    data = batches()
    whole = new_step(rule)
    expected = [whole(*batch).item() for batch in data]
    first = new_step(rule)
    losses = [first(*batch).item() for batch in data[:10]]
    first.save(tmp_path / "step.safetensors")
    rest = new_step(rule, seed=5)
    rest.load(tmp_path / "step.safetensors")
    losses += [rest(*batch).item() for batch in data[10:]]
    assert losses == expected
    assert values(rest.state()) == values(whole.state())


def test_a_weight_with_two_names_may_be_saved_once(tmp_path):
    def tied():
        model = new_model()
        model.extra = nn.Linear(5, 8, bias=False)
        model.extra.weight = model[0].weight
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        return TrainStep(model, nn.CrossEntropyLoss(), optimizer)

    step = tied()
    state = step.state()
    assert {"0.weight", "extra.weight"} <= set(state)
    del state["extra.weight"]
    state["0.weight"] = state["0.weight"] + 1
    step.load_state(state)
    assert step.model.extra.weight.tolist() == state["0.weight"].tolist()


def test_errors(tmp_path):
    model = new_model()
    loss, parameters = nn.CrossEntropyLoss(), list(model.parameters())
    with pytest.raises(
        ArgumentTypeError, match=r"a model is a Module. Got: a function"
    ):
        TrainStep(lambda x: x, loss, optim.SGD(parameters))
    with pytest.raises(ArgumentError, match="computes the loss several times"):
        TrainStep(model, loss, optim.LBFGS(parameters))
    for around in (optim.SAM, lambda one: optim.Accumulate(one, 2)):
        with pytest.raises(ArgumentError, match="no rule that takes one gradient"):
            TrainStep(model, loss, around(optim.SGD(model.parameters())))
    with pytest.raises(ArgumentError, match=r"of the model. Got: a tensor"):
        TrainStep(model, loss, optim.SGD([*parameters, plait.zeros(3)]))
    with pytest.raises(ArgumentError, match="the limit of the norm is not positive"):
        TrainStep(model, loss, optim.SGD(parameters), clip_norm=0.0)
    step = TrainStep(model, loss, optim.SGD(parameters, lr=0.1))
    state = step.state()
    path = tmp_path / "state.safetensors"
    before = values(step.state())
    for change, message in (
        ({"0.weight": None}, "missing: 0.weight"),
        ({"7.weight": plait.zeros(2)}, "unexpected: 7.weight"),
        ({"0.weight": plait.zeros(2)}, r"0.weight \(2,\) instead of \(8, 5\)"),
    ):
        other = {n: x for n, x in {**state, **change}.items() if x is not None}
        save_weights(other, path)
        with pytest.raises(StateDictError, match=message):
            step.load(path)
    assert values(step.state()) == before
    path.write_bytes(b"nothing")
    with pytest.raises(FileFormatError):
        step.load(path)
    step.save(path)
    assert set(load_weights(path)) == set(state)


def test_parameters_that_were_not_updated_equally_often_are_refused():
    step = new_step()
    step.model[0].requires_grad_(False)
    step(*batches()[0])
    step.model[0].requires_grad_(True)
    step(*batches()[1])
    with pytest.raises(ArgumentError, match=r"not updated equally often. Got: 1, 2"):
        step.state()

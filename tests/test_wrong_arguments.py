"""Every class of the catalogue, made and called with what does not fit.

Whatever is given, it works, or an error of plait's says which argument of which class
is wrong: never Python's own error out of the depth of a layer, and never after a while.
"""

from __future__ import annotations

import copy
import inspect
import math
import re
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import plait
from plait import distributions, metrics, models, nn, optim
from plait.errors import ArgumentError, ArgumentTypeError, PlaitError
from plait.settings import settings
from plait.trees import tree_map

# Seconds of the processor, which nothing may take twice: others may be at work.
LIMIT = 1.0


class Thing:
    """Something that no argument can be."""

    def __repr__(self) -> str:
        return "Thing()"


def odd_values() -> list[Any]:
    """Return what an argument is replaced by."""
    return [
        *(None, "a", [], [1, "a"], (1, 2, 3, 4, 5, 6, 7), Thing()),
        *(True, -1, 0, 10**30, 1.5, math.nan, math.inf),
        *(np.ones((2, 3)), plait.ones((2, 3))),
    ]


def odd_inputs(x: Any) -> list[Any]:
    """Return what an input of a layer is replaced by."""
    others = [None, "a", 3, [1.0, 2.0], Thing()]
    if not isinstance(x, plait.Tensor):
        return [*others, (), (None,)]
    kinds = [plait.int32 if x.dtype.is_float else plait.float32, plait.bool]
    found = [*others, x.numpy(), x[None], plait.zeros(()), *(x.to(k) for k in kinds)]
    if x.ndim:
        found += [x[:1].reshape(x.shape[1:]), x[:0], x[..., :0]]
    return found + [plait.concat([x, x], axis=axis) for axis in range(x.ndim)]


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    monkeypatch.setattr(settings, "execution", "interpret")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of NumPy: nan was given
        yield


def fault(
    run: Callable[[], Any], named: Callable[[str], bool], again: bool = True
) -> str:
    """Return what is wrong with how `run` ends, or ""."""
    before = time.process_time()
    try:
        run()
    except PlaitError as error:
        if not named(str(error)):
            return f"does not say what is wrong: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    seconds = time.process_time() - before
    if seconds > LIMIT and again:
        return fault(run, named, again=False)
    return "" if seconds < LIMIT else f"takes {seconds:.1f} s"


def naming(kind: Any, arguments: list[str]) -> Callable[[str], bool]:
    """Return a check of whether a message names a class and one of its arguments."""
    words = re.compile(rf"\b({'|'.join([*arguments, 'nonsense'])})\b")
    return lambda text: kind.__name__ in text and words.search(text) is not None


def anyhow(_: str) -> bool:
    return True


def shown(value: Any) -> str:
    if isinstance(value, (np.ndarray, plait.Tensor)):
        return f"{type(value).__name__} {value.dtype} {value.shape}"
    return repr(value)


def faults_of_making(
    kind: Any, given: dict[str, Any], use: Callable[[Any], Any]
) -> Iterator[str]:
    """Replace each argument by odd values."""
    parameters = inspect.signature(kind).parameters.values()
    arguments = [
        p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    named = naming(kind, arguments)
    use(kind(**copied(given)))  # for the first time, which takes longest
    for argument in [*arguments, "nonsense"]:
        for value in [1] if argument == "nonsense" else odd_values():
            made: list[Any] = []

            def make(argument=argument, value=value, made=made):
                made.append(kind(**{**copied(given), argument: value}))

            found = fault(make, named)
            if made and not found:
                found = fault(lambda made=made: use(made[0]), anyhow)
            if found:
                yield f"{kind.__name__}({argument}={shown(value)}): {found}"


def copied(given: dict[str, Any]) -> dict[str, Any]:
    """Return arguments whose layers belong to nobody yet."""
    return {
        name: copy.deepcopy(x) if isinstance(x, nn.Module) else x
        for name, x in given.items()
    }


def bound(kind: Any, args: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """Return arguments by their names."""
    signature = inspect.signature(kind)
    found = dict(signature.bind(*args, **named).arguments)
    for p in signature.parameters.values():
        if p.kind is p.VAR_KEYWORD:
            found |= found.pop(p.name, {})
    return {
        name: plait.tensor(x) if isinstance(x, np.ndarray) else x
        for name, x in found.items()
    }


# --- layers

LAYERS = [
    name
    for name in nn.__all__
    if isinstance(getattr(nn, name), type) and hasattr(getattr(nn, name), "samples")
    if issubclass(getattr(nn, name), nn.Module)
]
# What their arguments are is not for the layer to say.
ANY = {"Identity", "Lambda"}


def inputs_of(sample: nn.Sample) -> Any:
    return tree_map(
        lambda x: plait.tensor(x, dtype=plait.float32 if x.dtype.kind == "f" else None),
        sample.inputs,
    )


def takes_any_number(kind: Any) -> bool:
    parameters = inspect.signature(kind).parameters.values()
    return any(p.kind is p.VAR_POSITIONAL for p in parameters)


@pytest.mark.parametrize(
    "name", [name for name in LAYERS if not takes_any_number(getattr(nn, name))]
)
def test_making_a_layer(name):
    kind = getattr(nn, name)
    sample = kind.samples()[0]
    inputs = inputs_of(sample)
    given = bound(kind, sample.args, sample.named)
    assert [*faults_of_making(kind, given, lambda layer: layer(*inputs))] == []


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in ANY])
def test_calling_a_layer(name):
    kind = getattr(nn, name)
    sample = kind.samples()[0]
    inputs = inputs_of(sample)
    named = {
        key: plait.tensor(x) if isinstance(x, np.ndarray) else x
        for key, x in sample.named.items()
    }
    layer = kind(*sample.args, **named)

    def call(*values, **more):
        # The first call of a lazy layer changes it.
        one = copy.deepcopy(layer) if name.startswith("Lazy") else layer
        return one(*values, **more)

    calls = [((), {}), ((*inputs, *range(9)), {}), (inputs, {"nonsense": 1})]
    for i, x in enumerate(inputs):
        calls += [
            ((*inputs[:i], value, *inputs[i + 1 :]), {}) for value in odd_inputs(x)
        ]
    faults = [
        f"({', '.join(map(shown, args))}): {found}"
        for args, more in calls
        if (found := fault(lambda args=args, more=more: call(*args, **more), anyhow))
    ]
    assert faults == []


# --- optimizers and schedules

OPTIMIZERS = [
    name
    for name in optim.__all__
    if isinstance(getattr(optim, name), type)
    if issubclass(getattr(optim, name), optim.Optimizer) and name != "Optimizer"
]
AROUND = {"Accumulate": {"steps": 2}, "Lookahead": {}, "SAM": {}}
SCHEDULES: dict[str, dict[str, Any]] = {
    "ConstantLR": {},
    "CosineAnnealingLR": {"T_max": 9},
    "CosineAnnealingWarmRestarts": {"T_0": 9},
    "CyclicLR": {"base_lr": 0.1, "max_lr": 0.2, "cycle_momentum": False},
    "ExponentialLR": {"gamma": 0.5},
    "InverseSquareRootLR": {},
    "InverseTimeLR": {"gamma": 0.5},
    "PiecewiseConstantLR": {"boundaries": [3], "values": [0.1, 0.2]},
    "SigmoidLR": {"gamma": 0.5, "step_size": 3},
    "LambdaLR": {"lr_lambda": lambda step: 0.5},
    "LinearLR": {},
    "MultiStepLR": {"milestones": [3]},
    "MultiplicativeLR": {"lr_lambda": lambda step: 0.5},
    "OneCycleLR": {"max_lr": 0.2, "total_steps": 9},
    "PolynomialLR": {},
    "ReduceLROnPlateau": {},
    "SWALR": {"swa_lr": 0.1},
    "StepLR": {"step_size": 3},
}


def sgd() -> optim.Optimizer:
    return optim.SGD([nn.Parameter(plait.ones((3, 2)))], lr=0.1)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_making_an_optimizer(name):
    kind = getattr(optim, name)
    weight = nn.Parameter(plait.ones((3, 2)))

    def step(optimizer):
        weight.grad = plait.ones((3, 2))
        optimizer.step(lambda: weight.sum())

    if name in AROUND:
        given: dict[str, Any] = {"optimizer": sgd(), **AROUND[name]}
    elif name == "MultiOptimizer":
        given = {"optimizers": [sgd()]}
    else:
        given = {"params": [weight], **next(iter(kind.samples()), {})}
    assert [*faults_of_making(kind, given, step)] == []


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_odd_hyperparameters_of_a_group(name):
    kind = getattr(optim, name)
    if "params" not in inspect.signature(kind).parameters:
        return
    faults = []
    weight = nn.Parameter(plait.ones((3, 2)))
    for argument in kind([weight]).defaults:
        for value in odd_values():
            group = {"params": [weight], argument: value}
            found = fault(lambda group=group: kind([group]), naming(kind, [argument]))
            if found:
                faults.append(f"{argument}={shown(value)}: {found}")
    assert faults == []


def test_every_schedule_is_here():
    kinds = [getattr(optim, n) for n in optim.__all__]
    kinds = [kind for kind in kinds if isinstance(kind, type)]
    found = {kind.__name__ for kind in kinds if issubclass(kind, optim.LRScheduler)}
    assert found - {"ChainedScheduler", "LRScheduler", "SequentialLR"} <= {*SCHEDULES}


@pytest.mark.parametrize("name", SCHEDULES)
def test_making_a_schedule(name):
    def steps(schedule):
        for _ in range(2):
            schedule.step(*([1.0] if name == "ReduceLROnPlateau" else []))

    given = {"optimizer": sgd(), **SCHEDULES[name]}
    assert [*faults_of_making(getattr(optim, name), given, steps)] == []


# --- distributions, metrics, models

DISTRIBUTIONS = [
    name
    for name in distributions.__all__
    if isinstance(getattr(distributions, name), type)
    if issubclass(getattr(distributions, name), distributions.Distribution)
    if name not in ("Distribution", "ExponentialFamily")
]


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_making_a_distribution(name):
    kind = getattr(distributions, name)
    sample = kind.samples()[0]
    if sample.make is not None:
        return
    given = bound(kind, (), dict(sample.parameters))

    value = plait.tensor(sample.value)
    assert [*faults_of_making(kind, given, lambda made: made.log_prob(value))] == []


@pytest.mark.parametrize(
    "name", [n for n in metrics.__all__ if n not in ("Metric", "Time", "Throughput")]
)
def test_making_a_metric(name):
    kind = getattr(metrics, name)
    sample = kind.samples()[0]

    def use(metric):
        if isinstance(sample.data[0], tuple):
            for number in sample.data[0]:
                metric.add(number)
        else:
            metric.add(*map(plait.tensor, sample.data))
        metric.value()

    given = bound(kind, sample.args, dict(sample.named))
    assert [*faults_of_making(kind, given, use)] == []


@pytest.mark.parametrize("name", models.names())
def test_making_a_model(name):
    for options in (
        *({"num_classes": x} for x in ("a", -1, 1.5, [2], Thing(), 10**30)),
        *({"weights": x} for x in (3, [2], Thing())),
        {"nonsense": 1},
    ):
        with pytest.raises(PlaitError, match=next(iter(options))):
            models.get_model(name, **options)


# --- what the messages say


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: nn.Linear("4", 2), ArgumentTypeError,
         "[Linear] in_features must be an integer of at least 0. Got: '4'."),
        (lambda: nn.Linear(4, -2), ArgumentError,
         "[Linear] out_features must be an integer of at least 0. Got: -2."),
        (lambda: nn.Linear(4, 10**30), ArgumentError,
         f"[Linear] out_features does not fit in 64 bits. Got: {10**30}."),
        (lambda: nn.Linear(4, 2, biass=False), ArgumentTypeError,
         "[Linear] there is no argument 'biass'. Expected: Linear(in_features, "
         "out_features, bias=True, device=None, dtype=None). Fix: did you mean "
         "'bias'?"),
        (lambda: nn.Linear(4, units=2), ArgumentTypeError,
         "[Linear] there is no argument 'units'. Expected: Linear(in_features, "
         "out_features, bias=True, device=None, dtype=None). Fix: did you mean "
         "'out_features'?"),
        (lambda: nn.Softmax(name="s"), ArgumentTypeError,
         "[Softmax] there is no argument 'name'. Expected: Softmax(dim=-1). Fix: "
         "what owns an object gives it its name."),
        (lambda: nn.Linear(4), ArgumentTypeError,
         "[Linear] an argument is missing. Got: no out_features. Expected: Linear("
         "in_features, out_features, bias=True, device=None, dtype=None)."),
        (lambda: nn.Tanh(3), ArgumentTypeError,
         "[Tanh] too many positional arguments. Got: 1. Expected: Tanh()."),
        (lambda: nn.Linear(4, 2, in_features=4), ArgumentTypeError,
         "[Linear] the argument 'in_features' is given twice. Expected: Linear("
         "in_features, out_features, bias=True, device=None, dtype=None)."),
        (lambda: nn.CrossEntropyLoss([1.0, 2.0]), ArgumentTypeError,
         "[CrossEntropyLoss] weight must be a tensor or None. Got: [1.0, 2.0]. Fix: "
         "convert it with plait.asarray."),
        (lambda: nn.MSELoss("average"), ArgumentError,
         "[MSELoss] reduction must be 'mean', 'sum' or 'none'. Got: 'average'."),
        (lambda: nn.Tanh()([1.0]), ArgumentTypeError,
         "[tanh] an operand is neither a tensor nor a number. Got: a list. Fix: "
         "convert it with plait.asarray."),
        (lambda: nn.Conv2d(1, 1, 1)([1.0]), ArgumentTypeError,
         "[Conv2d] input must be a tensor. Got: [1.0]. Fix: convert it with "
         "plait.asarray."),
        (lambda: nn.Tanh()(), ArgumentTypeError,
         "[Tanh] an argument is missing. Got: no input. Expected: Tanh(input)."),
        (lambda: optim.SGD([plait.ones(2)], learning_rate=1), ArgumentTypeError,
         "[SGD] there is no argument 'learning_rate'. Expected: SGD(params, lr=0.001, "
         "momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, *, "
         "maximize=False). Fix: did you mean 'lr'?"),
        (lambda: plait.softmax(plait.ones(3), axis="x"), ArgumentTypeError,
         "[softmax] axis must be an integer. Got: 'x'."),
        (lambda: plait.dropout(plait.ones(3), "x"), ArgumentTypeError,
         "[dropout] p must be a number. Got: 'x'."),
    ],
)  # fmt: skip
def test_messages(make, kind, message):
    with pytest.raises(kind) as caught:
        make()
    assert type(caught.value) is kind
    assert caught.value.message == message
    assert __file__ in caught.value.where


def test_what_was_made_is_named_when_a_part_of_it_fails():
    with pytest.raises(ArgumentError) as caught:
        nn.Transformer(7, nhead=2)
    assert str(caught.value).endswith("\n  in Transformer(d_model=7, nhead=2)")


class Mine(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.linear = nn.Linear(size, size)

    def forward(self, x, y):
        return self.linear(x) + y["missing"]


def test_what_users_write_has_errors_of_its_own():
    with pytest.raises(ArgumentTypeError, match=r"\[Linear\] in_features"):
        Mine("2")
    with pytest.raises(TypeError, match="missing 1 required"):
        Mine()
    layer = Mine(2)
    with pytest.raises(KeyError, match="missing"):
        layer(plait.ones(2), {})
    with pytest.raises(TypeError, match="not subscriptable"):
        nn.Sequential(nn.Identity(), nn.Lambda(lambda x: layer(x, 3)))(plait.ones(2))
    with pytest.raises(ArgumentTypeError, match=r"\[Mine\] .* missing. Got: no y"):
        layer(plait.ones(2))

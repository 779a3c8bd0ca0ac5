"""Schedules of rates: the same rates as PyTorch's, and nothing recorded anew."""

import inspect
import json
import math

import pytest

import plait
from plait import nn, optim
from plait.errors import ArgumentError, ArgumentTypeError, StateDictError
from plait.tensor.trie import roots

try:
    import torch
except ImportError:  # the comparisons with PyTorch are skipped
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")


def two_groups(library, optimizer="SGD"):
    if library is optim:
        first, second = nn.Parameter(plait.ones(2)), nn.Parameter(plait.ones(3))
    else:
        first, second = (torch.nn.Parameter(torch.ones(n)) for n in (2, 3))
    groups = [{"params": [first]}, {"params": [second], "lr": 0.05}]
    more = {"momentum": 0.9} if optimizer == "SGD" else {}
    return getattr(library, optimizer)(groups, lr=0.4, **more)


# Name of the schedule -> keyword arguments. Sequences name their parts.
CASES = {
    "step": ("StepLR", {"step_size": 7, "gamma": 0.5}),
    "step by default": ("StepLR", {"step_size": 3}),
    "milestones": ("MultiStepLR", {"milestones": [3, 3, 20, 41], "gamma": 0.3}),
    "exponential": ("ExponentialLR", {"gamma": 0.97}),
    "cosine": ("CosineAnnealingLR", {"T_max": 60, "eta_min": 0.01}),
    "cosine and up again": ("CosineAnnealingLR", {"T_max": 20}),
    "linear": ("LinearLR", {"start_factor": 0.1, "total_iters": 30}),
    "linear down": ("LinearLR", {"start_factor": 1.0, "end_factor": 0.0}),
    "constant": ("ConstantLR", {"factor": 0.2, "total_iters": 12}),
    "polynomial": ("PolynomialLR", {"total_iters": 40, "power": 2.5}),
    "lambda": ("LambdaLR", {"lr_lambda": lambda step: 1 / (1 + step)}),
    "lambdas": ("LambdaLR", {"lr_lambda": [lambda s: 0.9**s, lambda s: 1 - s / 99]}),
    "restarts": ("CosineAnnealingWarmRestarts", {"T_0": 8}),
    "longer restarts": (
        "CosineAnnealingWarmRestarts",
        {"T_0": 5, "T_mult": 2, "eta_min": 0.001},
    ),
    "one cycle": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 51}),
    "one cycle on lines": (
        "OneCycleLR",
        {"max_lr": [0.5, 0.2], "epochs": 17, "steps_per_epoch": 3, "pct_start": 0.2}
        | {"anneal_strategy": "linear", "div_factor": 10, "final_div_factor": 100},
    ),
    "one cycle, three phases": (
        "OneCycleLR",
        {"max_lr": 0.5, "total_steps": 60, "three_phase": True, "pct_start": 0.35},
    ),
    "products": ("MultiplicativeLR", {"lr_lambda": lambda step: 1 - 1 / (9 + step)}),
    "several products": (
        "MultiplicativeLR",
        {"lr_lambda": [lambda s: 0.9, lambda s: 1 + (-1) ** s / 3]},
    ),
    "up and down": ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 7}),
    "half as high each time": (
        "CyclicLR",
        {"base_lr": [0.01, 0.2], "max_lr": [0.3, 0.1], "mode": "triangular2"}
        | {"step_size_up": 5, "step_size_down": 8, "max_momentum": [0.7, 0.95]},
    ),
    "lower and lower": (
        "CyclicLR",
        {"base_lr": 0.01, "max_lr": 0.3, "mode": "exp_range", "gamma": 0.97}
        | {"step_size_up": 4, "cycle_momentum": False},
    ),
    "a scale of one's own": (
        "CyclicLR",
        {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 6, "base_momentum": 0.5}
        | {"scale_fn": lambda x: 1 / (5 + x), "scale_mode": "iterations"},
    ),
    "to the rate of averages": ("SWALR", {"swa_lr": [0.1, 0.3], "anneal_epochs": 20}),
    "on a line": ("SWALR", {"swa_lr": 0.02, "anneal_strategy": "linear"}),
    "at once": ("SWALR", {"swa_lr": 0.02, "anneal_epochs": 0}),
    "all at once": (
        "ChainedScheduler",
        {
            "schedulers": [
                ("ConstantLR", {"factor": 0.2, "total_iters": 12}),
                ("ExponentialLR", {"gamma": 0.97}),
                ("MultiStepLR", {"milestones": [5, 30]}),
                ("LinearLR", {"start_factor": 0.5, "total_iters": 20}),
                ("PolynomialLR", {"total_iters": 70, "power": 1.5}),
            ],
        },
    ),
    "sequence": (
        "SequentialLR",
        {
            "schedulers": [
                ("LinearLR", {"start_factor": 0.2, "total_iters": 10}),
                ("CosineAnnealingLR", {"T_max": 20}),
                ("ExponentialLR", {"gamma": 0.9}),
            ],
            "milestones": [10, 30],
        },
    ),
}


def make(library, optimizer, name, arguments):
    room = library if library is optim else library.lr_scheduler
    if name == "SWALR" and library is not optim:
        room = library.swa_utils
    if "schedulers" in arguments:
        parts = [make(library, optimizer, *part) for part in arguments["schedulers"]]
        arguments = {**arguments, "schedulers": parts}
    if name == "ChainedScheduler":
        return room.ChainedScheduler(**arguments)
    return getattr(room, name)(optimizer, **arguments)


def settings(optimizer):
    names = ("lr", "momentum", "betas")
    return [
        [
            x
            for name in names
            if name in group
            for x in (group[name] if name == "betas" else [group[name]])
        ]
        for group in optimizer.param_groups
    ]


@needs_torch
@pytest.mark.filterwarnings("ignore")  # torch: of steps without an update
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("case", CASES)
def test_equals_torch(case, kind):
    ours, theirs = two_groups(optim, kind), two_groups(torch.optim, kind)
    own = make(optim, ours, *CASES[case])
    other = make(torch.optim, theirs, *CASES[case])
    for step in range(100):
        if case.startswith("one cycle") and step > 50:
            break
        for found, expected in zip(settings(ours), settings(theirs), strict=True):
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
        assert own.get_last_lr() == pytest.approx(other.get_last_lr(), abs=1e-12)
        own.step()
        other.step()


SCHEDULES = [
    name
    for name in optim.__all__
    if isinstance(getattr(optim, name), type)
    and (issubclass(getattr(optim, name), optim.LRScheduler) or "Plateau" in name)
]


@pytest.mark.parametrize("name", SCHEDULES)
def test_docstrings_explain_every_argument(name):
    text = inspect.getdoc(getattr(optim, name))
    explained = text.split("Args:\n")[1].split("\n\n")[0]
    for argument in inspect.signature(getattr(optim, name)).parameters:
        assert (
            f"    {argument}: " in explained
            or f", {argument}: " in explained
            or (f"    {argument}, " in explained)
        ), argument


def a_schedule_of_rates(name, arguments, steps):
    optimizer = two_groups(optim)
    schedule = getattr(optim, name)(optimizer, **arguments)
    rates = []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        schedule.step()
    return rates


def test_schedules_that_torch_lacks():
    steps = range(40)
    found = a_schedule_of_rates("InverseTimeLR", {"gamma": 0.1, "power": 0.75}, 40)
    assert found == pytest.approx([0.4 * (1 + 0.1 * s) ** -0.75 for s in steps])
    named = {"gamma": 0.5, "decay_steps": 7, "staircase": True}
    found = a_schedule_of_rates("InverseTimeLR", named, 40)
    assert found == pytest.approx([0.4 / (1 + 0.5 * (s // 7)) for s in steps])
    found = a_schedule_of_rates("SigmoidLR", {"gamma": -0.3, "step_size": 20}, 40)
    expected = [0.4 / (1 + math.exp(0.3 * (s - 20))) for s in steps]
    assert found == pytest.approx(expected)
    assert a_schedule_of_rates("SigmoidLR", {"gamma": 99.0, "step_size": 50}, 1) == [0]
    found = a_schedule_of_rates("InverseSquareRootLR", {"warmup_steps": 10}, 40)
    # Of a model of width 64, with its rate at the end of the way up.
    peak = (64 * 10) ** -0.5
    noam = [64**-0.5 * min((s + 1) ** -0.5, (s + 1) * 10**-1.5) for s in steps]
    assert found == pytest.approx([0.4 / peak * rate for rate in noam])
    named = {"boundaries": [3, 10], "values": [1.0, 0.5, 0.1]}
    found = a_schedule_of_rates("PiecewiseConstantLR", named, 40)
    assert found == [1.0] * 4 + [0.5] * 7 + [0.1] * 29


def test_a_schedule_of_products_goes_back():
    optimizer = two_groups(optim)
    schedule = optim.MultiplicativeLR(optimizer, lambda step: 0.5)
    schedule.step(3)
    assert schedule.get_last_lr()[0] == pytest.approx(0.4 / 8)
    schedule.step(1)
    assert schedule.get_last_lr()[0] == pytest.approx(0.2)


def test_the_rate_of_averages_begins_at_what_is_set():
    optimizer = two_groups(optim)
    before = optim.ExponentialLR(optimizer, 0.5)
    averaging = optim.SWALR(optimizer, 0.1, anneal_epochs=4, anneal_strategy="linear")
    before.step()
    rates = []
    for _ in range(5):
        averaging.step()
        rates.append(averaging.get_last_lr()[0])
    assert rates == pytest.approx([0.175, 0.15, 0.125, 0.1, 0.1])


MEASURED = [math.sin(i / 3) * math.exp(-i / 9) + (i > 30) * 2 - 0.2 for i in range(60)]


@needs_torch
@pytest.mark.parametrize(
    "arguments",
    [
        {"patience": 2},
        {"mode": "max", "patience": 1, "factor": 0.5, "cooldown": 3},
        {"threshold_mode": "abs", "threshold": 0.05, "patience": 0, "min_lr": 0.03},
        {"mode": "max", "threshold_mode": "abs", "threshold": 0.1, "patience": 3},
        {"patience": 0, "min_lr": [1e-3, 1e-4], "eps": 1e-2},
    ],
    ids=str,
)
def test_a_plateau_equals_torch(arguments):
    ours, theirs = two_groups(optim), two_groups(torch.optim)
    own = optim.ReduceLROnPlateau(ours, **arguments)
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **arguments)
    seen = set()
    for value in MEASURED:
        own.step(plait.tensor(value, dtype=plait.float64))
        other.step(value)
        assert own.get_last_lr() == pytest.approx(other.get_last_lr())
        seen.add(own.get_last_lr()[0])
    assert len(seen) > 1


@pytest.mark.parametrize("case", CASES)
def test_goes_on_where_the_state_was_taken(case):
    optimizer = two_groups(optim)
    schedule = make(optim, optimizer, *CASES[case])
    for _ in range(9):
        schedule.step()
    other = two_groups(optim)
    another = make(optim, other, *CASES[case])
    other.load_state_dict(optimizer.state_dict())
    another.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    for _ in range(5):
        schedule.step()
        another.step()
        assert settings(other) == settings(optimizer)


def test_a_plateau_goes_on_where_the_state_was_taken():
    optimizer = two_groups(optim)
    schedule = optim.ReduceLROnPlateau(optimizer, patience=2, cooldown=1)
    for value in MEASURED[:20]:
        schedule.step(value)
    other = two_groups(optim)
    another = optim.ReduceLROnPlateau(other, patience=2, cooldown=1)
    other.load_state_dict(optimizer.state_dict())
    another.load_state_dict(schedule.state_dict())
    for value in MEASURED[20:]:
        schedule.step(value)
        another.step(value)
        assert settings(other) == settings(optimizer)


def test_changed_rates_record_nothing_new():
    parameter = nn.Parameter(plait.ones(3))
    optimizer = optim.Adam([parameter])
    schedule = optim.OneCycleLR(optimizer, 0.1, total_steps=40)
    for i in range(40):
        if i == 3:
            before = roots.count
        optimizer.zero_grad()
        (parameter * parameter).sum().backward()
        optimizer.step()
        schedule.step()
    assert roots.count == before


def refusal(make):
    with pytest.raises((ArgumentError, ArgumentTypeError, StateDictError)) as caught:
        make(two_groups(optim))
    return caught.value.message


def test_what_new_schedules_refuse():
    assert refusal(lambda o: optim.MultiplicativeLR(o, [len])) == (
        "[MultiplicativeLR] lr_lambda must be a function, or one for each of 2 groups. "
        "Got: 1."
    )
    assert refusal(lambda o: optim.PiecewiseConstantLR(o, [3, 1], [1, 2, 3])) == (
        "[PiecewiseConstantLR] boundaries do not increase. Got: [3, 1]."
    )
    assert refusal(lambda o: optim.PiecewiseConstantLR(o, [3], [1])) == (
        "[PiecewiseConstantLR] there is one boundary less than values. Got: '1 for 1'."
    )
    assert refusal(lambda o: optim.CyclicLR(o, 0.1, 0.2, mode="x")) == (
        "[CyclicLR] mode is none of triangular, triangular2, exp_range. Got: 'x'."
    )
    assert refusal(lambda o: optim.CyclicLR(o, [0.1], 0.2)) == (
        "[CyclicLR] one base_lr for each of 2 groups. Got: 1."
    )
    assert refusal(
        lambda _: optim.CyclicLR(optim.Adagrad([nn.Parameter(plait.ones(2))]), 0.1, 1)
    ) == (
        "[CyclicLR] the optimizer has no momentum to set with cycle_momentum. Got: "
        "'Adagrad'."
    )
    assert refusal(lambda o: optim.SWALR(o, 0.1, anneal_strategy="x")) == (
        "[SWALR] anneal_strategy is neither 'cos' nor 'linear'. Got: 'x'."
    )
    assert refusal(lambda _: optim.ChainedScheduler([])) == (
        "[ChainedScheduler] there are no schedulers. Got: []."
    )
    assert refusal(
        lambda o: optim.ChainedScheduler([optim.ReduceLROnPlateau(o)])
    ).startswith("[ChainedScheduler] schedules of the same optimizer are needed")
    assert refusal(lambda o: optim.InverseTimeLR(o, -1.0)) == (
        "[InverseTimeLR] gamma is negative. Got: -1.0."
    )
    assert refusal(lambda o: optim.InverseSquareRootLR(o, 0)) == (
        "[InverseSquareRootLR] warmup_steps is below 1. Got: 0."
    )


def test_what_is_refused():
    assert refusal(lambda o: optim.StepLR(o, 0)) == (
        "[StepLR] step_size is below 1. Got: 0."
    )
    assert refusal(lambda o: optim.OneCycleLR(o, 0.1)) == (
        "[OneCycleLR] total_steps is needed, or epochs and steps_per_epoch. Got: "
        "{'epochs': None, 'steps_per_epoch': None}."
    )
    assert refusal(lambda o: optim.OneCycleLR(o, 0.1, 3).step(4)) == (
        "[OneCycleLR] the cycle of 3 steps is over. Got: 'step 4'."
    )
    assert refusal(lambda o: optim.LambdaLR(o, [len])) == (
        "[LambdaLR] lr_lambda must be a function, or one for each of 2 groups. Got: 1."
    )
    assert refusal(lambda o: optim.ReduceLROnPlateau(o, "least")) == (
        "[ReduceLROnPlateau] mode is neither 'min' nor 'max'. Got: 'least'."
    )
    plateau = optim.ReduceLROnPlateau
    assert refusal(lambda o: optim.SequentialLR(o, [plateau(o)], [])) == (
        "[SequentialLR] schedules of the same optimizer are needed, which depend on "
        "the number of the step alone. Got: a ReduceLROnPlateau."
    )
    other = two_groups(optim)
    one = optim.ConstantLR(other)
    with pytest.raises(ArgumentTypeError):
        optim.SequentialLR(two_groups(optim), [one], [])
    assert refusal(lambda o: optim.ExponentialLR(o, 0.9).load_state_dict({})) == (
        "[load_state_dict] the state does not fit this ExponentialLR; nothing was "
        "changed. Got: nothing. Expected: last_epoch."
    )
    assert refusal(lambda _: optim.StepLR("SGD", 3)) == (
        "[StepLR] optimizer must be an Optimizer. Got: 'SGD'."
    )

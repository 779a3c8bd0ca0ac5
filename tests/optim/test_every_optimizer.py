"""Every optimizer, by the sets of hyperparameters that it gives of itself.

A new optimizer needs samples, and a transcript of its formula in `references.py`.
"""

import copy
import inspect
import pickle

import numpy as np
import pytest

import plait
from plait import nn, optim
from plait.tensor.trie import roots

from .references import REFERENCES, asgd_mean

try:
    import torch
except ImportError:  # the comparisons with PyTorch are skipped
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")

AROUND = ("Accumulate", "Lookahead", "MultiOptimizer", "SAM")
OPTIMIZERS = {
    name: getattr(optim, name)
    for name in optim.__all__
    if isinstance(getattr(optim, name), type)
    and issubclass(getattr(optim, name), optim.Optimizer)
    # LBFGS has no rule for one gradient; the others go around other optimizers.
    and name not in ("Optimizer", "LBFGS", *AROUND)
}
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)
every_sample = pytest.mark.parametrize(
    ("name", "sample"),
    [
        pytest.param(name, sample, id=f"{name}-{i}")
        for name, optimizer in OPTIMIZERS.items()
        for i, sample in enumerate(optimizer.samples())
    ],
)
SHAPES = ((4, 3), (4,), (2, 1, 4), (), (0, 3))


def arrays(seed, name="SGD", dtype=np.float64):
    """One array of each shape that the optimizer takes."""
    rng = np.random.default_rng(seed)
    all_of_them = [rng.normal(size=shape).astype(dtype) for shape in SHAPES]
    return [x for x in all_of_them if name != "Muon" or x.ndim > 1]


def make(name, sample, dtype=np.float64):
    parameters = [nn.Parameter(x) for x in arrays(0, name, dtype)]
    return OPTIMIZERS[name](parameters, **sample), parameters


def feed(parameters, seed):
    name = "SGD" if len(parameters) == len(SHAPES) else "Muon"
    for parameter, x in zip(parameters, arrays(seed, name), strict=True):
        parameter.grad = plait.tensor(x, dtype=parameter.dtype)


def values(parameters):
    return [parameter.numpy().copy() for parameter in parameters]


@every_sample
def test_a_step_as_a_function_is_the_same_step(name, sample):
    optimizer, parameters = make(name, sample)
    numbers = {
        label: plait.tensor(x, dtype=plait.float64)
        for label, x in optimizer.param_groups[0].items()
        if isinstance(x, float) and x
    }

    @plait.jit
    def updated(parameter, gradient, state, step, numbers):
        settings = {n: optimizer.param_groups[0][n] for n in optimizer.defaults}
        settings.update(numbers)
        return optimizer.updated(parameter, gradient, state, step, settings)

    own = [p.detach() for p in parameters]
    defaults = {n: optimizer.param_groups[0][n] for n in optimizer.defaults}
    states = [optimizer.init(p, **defaults) for p in own]
    for turn in (1, 2, 3):
        feed(parameters, turn)
        step = plait.tensor(float(turn), dtype=plait.float64)
        for i, p in enumerate(parameters):
            own[i], states[i] = updated(own[i], p.grad, states[i], step, numbers)
        optimizer.step()
        for p, new, state in zip(parameters, own, states, strict=True):
            np.testing.assert_allclose(new.numpy(), p.numpy(), 1e-12, 1e-14)
            for label, x in state.items():
                kept = optimizer.state[p][label].numpy()
                np.testing.assert_allclose(x.numpy(), kept, 1e-12, 1e-14)


def test_every_optimizer_gives_samples_and_has_a_transcript():
    assert [name for name, one in OPTIMIZERS.items() if not one.samples()] == []
    assert sorted(REFERENCES) == sorted(OPTIMIZERS)


@every_optimizer
def test_samples_use_every_argument(name):
    own = OPTIMIZERS[name]
    arguments = list(inspect.signature(own).parameters)[1:]
    used = {label for sample in own.samples() for label in sample}
    assert used == set(arguments), "what no sample sets is not tested"


@every_optimizer
def test_docstrings_explain_every_argument(name):
    text = inspect.getdoc(OPTIMIZERS[name])
    explained = text.split("Args:\n")[1].split("\n\n")[0]
    for argument in inspect.signature(OPTIMIZERS[name]).parameters:
        assert f"    {argument}: " in explained, argument
    assert "Source: " in text


@every_sample
def test_equals_a_transcript_of_its_formula(name, sample):
    optimizer, parameters = make(name, sample)
    settings = {n: optimizer.param_groups[0][n] for n in optimizer.defaults}
    steps = range(1, 16)
    for seed in steps:
        feed(parameters, seed)
        optimizer.step()
    rows = zip(arrays(0, name), *(arrays(seed, name) for seed in steps), strict=True)
    for found, (first, *gradients) in zip(parameters, rows, strict=True):
        expected = REFERENCES[name](first, gradients, **settings)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)


@needs_torch
@pytest.mark.parametrize(
    ("name", "sample"),
    [
        pytest.param(name, sample, id=f"{name}-{i}")
        for name, optimizer in OPTIMIZERS.items()
        for i, sample in enumerate(optimizer.samples())
        if torch is not None and hasattr(torch.optim, name)
    ],
)
def test_equals_torch(name, sample, monkeypatch):
    # Muon's products are in bfloat16 there.
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda x: x.clone())

    def taken(values):  # not tensors of three axes, nor empty ones
        few = name in ("Muon", "Adafactor", "SparseAdam")
        return [x for x in values if not few or (x.size and x.ndim < 3)]

    parameters = [nn.Parameter(x) for x in taken(arrays(0, name))]
    ours = OPTIMIZERS[name](parameters, **sample)
    theirs = [torch.nn.Parameter(torch.tensor(x)) for x in taken(arrays(0, name))]
    their_optimizer = getattr(torch.optim, name)(theirs, **sample)
    for seed in range(1, 10):
        given = taken(arrays(seed, name))
        if name == "SparseAdam":
            given[0][seed % 4] = 0  # a row that had no part in the loss
        for own, other, x in zip(parameters, theirs, given, strict=True):
            own.grad = plait.tensor(x)
            other.grad = torch.tensor(x)
            if name == "SparseAdam":
                other.grad = other.grad.to_sparse(min(x.ndim, 1))
        if seed % 3 == 0:  # a parameter that had no part in the loss
            parameters[-1].grad = theirs[-1].grad = None
        ours.step()
        their_optimizer.step()
        for found, expected in zip(parameters, theirs, strict=True):
            np.testing.assert_allclose(
                # Some numbers of theirs are float32.
                *(found.numpy(), expected.detach().numpy()),
                rtol=1e-6,
                atol=1e-7,
            )


def test_the_mean_of_asgd():
    optimizer, parameters = make("ASGD", {"lr": 0.1, "t0": 4.0})
    points = []
    for seed in range(1, 12):
        feed(parameters, seed)
        optimizer.step()
        points.append(parameters[0].numpy().copy())
    found = optimizer.state[parameters[0]]["ax"].numpy()
    np.testing.assert_allclose(found, asgd_mean(points, 4), rtol=1e-12)


def test_sparse_adam_leaves_rows_alone():
    x = nn.Parameter(plait.ones(3, 2))
    optimizer = optim.SparseAdam([x], lr=0.1)
    for row in (0, 0, 2):
        x.grad = plait.zeros(3, 2)
        x.grad = plait.tensor(np.eye(3, dtype=np.float32)[:, [row, row]])
        optimizer.step()
    assert x[1].tolist() == [1.0, 1.0]
    assert optimizer.state[x]["exp_avg"][1].tolist() == [0.0, 0.0]
    assert (x[0] < x[2]).all().item()


# Their steps do not get shorter by themselves near a minimum.
OF_ONE_LENGTH = (
    *("Adafactor", "Fromage", "LAMB", "LARS"),
    *("Lion", "Muon", "NovoGrad", "Signum"),
)


def going_down(optimizer, steps):
    """Let the rate go down on a line, for those that need it."""
    down = type(optimizer).__name__ in OF_ONE_LENGTH
    return optim.LambdaLR(optimizer, lambda step: 1 - down * step / steps)


@every_optimizer
def test_finds_the_minima_of_a_bowl_and_of_a_valley(name):
    # As rows: Muon takes matrices. The valley is Rosenbrock's.
    x = nn.Parameter(np.array([[3.0, -2.0, 1.0]]))
    scales, minimum = np.array([1.0, 4.0, 9.0]), np.array([[-1.0, 0.5, 2.0]])
    y = nn.Parameter(np.array([[-1.2, 1.0]]))

    @plait.jit
    def losses(x, y):
        along, across = y[0, 0], y[0, 1]
        valley = (1 - along) ** 2 + 100 * (across - along**2) ** 2
        return (plait.square(x - minimum) * scales).sum(), valley / 100

    optimizer = OPTIMIZERS[name]([x, y], **OPTIMIZERS[name].samples()[0])
    rates = going_down(optimizer, 1000)
    for _ in range(1000):
        optimizer.zero_grad()
        bowl, valley = losses(x, y)
        (bowl + valley).backward()
        optimizer.step()
        rates.step()
    if isinstance(optimizer, (optim.ScheduleFreeSGD, optim.ScheduleFreeAdamW)):
        optimizer.eval()
    np.testing.assert_allclose(x.numpy(), minimum, atol=1e-2)
    # It begins at 0.242; on the way to the valley it gets no lower than 0.04.
    assert losses(x, y)[1].item() < 0.025


@every_sample
def test_goes_on_where_the_state_was_taken(name, sample):
    optimizer, parameters = make(name, sample)
    for seed in range(1, 4):
        feed(parameters, seed)
        optimizer.step()
    state = pickle.loads(pickle.dumps(optimizer.state_dict()))
    middle = values(parameters)
    other, others = make(name, {**sample, "lr": 7.0})
    for parameter, x in zip(others, middle, strict=True):
        parameter.data = plait.tensor(x)
    other.load_state_dict(state)
    assert other.param_groups[0]["lr"] == sample["lr"]
    for seed in range(4, 7):
        for one, own in ((optimizer, parameters), (other, others)):
            feed(own, seed)
            one.step()
    for a, b in zip(values(parameters), values(others), strict=True):
        np.testing.assert_array_equal(a, b)


@every_sample
def test_copies_go_on_alike(name, sample):
    optimizer, parameters = make(name, sample)
    feed(parameters, 1)
    optimizer.step()
    twin = pickle.loads(pickle.dumps(copy.deepcopy(optimizer)))
    others = twin.param_groups[0]["params"]
    for one, own in ((optimizer, parameters), (twin, others)):
        feed(own, 2)
        one.step()
    for a, b in zip(parameters, others, strict=True):
        assert a is not b
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@every_sample
def test_changed_numbers_record_nothing_new(name, sample):
    optimizer, parameters = make(name, sample)

    def step(i):
        for group in optimizer.param_groups:
            group["lr"] = sample["lr"] * (0.5 + i)
            if sample.get("weight_decay"):
                group["weight_decay"] = 0.01 * (1 + i)
        feed(parameters, i)
        optimizer.step()

    for i in range(3):
        step(i)
    before = roots.count
    for i in range(3, 20):
        step(i)
    assert roots.count == before


@every_sample
def test_the_first_step_is_the_same_program_as_others(name, sample):
    # What a state begins with is not recorded, but has its values, as later states.
    optimizer, parameters = make(name, sample)
    defaults = {n: optimizer.param_groups[0][n] for n in optimizer.defaults}
    for parameter in parameters:
        for label, x in optimizer.begin(parameter, defaults).items():
            begins_there = label in ("z", "x0") and type(optimizer) is not optim.FTML
            assert x._value is not None or begins_there


@every_sample
def test_16_bits_are_computed_in_more(name, sample):
    # Squares of these gradients, and an eps of 1e-8, are 0 in float16.
    values = np.linspace(0.5, 1.5, 12).reshape(3, 4)
    found = []
    for dtype in ("float64", "float16"):
        parameters = [
            nn.Parameter(plait.tensor(values, dtype=dtype)),
            nn.Parameter(plait.zeros(2, 2, dtype=dtype)),
        ]
        optimizer = OPTIMIZERS[name](parameters, **sample)
        for parameter in parameters:
            parameter.grad = parameter.detach() * 1e-3
        optimizer.step()
        found.append([x.detach().to("float64").numpy() for x in parameters])
    for exact, near in zip(*found, strict=True):
        np.testing.assert_allclose(near, exact, rtol=4e-3, atol=4e-3)


@pytest.mark.parametrize(
    ("name", "sample", "dtype"),
    [
        pytest.param(name, sample, dtype, id=f"{name}-{dtype}")
        for name, optimizer in OPTIMIZERS.items()
        for sample, dtype in zip(
            [*optimizer.samples(), *optimizer.samples()],
            ["float32", "float16", "bfloat16"],
            strict=False,
        )
    ],
)
def test_types_stay_what_they_are(name, sample, dtype):
    optimizer, parameters = make(name, sample)
    for parameter in parameters:
        parameter.data = parameter.to(dtype)
    handles = list(parameters)
    for seed in (1, 2):
        feed(parameters, seed)
        optimizer.step()
    for parameter, handle in zip(parameters, handles, strict=True):
        assert parameter is handle
        assert parameter.requires_grad
        assert parameter.is_leaf
        assert parameter.dtype is plait.asarray(parameter.numpy()).dtype
        assert parameter.dtype.name == dtype
        assert np.isfinite(parameter.to("float32").numpy()).all()
        for tensor in optimizer.state[parameter].values():
            assert tensor.dtype is plait.float32, "means of 16 bits would stand still"
            assert not tensor.requires_grad


@every_optimizer
def test_a_schedule_may_be_a_tensor(name):
    sample = OPTIMIZERS[name].samples()[0]
    plain, parameters = make(name, sample)
    rate = {**sample, "lr": plait.tensor(sample["lr"], dtype=plait.float64)}
    other, others = make(name, rate)
    for seed in (1, 2):
        for one, own in ((plain, parameters), (other, others)):
            feed(own, seed)
            one.step()
    for a, b in zip(values(parameters), values(others), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@every_sample
def test_the_rule_is_a_pure_function(name, sample):
    """It can be used inside `jit`, `scan` and `vmap` without an optimizer object."""
    optimizer, parameters = make(name, sample)
    own = OPTIMIZERS[name]
    group = {n: optimizer.param_groups[0][n] for n in optimizer.defaults}
    x = plait.tensor(arrays(0)[0])
    state = own.init(x, **group)
    update = plait.jit(own.update)
    for step in (1, 2, 3):
        gradient = plait.tensor(arrays(step)[0])
        x, state = update(x, gradient, state, **own.coefficients(step, **group))
        feed(parameters, step)
        optimizer.step()
    np.testing.assert_allclose(x.numpy(), parameters[0].numpy(), rtol=1e-12)

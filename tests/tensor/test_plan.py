"""Plans: memory, work and time of a computation before it runs."""

import gc

import numpy as np
import pytest

import plait
from plait import nn
from plait.runtime import memory
from plait.settings import settings
from plait.tensor.limits import limits
from plait.tensor.plan import amount, duration, short_line, size


def network(a, b, x, y):
    hidden = plait.relu(x @ a)
    return ((hidden @ b - y) ** 2).mean()


def arguments(n=256):
    shapes = ((784, 512), (512, 10), (n, 784), (n, 10))
    return [plait.zeros(*shape) for shape in shapes]


def given(n):
    """Return arguments whose memory is of the same kind as that of results."""
    found = []
    for x in arguments(n):
        array = memory.empty(x.shape, np.dtype(np.float32))
        array[...] = 0.5
        found.append(plait.asarray(array, copy=False))
    return found


def test_operations_and_bytes():
    plan = plait.plan(lambda x, w: x @ w, plait.zeros(64, 100), plait.zeros(100, 30))
    assert plan.flops >= 2 * 64 * 100 * 30
    assert plan.flops <= 2.1 * 64 * 100 * 30
    assert plan.nbytes == 4 * (64 * 100 + 100 * 30 + 64 * 30)
    assert plan.inputs == 4 * (64 * 100 + 100 * 30)
    assert plan.outputs == 4 * 64 * 30
    assert plan.seconds > 0


def test_nothing_is_computed():
    limits()  # which takes some memory, once
    limits(False)
    before = memory.usage().used
    memory.reset_peak()
    x = plait.zeros(20_000, 20_000)
    plan = plait.plan(lambda x: plait.exp(x).sum(), x)
    assert plan.peak >= 4 * 20_000**2
    assert memory.usage().peak == before


@pytest.mark.parametrize("n", [256, 1000])
def test_the_most_memory_is_as_planned(n):
    gradients = plait.value_and_grad(network, (0, 1))
    lowered = plait.jit(gradients).lower(*arguments(n))
    plan = lowered.plan()
    compiled = lowered.compile()
    # A run's workspace is kept for the next one: this is in use before.
    compiled(*given(n))
    gc.collect()
    before = memory.usage().used
    operands = given(n)
    memory.reset_peak()
    result = compiled(*operands)
    found = memory.usage().peak - before + plan.workspace
    assert found == pytest.approx(plan.peak, rel=0.02)
    assert np.isfinite(result[0].item())


def test_the_lines_that_ask_for_it():
    plan = plait.plan(network, *arguments())
    names = [line.where.rpartition(":")[0] for line in plan.lines]
    assert set(names) <= {__file__, ""}
    assert sum(line.flops for line in plan.lines) == plan.flops
    times = [line.seconds for line in plan.lines]
    assert times == sorted(times, reverse=True)


def test_the_table():
    lines = str(plait.plan(network, *arguments())).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["line,", "layer", "kernels", "FLOP", "bytes", "time"]
    assert lines[2].startswith("test_plan.py:")
    assert any(line.startswith("memory: ") for line in lines)


def test_what_may_take_the_place_of_an_input():
    def step(w, g):
        return w - 0.1 * g

    plan = plait.plan(step, plait.zeros(1000), plait.zeros(1000))
    assert plan.replaceable == 4000
    assert "may take the place of inputs" in str(plan)
    assert plait.plan(network, *arguments()).replaceable == 0


class Twice(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.parts = nn.Sequential(nn.Linear(8, 8), nn.Tanh())
        self.last = inner

    def forward(self, x):
        return self.last(self.parts(x)) + 1


def test_layers_have_their_paths():
    model = Twice(Twice(nn.Linear(8, 4)))
    x = plait.zeros(1000, 8)
    plan = plait.plan(plait.value_and_grad(lambda x: model(x).sum()), x)
    flops = {}
    for line in plan.lines:
        flops[line.layer] = flops.get(line.layer, 0) + line.flops
    paths = {"parts.0", "last.parts.0", "last.last"}
    assert paths <= flops.keys()
    # Forward, and the derivative by the input.
    assert all(flops[path] >= 2 * 2 * 1000 * 8 * 4 for path in paths)
    assert f"{__file__.rpartition('/')[2]}:" in str(plan)
    assert " last.parts.0 " in str(plan)


def test_lines_and_layers_are_kept_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "cache", str(tmp_path))
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
    plans = [plait.plan(model, plait.zeros(10, 8)) for _ in range(2)]
    first, second = ([(x.where, x.layer, x.flops) for x in p.lines] for p in plans)
    assert sorted(first) == sorted(second)
    assert {"0", "2"} <= {layer for _, layer, _ in first}


def test_a_layer_that_no_other_one_owns_has_the_name_of_its_class():
    stray = nn.Linear(8, 8)
    outer = nn.Sequential(nn.Tanh())
    outer.register_forward_hook(lambda module, args, result: stray(result))
    plan = plait.plan(outer, plait.zeros(100, 8))
    assert "Linear" in {line.layer for line in plan.lines}


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1.0 k"), (12_345, "12.3 k"), (123_456, "123 k"),
     (99_960, "100 k"), (2.5e9, "2.5 G"), (7e15, "7000 T")],
)  # fmt: skip
def test_amounts(number, text):
    assert amount(number) == text


def test_sizes_times_and_lines():
    assert [size(x) for x in (0, 1023, 1024, 5 << 20)] == [
        *("0 B", "1023 B", "1.0 KiB", "5.0 MiB"),
    ]
    assert [duration(x) for x in (1e-6, 0.5, 12)] == ["1.0 us", "500.0 ms", "12.00 s"]
    assert short_line("", 20) == "(no line)"
    assert short_line("/a/b.py:3", 20) == "b.py:3"
    assert len(short_line("/a/" + "b" * 60 + ".py:3", 35)) == 35


def test_arrays_are_arguments_too():
    plan = plait.plan(lambda x: x * 2, np.zeros((10, 10), np.float32))
    assert plan.outputs == 400


def test_derivatives_belong_to_the_line_that_is_differentiated():
    gradients = plait.value_and_grad(network, (0, 1))
    forward = plait.plan(network, *arguments())
    both = plait.plan(gradients, *arguments())
    flops = {line.where: line.flops for line in both.lines}
    first = max(forward.lines, key=lambda line: line.flops)
    # The gradient of the weight costs as much again; that of the data is not asked for.
    assert flops[first.where] >= 1.9 * first.flops

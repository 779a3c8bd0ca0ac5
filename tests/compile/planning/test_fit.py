"""Programs held to a limit of memory: by computing values again."""

import numpy as np
import pytest

import plait
from plait.compile.llvm.target import host
from plait.compile.pipeline import compile_graph
from plait.errors import CompileWarning
from plait.program import Launch
from plait.runtime import Runner
from plait.settings import settings

from ..both import agree, interpret, same_bits
from ..nets import mlp, step, transformer


def flops(program):
    return sum(
        program.kernels[one.kernel].work.flops
        for one in program.instructions
        if isinstance(one, Launch)
    )


CASES = {
    # net, parts of the memory that may be used, and how much more may be computed
    "mlp": (lambda: mlp(16, 64, 128), {0.75: 1.15, 0.5: 1.25, 0.3: 1.5}),
    "transformer": (
        lambda: transformer(4, 2, 32, (4, 64)), {0.75: 1.15, 0.5: 1.2, 0.3: 1.4},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_limits_are_met_with_the_same_bits(name):
    make, parts = CASES[name]
    graph, arrays = make()
    free = compile_graph(graph, host())
    wanted = Runner(free).run(tuple(arrays))
    agree(graph, arrays, interpret(graph, arrays), wanted)
    for part, most in parts.items():
        limit = int(part * free.taken)
        program = compile_graph(graph, host(), memory_limit=limit)
        assert program.taken <= limit < free.taken
        assert 1 < flops(program) / flops(free) < most
        # What is computed again takes the same kernels.
        assert len(program.kernels) <= 2 * len(free.kernels)
        for x, y in zip(wanted, Runner(program).run(tuple(arrays)), strict=True):
            same_bits(x, y)
        again = compile_graph(graph, host(), memory_limit=limit)
        assert again.instructions == program.instructions


def test_wide_net():
    graph, _ = mlp(16, 256, 512)
    free = compile_graph(graph, host())
    # 16 outputs of layers, one gradient, and a copy of a matrix.
    assert free.taken <= 18.1 * 512 * 256 * 4
    for part, most in ((0.75, 1.15), (0.5, 1.3)):
        program = compile_graph(graph, host(), memory_limit=int(part * free.taken))
        assert program.taken <= part * free.taken
        assert flops(program) < most * flops(free)


def test_enough_memory_changes_nothing():
    graph, _ = mlp(4, 16, 32)
    free = compile_graph(graph, host())
    program = compile_graph(graph, host(), memory_limit=free.taken)
    assert program.instructions == free.instructions


def test_limit_that_cannot_be_met():
    graph, arrays = mlp(6, 32, 64)
    free = compile_graph(graph, host())
    program = compile_graph(graph, host(), memory_limit=1)
    assert 1 < program.taken < 0.8 * free.taken
    assert flops(program) <= 4 * flops(free)
    found = Runner(program).run(tuple(arrays))
    for x, y in zip(Runner(free).run(tuple(arrays)), found, strict=True):
        same_bits(x, y)


def test_setting(monkeypatch):
    def total(a, x):
        for _ in range(12):
            x = plait.tanh(x @ a)
        return x.sum()

    rng = np.random.default_rng(0)
    a = plait.asarray(rng.normal(size=(256, 256)).astype(np.float32) / 16)
    x = plait.asarray(rng.normal(size=(1024, 256)).astype(np.float32))
    lowered = {}
    for limit in (0, 8):
        monkeypatch.setattr(settings, "memory_limit", limit)
        lowered[limit] = plait.jit(plait.grad(total)).trace(a, x).lower().program
    assert lowered[8].taken <= 8 << 20 < lowered[0].taken
    monkeypatch.setattr(settings, "memory_limit", 1)
    with pytest.warns(CompileWarning, match="memory_limit is 1 MiB, but .* at least"):
        plait.jit(plait.grad(total)).trace(a, x).lower()


@pytest.mark.parametrize("layers", [4, 8])
def test_recomputed_regions_hold_less(layers):
    graph, arrays = mlp(layers, 64, 256)
    kept = compile_graph(graph, host())
    graph, arrays = mlp(layers, 64, 256, again=True)
    program = compile_graph(graph, host())
    values = layers // 2 * 256 * 64 * 4  # one in each region
    assert program.taken <= kept.taken - values + 256 * 64 * 4
    found = Runner(program).run(tuple(arrays))
    agree(graph, arrays, interpret(graph, arrays), found)


def test_activation_keeps_one_value():
    def net(parameters, x):
        for a in parameters:
            h = x @ a
            # Its derivative needs two more functions of h.
            x = h * plait.exp(-h * h) * plait.sin(h)
        return x

    shape = (512, 128)
    graph, arrays = step(net, [(128, 128)] * 6, shape)
    program = compile_graph(graph, host())
    # For each layer what goes into the activation, and what comes out.
    assert program.taken <= (2 * 6 + 2) * 512 * 128 * 4
    found = Runner(program).run(tuple(arrays))
    agree(graph, arrays, interpret(graph, arrays), found)


@pytest.mark.parametrize("limit", [0, 2, 100])
def test_what_could_take_too_much_is_not_interpreted(monkeypatch, caplog, limit):
    monkeypatch.setattr(settings, "memory_limit", limit)
    caplog.set_level("INFO", "plait.compile")
    x = plait.asarray(np.full((1000 + limit, 1024), 0.5, np.float32))
    y = plait.tanh(plait.exp(x)).sum().item()
    assert y == pytest.approx(x.size * np.tanh(np.exp(0.5)), rel=1e-4)
    assert ("there is a limit of memory" in caplog.text) == (limit == 2)

"""A function had stage by stage: its graph, its program, its machine code."""

import numpy as np
import pytest

import plait
from plait import errors
from plait.ir.text import from_text
from plait.ops import PRIMITIVES
from plait.runtime import Runner
from plait.settings import settings

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
W = np.linspace(0, 1, 8, dtype=np.float32).reshape(4, 2)


def layer(x, w, scale):
    return {"out": plait.tanh(x @ w) * scale, "sum": x.sum()}


@pytest.fixture(scope="module")
def traced():
    return plait.jit(layer).trace(X, W, 2.0)


@pytest.fixture(scope="module")
def lowered(traced):
    return traced.lower()


def test_a_traced_function_is_a_graph(traced):
    assert [node.type.shape for node in traced.graph.inputs] == [(3, 4), (4, 2), ()]
    read = from_text(traced.text(), PRIMITIVES)
    assert [node.primitive.name for node in read.nodes()] == [
        node.primitive.name for node in traced.graph.nodes()
    ]
    assert "tanh(" in traced.text("simplified")


def test_each_stage_is_text(lowered):
    count = len(lowered.program.kernels)
    assert lowered.text().startswith("program: 3 inputs, 2 outputs, ")
    for stage, word in (
        ("loops", 'kernel "'),
        ("llvm", "define void @kernel("),
        ("assembly", "ret"),
    ):
        whole = lowered.text(stage)
        assert whole.count(word) >= count
        parts = [lowered.text(stage, kernel) for kernel in range(count)]
        assert "\n".join(parts) == whole


def test_a_stage_or_kernel_that_is_not_there(traced, lowered):
    with pytest.raises(errors.ArgumentError, match="'schedule' or 'loops'"):
        lowered.text("loop")
    with pytest.raises(errors.ArgumentError, match="from 0 to"):
        lowered.text("llvm", 99)
    with pytest.raises(errors.ArgumentError, match="lower"):
        traced.text("llvm")


def test_a_compiled_function_gives_what_the_function_gives(lowered):
    compiled = lowered.compile()
    for factor in (1, 3):
        x = plait.asarray(factor * X)
        found = compiled(x, W, 0.5)
        expected = layer(x, plait.asarray(W), 0.5)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            np.testing.assert_allclose(found[key].numpy(), value.numpy(), rtol=1e-5)
    assert "ret" in compiled.text(0)


def test_a_compiled_function_keeps_to_its_types(lowered):
    compiled = lowered.compile()
    for arguments in ((X, W, 2), (X[:2], W, 2.0), (X.astype(np.float64), W, 2.0)):
        with pytest.raises(errors.ArgumentTypeError, match="other types"):
            compiled(*arguments)
    with pytest.raises(errors.ArgumentTypeError, match="structure"):
        compiled(X, W)
    with pytest.raises(errors.ArgumentTypeError, match="structure"):
        compiled(X, W, scale=2.0)


def test_tensors_from_outside_are_looked_at_when_it_is_called():
    w = plait.asarray(W)
    compiled = plait.jit(lambda x: x @ w).compile(X)
    before = compiled(X).numpy()
    with plait.no_grad():
        w *= 2
    np.testing.assert_allclose(compiled(X).numpy(), 2 * before, rtol=1e-6)


def test_an_index_that_is_wrong_has_its_error():
    compiled = plait.jit(plait.take).compile(X, np.array([0, 1]), axis=0)
    np.testing.assert_array_equal(compiled(X, np.array([2, 0]), axis=0), X[[2, 0]])
    with pytest.raises(errors.IndexingError):
        compiled(X, np.array([0, 3]), axis=0)


def test_a_graph_read_from_text_is_compiled(traced):
    read = plait.Traced.from_text(traced.text())
    out, total = read.lower().compile()(X, W, 2.0)
    expected = layer(plait.asarray(X), plait.asarray(W), 2.0)
    np.testing.assert_allclose(out.numpy(), expected["out"].numpy(), rtol=1e-5)
    np.testing.assert_allclose(total.numpy(), expected["sum"].numpy(), atol=1e-6)
    with pytest.raises(errors.ArgumentTypeError, match="3 of them"):
        read.lower().compile()(X, W)


def test_a_function_that_is_checked(monkeypatch):
    checked = plait.jit(lambda x: plait.exp(x).sum(0), check=True)
    expected = np.exp(X).sum(0)
    np.testing.assert_allclose(checked(X).numpy(), expected, rtol=1e-6)
    right = Runner.run

    def wrong(self, values, timeline=None):
        found = right(self, values, timeline)
        found[0][1] += 1
        return found

    monkeypatch.setattr(Runner, "run", wrong)
    with pytest.raises(errors.WrongResultError, match=r"1 of 4 elements, first at \(1"):
        checked(X)
    # In a function that is being recorded there is nothing to compare.
    outer = plait.jit(lambda x: checked(x) + 1)
    monkeypatch.setattr(settings, "execution", "interpret")
    np.testing.assert_allclose(outer(X).numpy(), expected + 1, rtol=1e-6)


def test_a_function_is_compiled_at_its_second_call(monkeypatch, caplog):
    monkeypatch.setattr(settings, "execution", "auto")
    caplog.set_level("INFO", "plait.compile")
    f = plait.jit(lambda x: plait.tanh(x @ x) * 2)
    x = np.eye(64, dtype=np.float32)
    f(x).numpy()
    assert not caplog.records
    f(x).numpy()
    assert "compiled because this is its run number 2: " in caplog.messages[0]
    f(x).numpy()
    assert len(caplog.records) == 1

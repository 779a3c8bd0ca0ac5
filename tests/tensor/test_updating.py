"""New values in the place of old ones, in one run."""

import sys
import threading

import numpy as np
import pytest

import plait
from plait import errors, nn, optim
from plait.tensor import execute, trie


def scaled(tensors, operands):
    return [x * operands[0] for x in tensors]


def test_tensors_stand_for_what_the_rule_returns():
    x, y = plait.tensor([1.0, 2.0]), plait.tensor(3.0)
    update = plait.updating(lambda tensors, k: [tensors[0] * k[0], tensors[1] + k[1]])
    for factor, offset, expected in ((2.0, 1.0, 4.0), (0.5, -1.0, 3.0)):
        before = np.array(x.numpy())
        update([x, y], [factor, plait.tensor(offset)])
        assert x.tolist() == list(before * factor)
        assert y.tolist() == expected


def test_what_was_recorded_before_sees_the_old_values():
    x = plait.tensor([1.0, 2.0])
    y = x * 3
    plait.updating(scaled)([x], [10.0])
    assert y._value is not None, "all that is recorded is run"
    assert (x.tolist(), y.tolist()) == ([10.0, 20.0], [3.0, 6.0])


@pytest.mark.parametrize("look", [True, False])
def test_a_leaf_stays_a_leaf_and_a_computed_tensor_becomes_a_constant(look):
    w = plait.tensor([1.0, 2.0], requires_grad=True)
    y = w * 3
    if look:
        y.tolist()
    plait.updating(scaled)([w, y], [2.0])
    assert w.is_leaf
    assert w.requires_grad
    assert not y.requires_grad
    (w * y).sum().backward()
    assert w.grad.tolist() == [6.0, 12.0]


def test_a_rule_that_hands_tensors_on():
    a, b = plait.tensor([1.0]), plait.tensor([2.0])
    w = plait.tensor([3.0], requires_grad=True)
    turn = plait.updating(lambda tensors, _: [*tensors[1:], tensors[0]])
    for expected in ([2, 3, 1], [3, 1, 2], [1, 2, 3]):
        turn([a, b, w])
        assert [a.item(), b.item(), w.item()] == expected
    assert not a.requires_grad


def test_one_value_for_two_tensors():
    a, b = plait.tensor([1.0]), plait.tensor([2.0])
    update = plait.updating(lambda tensors, _: [tensors[0] + tensors[1]] * 2)
    for expected in (3.0, 6.0, 12.0):
        update([a, b])
        assert (a.item(), b.item()) == (expected, expected)


def test_changed_numbers_record_nothing_new():
    x = plait.ones(2)
    update = plait.updating(scaled)
    for i in range(3):
        update([x], [i + 0.5])
    before = trie.roots.count
    update([x], [8.0])
    assert trie.roots.count == before
    assert x.tolist() == [0.5 * 1.5 * 2.5 * 8] * 2


def test_operands_may_be_trees():
    x = plait.ones(2)

    def moved(tensors, operands):
        (factor, (offset, count)), rest = operands
        return [tensors[0] * factor + offset * count + rest["by"]]

    update = plait.updating(moved)

    def run(factor, offset):
        by = plait.tensor([0.0, 1.0])
        update([x], [(factor, (np.float64(offset), 2)), {"by": by, "none": None}])

    expected = np.ones(2)
    for i in range(3):
        run(i + 0.5, i - 1.0)
        expected = expected * (i + 0.5) + (i - 1.0) * 2 + [0, 1]
        assert x.tolist() == list(expected)
    before = trie.roots.count
    run(3.0, 0.25)
    assert trie.roots.count == before
    assert x.tolist() == list(expected * 3 + [0.5, 1.5])


def test_the_operands_are_not_taken_for_tensors():
    a, b = plait.tensor([1.0]), plait.tensor([1.0])
    update = plait.updating(lambda tensors, k: [x + 1 for x in tensors])
    for _ in range(3):
        update([a, b])
        update([a], [b])
    assert (a.item(), b.item()) == (7.0, 4.0)


def test_no_tensors_at_all():
    x = plait.ones(2) * 2
    plait.updating(lambda tensors, _: tensors)([])
    assert x._value is not None


@pytest.mark.parametrize("times", [1, 2])
def test_nothing_changes_when_it_fails(times):
    m = plait.tensor([[4.0, 0.0], [0.0, 9.0]], requires_grad=True)
    n = plait.zeros((2, 2))
    late = plait.zeros(2) + 1
    root = plait.updating(
        lambda tensors, k: (
            [plait.linalg.cholesky(tensors[0] - k[0] * plait.eye(2))]
            + [x + 1 for x in tensors[1:]]
        )
    )
    for _ in range(times):
        other = m * 2
        with pytest.raises(errors.LinearAlgebraError, match="not positive definite"):
            root([m, n, late], [100.0])
        assert m._value is not None, "it is not computed again"
        assert m.tolist() == [[4.0, 0.0], [0.0, 9.0]]
        assert m.is_leaf
        assert m.requires_grad
        assert n.tolist() == [[0.0, 0.0], [0.0, 0.0]]
        assert late.tolist() == [1.0, 1.0]
        assert other.tolist() == [[8.0, 0.0], [0.0, 18.0]]
    root([m, n, late], [0.0])
    assert m.tolist() == [[2.0, 0.0], [0.0, 3.0]]
    assert late.tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        (lambda x, _: x[:1], errors.ArgumentError, r"one value for each.*1 for 2"),
        (lambda x, _: [x[0].sum(), x[1]], errors.ShapeError, r"\(\) for .* \(2,\)"),
        (lambda x, _: [x[0], x[1].long()], errors.DTypeError, "int64 for .* float32"),
    ],
)
def test_values_that_do_not_fit(rule, error, message):
    x, y = plait.ones(2), plait.ones(2)
    with pytest.raises(error, match=message):
        plait.updating(rule)([x, y])
    assert x.tolist() == y.tolist() == [1.0, 1.0]


def test_wrong_arguments():
    x = plait.ones(2)
    with pytest.raises(errors.ArgumentError, match="a tensor is given twice"):
        plait.updating(scaled)([x, x], [1.0])
    with pytest.raises(errors.ArgumentTypeError, match="cannot be part of a key"):
        plait.updating(scaled)([x], [{1.0}])
    with pytest.raises(errors.TracingError, match="given to jit"):
        plait.jit(lambda y: plait.updating(scaled)([x], [2.0]))(x)


# --- what is referred to while the new values are computed


def references(monkeypatch):
    """Return a dict: for each leaf that may be written over, how often it is held."""
    found = {}
    run = execute.Program.run

    def counted(self, values):
        found.clear()
        found.update((i, sys.getrefcount(values[i])) for i in self.donations)
        return run(self, values)

    monkeypatch.setattr(execute.Program, "run", counted)
    return found


OPTIMIZERS = {
    "sgd": (optim.SGD, {}, 1),
    "momentum": (optim.SGD, {"momentum": 0.9}, 2),
    "adam": (optim.Adam, {}, 3),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_training_step_is_handed_the_only_reference(monkeypatch, name):
    make, named, each = OPTIMIZERS[name]
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    optimizer = make(model.parameters(), lr=0.1, **named)
    x, y = plait.tensor(np.ones((5, 3), np.float32)), plait.arange(5) % 2
    found = references(monkeypatch)

    def step():
        optimizer.zero_grad()
        output = model(x)
        loss = plait.cross_entropy(output, y)
        loss.backward()
        optimizer.step()
        return loss.item()

    losses = [step() for _ in range(3)]
    assert losses[2] != losses[0]
    alone = sys.getrefcount([object()][0]) + 1  # the list's, and the argument's
    assert list(found.values()) == [alone] * 4 * each
    view = model[0].weight.numpy()
    before = view.copy()
    step()
    assert sorted(found.values()) == [alone] * (4 * each - 1) + [alone + 1]
    np.testing.assert_array_equal(view, before)


def test_what_derivatives_or_others_need_is_not_written_over(monkeypatch):
    w, x = plait.tensor([3.0], requires_grad=True), plait.tensor([2.0])
    update = plait.updating(scaled)
    found = references(monkeypatch)
    for _ in range(2):
        kept = w * w
        handed = x.detach()
        update([w, x], [2.0])
        assert not found
        old = w.item() / 2
        kept.sum().backward()
        assert w.grad.tolist() == [2 * old]
        assert handed.item() * 2 == x.item()
        w.grad = None


def test_other_threads_see_values_before_or_after():
    x, y = plait.zeros(1000), plait.zeros(1000)
    update = plait.updating(lambda tensors, _: [t + 1 for t in tensors])
    update([x, y])
    seen = []
    done = threading.Event()

    def look():
        while not done.is_set():
            seen.append(float(np.ptp(x.numpy())))
            seen.append(float(np.ptp((y * 2).numpy())))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(200):
            update([x, y])
    finally:
        done.set()
        thread.join(60)
    assert seen
    assert set(seen) == {0.0}
    assert x.tolist() == y.tolist() == [201.0] * 1000

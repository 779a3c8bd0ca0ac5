"""State dicts: what they hold, and how they are loaded."""

import numpy as np
import pytest

import plait
from plait import errors, nn


def model():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))


def copies(state):
    return {name: x.numpy().copy() for name, x in state.items()}


def same(state, before):
    assert list(state) == list(before)
    for name, x in state.items():
        np.testing.assert_array_equal(x.numpy(), before[name])


def test_a_state_does_not_follow_the_module():
    layer = nn.Linear(2, 2)
    state = layer.state_dict()
    before = copies(state)
    with plait.no_grad():
        layer.weight += 1
    same(state, before)
    assert not any(x.requires_grad for x in state.values())


def test_loading_sets_values_and_keeps_handles():
    source, target = model(), model()
    source(plait.ones(4, 2))
    handles = dict(target.named_parameters())
    keys = target.load_state_dict(source.state_dict())
    assert keys == ([], [])
    same(target.state_dict(), copies(source.state_dict()))
    for name, parameter in target.named_parameters():
        assert parameter is handles[name]
        assert parameter.requires_grad
        assert parameter.is_leaf
    target(plait.ones(4, 2)).sum().backward()
    assert target[0].weight.grad is not None


def test_values_are_cast_to_the_dtype_of_the_module():
    layer = nn.Linear(2, 2).half()
    state = {"weight": np.ones((2, 2)), "bias": plait.zeros(2, dtype=plait.float64)}
    layer.load_state_dict(state)
    assert layer.weight.dtype is plait.float16
    assert layer.weight.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_everything_that_does_not_fit_is_listed_and_nothing_changes():
    target = model()
    before = copies(target.state_dict())
    state = {name: x + 1 for name, x in target.state_dict().items()}
    del state["0.bias"]
    state["0.weight"] = plait.zeros(5)
    state["1.num_batches_tracked"] = plait.tensor(0.5)
    state["extra"] = plait.zeros(1)
    with pytest.raises(errors.StateDictError) as info:
        target.load_state_dict(state)
    text = str(info.value)
    assert "missing: 0.bias" in text
    assert "unexpected: extra" in text
    assert "0.weight (5,) instead of (3, 2)" in text
    assert "1.num_batches_tracked float32 instead of int64" in text
    with pytest.raises(errors.StateDictError, match="mis-shaped"):
        target.load_state_dict(state, strict=False)
    same(target.state_dict(), before)


def test_names_that_differ_may_be_passed_over():
    layer = nn.Linear(1, 1)
    keys = layer.load_state_dict({"weight": plait.ones(1, 1), "x": 3}, strict=False)
    assert keys.missing_keys == ["bias"]
    assert keys.unexpected_keys == ["x"]
    assert layer.weight.item() == 1.0


def test_a_prefix_is_pointed_out():
    layer = nn.Linear(1, 1)
    state = {f"module.{name}": x for name, x in layer.state_dict().items()}
    with pytest.raises(errors.StateDictError, match=r"take 'module\.' off the front"):
        layer.load_state_dict(state)


def test_long_lists_are_cut():
    with pytest.raises(errors.StateDictError, match="and 80 more"):
        nn.Module().load_state_dict({str(i): 0.0 for i in range(100)})


def test_what_is_no_state():
    with pytest.raises(errors.ArgumentTypeError, match=r"nn\.load_weights"):
        nn.Linear(1, 1).load_state_dict("model.safetensors")


def test_tied_parameters_have_all_their_names():
    tied = nn.Module()
    tied.a = nn.Linear(2, 2)
    tied.b = tied.a
    state = tied.state_dict()
    assert list(state) == ["a.weight", "a.bias", "b.weight", "b.bias"]
    tied.load_state_dict(state)
    assert tied.a.weight is tied.b.weight
    assert len(list(tied.parameters())) == 2

"""Lazy layers: before, at and after their first call."""

import copy
import inspect
import pickle

import numpy as np
import pytest

import plait
from plait import nn, optim
from plait.errors import (
    ArgumentError,
    ArgumentTypeError,
    ShapeError,
    StateDictError,
    TracingError,
)
from plait.nn.lazy import LazyModule

LAZY = {
    name: getattr(nn, name)
    for name in nn.__all__
    if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), LazyModule)
}
NO_SHAPE = (
    "[Parameter] it has no shape and no values yet: the first call of its layer "
    "decides them. Fix: call the model once, on an example."
)


def net():
    return nn.Sequential(
        nn.LazyConv2d(4, 3, groups=2), nn.LazyBatchNorm2d(), nn.Flatten(),
        nn.LazyLinear(2),
    )  # fmt: skip


def full():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, groups=2), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2)
    )


@pytest.mark.parametrize("name", LAZY)
def test_it_becomes_the_ordinary_layer(name):
    layer_class = LAZY[name]
    ordinary = getattr(nn, name.removeprefix("Lazy"))
    sample = layer_class.samples()[0]
    plait.manual_seed(1)
    lazy = layer_class(**sample.named)
    assert isinstance(lazy, ordinary)
    assert lazy.has_uninitialized_params()
    assert repr(lazy).startswith(name + "(")
    held = dict(lazy.named_parameters())
    x = plait.tensor(sample.inputs[0]).float()
    found = lazy(x)
    assert type(lazy) is ordinary
    assert all(lazy.get_parameter(n) is p for n, p in held.items())
    assert {type(p) for p in held.values()} <= {nn.Parameter}
    assert {type(b) for b in lazy.buffers()} <= {nn.Buffer}
    plait.manual_seed(1)
    given = {**layer_class.defaults, **sample.named}
    twin = ordinary(**given, **{layer_class.learned: getattr(lazy, lazy_size(lazy))})
    assert repr(twin) == repr(lazy)
    np.testing.assert_array_equal(twin(x).numpy(), found.numpy())
    assert vars(twin).keys() == vars(lazy).keys()


def lazy_size(layer):
    names = ("in_features", "in_channels", "num_features")
    return next(name for name in names if hasattr(layer, name))


def test_before_the_first_call():
    layer = nn.LazyLinear(3)
    assert repr(layer) == "LazyLinear(in_features=0, out_features=3, bias=True)"
    weight = layer.weight
    assert isinstance(weight, nn.UninitializedParameter)
    assert repr(weight) == "UninitializedParameter(dtype=float32)"
    assert weight.requires_grad
    assert weight.is_leaf
    assert weight.dtype is plait.float32
    assert [n for n, _ in layer.named_parameters()] == ["weight", "bias"]
    looks = (
        lambda: weight.shape, lambda: weight + 1, lambda: 2 * weight, weight.numpy,
        lambda: plait.sum(weight), layer.state_dict, lambda: nn.init.ones_(weight),
        lambda: plait.zeros_like(weight), lambda: nn.LazyBatchNorm1d().weight.size,
    )  # fmt: skip
    for look in looks:
        with pytest.raises(ShapeError) as error:
            look()
        assert error.value.message == NO_SHAPE
    with pytest.raises(ShapeError, match=r"\[Buffer\] it has no shape"):
        print(nn.LazyBatchNorm1d().running_mean.shape)


def test_dtype_and_requires_grad_are_remembered():
    layer = nn.LazyLinear(3).to(plait.bfloat16)
    layer.weight.requires_grad_(False)
    layer(plait.ones(2, 4).bfloat16())
    assert layer.weight.dtype is layer.bias.dtype is plait.bfloat16
    assert not layer.weight.requires_grad
    assert layer.bias.requires_grad


def test_copies_before_the_first_call():
    for layer in (nn.LazyLinear(3), nn.LazyBatchNorm1d().double()):
        twins = copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))
        size = 4
        layer(plait.ones(2, size))
        for twin in twins:
            assert twin.has_uninitialized_params()
            size += 1
            twin(plait.ones(2, size))
            assert twin.weight.shape[-1] == size
            assert twin.weight.dtype is layer.weight.dtype
            assert [b.persistent for b in twin.buffers()] == [
                b.persistent for b in layer.buffers()
            ]


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_an_optimizer_made_before_trains_what_comes_to_be(kind):
    model = net()
    optimizer = kind(model.parameters(), lr=0.1)
    optimizer.zero_grad()
    model(plait.ones(3, 2, 4, 4)).square().sum().backward()
    before = model[3].weight.numpy().copy()
    optimizer.step()
    assert (model[3].weight.numpy() != before).any()


def test_a_state_dict_decides_too():
    model, values = net(), full().state_dict()
    held = list(model.parameters())
    assert model.load_state_dict(values) == ([], [])
    assert repr(model) == repr(full())
    assert all(a is b for a, b in zip(held, model.parameters(), strict=True))
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), values[name].numpy())


def test_nothing_is_changed_if_values_do_not_fit():
    model, values = net(), full().state_dict()
    text = repr(model)
    with pytest.raises(StateDictError, match=r"3.bias \(7,\) instead of \(2,\)"):
        model.load_state_dict({**values, "3.bias": plait.ones(7)})
    assert repr(model) == text
    with pytest.raises(StateDictError, match="bias of a layer that has no shape yet"):
        nn.LazyLinear(2).load_state_dict({"bias": plait.ones(2)}, strict=False)
    loaded = model.load_state_dict({"3.weight": values["3.weight"]}, strict=False)
    assert "3.bias" in loaded.missing_keys
    assert type(model[3]) is nn.Linear
    assert type(model[0]) is nn.LazyConv2d


def test_where_the_first_call_cannot_be():
    layer = nn.LazyLinear(2)
    for function in (plait.jit(lambda x: layer(x)), plait.vmap(layer)):
        with pytest.raises(TracingError) as error:
            function(plait.ones(3, 4))
        assert error.value.message == (
            "[LazyLinear] the first call of a lazy layer makes its parameters, which "
            "cannot be recorded. Fix: call the model once, on an example, outside of "
            "jit and vmap."
        )
    with pytest.raises(ArgumentError, match="makes its parameters, so none can be"):
        nn.functional_call(layer, {"weight": plait.ones(2, 4)}, plait.ones(3, 4))
    assert layer.has_uninitialized_params()
    gradient = plait.grad(lambda x: layer(x).sum())(plait.ones(3, 4))
    np.testing.assert_allclose(
        gradient.numpy(), np.tile(layer.weight.numpy().sum(0), (3, 1)), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (nn.LazyLinear, ArgumentTypeError,
         "[LazyLinear] an argument is missing. Got: no out_features. Expected: "
         "LazyLinear(out_features, bias=True, device=None, dtype=None)."),
        (lambda: nn.LazyConv2d(3, 0), ArgumentError,
         "[Conv2d] kernel_size does not fit. Got: kernel_size=0 for 2 spatial axes. "
         "Expected: an integer of at least 1, or one for each spatial axis."),
        (lambda: nn.LazyConv2d(3, 2)(plait.ones(2, 3)), ShapeError,
         "[LazyConv2d] the input does not fit. Got: shape (2, 3). Expected: "
         "(n, channels, height, width) or (channels, height, width)."),
        (lambda: nn.LazyBatchNorm2d()(plait.ones(2, 3)), ShapeError,
         "[LazyBatchNorm2d] the input does not fit. Got: shape (2, 3) for "
         "num_features=None. Expected: (n, num_features, ..., ...)."),
        (lambda: nn.LazyLinear(2)(plait.ones(())), ShapeError,
         "[LazyLinear] the input has no axis -1. Got: shape ()."),
    ],
)  # fmt: skip
def test_wrong_arguments(make, kind, message):
    with pytest.raises(kind) as error:
        make()
    assert error.value.message == message


def test_any_layer_can_be_lazy():
    class LazyPReLU(LazyModule, nn.PReLU):
        learned = "num_parameters"
        axis = 1

    layer = LazyPReLU(init=0.5)
    assert layer(-plait.ones(2, 3, 4)).numpy().tolist() == [[[-0.5] * 4] * 3] * 2
    assert type(layer) is nn.PReLU
    assert layer.weight.shape == (3,)
    signature = inspect.signature(nn.LazyConv1d)
    assert "in_channels" not in signature.parameters
    assert "out_channels" in signature.parameters


def test_making_one_draws_nothing():
    before = plait.random.default_generator.state_dict()
    nn.LazyLinear(3)
    assert plait.random.default_generator.state_dict() == before

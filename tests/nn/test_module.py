"""Modules: what they own, names and order, calls and hooks, conversions, copies."""

import copy
import pickle

import numpy as np
import pytest

import plait
from plait import errors, nn

try:
    import torch
except ImportError:  # the comparisons with PyTorch are skipped
    torch = None


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.scale = nn.Parameter(np.ones(2))

    def forward(self, x):
        return self.linear(x) * self.scale


class Outer(nn.Module):
    """Owns things of every kind, assigned in no good order."""

    def __init__(self):
        super().__init__()
        self.first = Inner()
        self.register_buffer("seen", plait.zeros(2))
        self.register_buffer("scratch", plait.zeros(2), persistent=False)
        self.weight = nn.Parameter(np.ones((2, 2)))
        self.layers = nn.ModuleList([nn.Linear(2, 2), Inner()])
        self.register_parameter("bias", None)
        self.tied = self.first.linear
        self.number = 3

    def forward(self, x):
        return self.first(x) @ self.weight


def named(*pairs):
    return [name for name, _ in pairs]


def test_names_are_in_the_order_of_pytorch():
    outer = Outer()
    assert named(*outer.named_parameters()) == [
        "weight",
        "first.scale",
        "first.linear.weight",
        "first.linear.bias",
        "layers.0.weight",
        "layers.0.bias",
        "layers.1.scale",
        "layers.1.linear.weight",
        "layers.1.linear.bias",
    ]
    assert named(*outer.named_buffers()) == ["seen", "scratch"]
    assert named(*outer.named_children()) == ["first", "layers", "tied"]
    assert named(*outer.named_modules()) == [
        "",
        "first",
        "first.linear",
        "layers",
        "layers.0",
        "layers.1",
        "layers.1.linear",
    ]
    assert list(outer.state_dict())[:3] == ["weight", "seen", "first.scale"]
    assert list(outer.state_dict())[-2:] == ["tied.weight", "tied.bias"]
    assert "scratch" not in outer.state_dict()
    assert "model.first.scale" in outer.state_dict(prefix="model.")


@pytest.mark.skipif(torch is None, reason="PyTorch is not installed")
def test_order_under_assignments_equals_pytorch():
    def build(framework, tensor):
        module = framework.Module()
        module.a = framework.Parameter(tensor)
        module.child = framework.Linear(1, 1)
        module.register_parameter("b", None)
        module.c = None
        module.register_buffer("kept", tensor)
        module.d = framework.Parameter(tensor)
        module.b = framework.Parameter(tensor)
        module.c = framework.Parameter(tensor)
        module.a = None
        module.child = framework.Linear(1, 2)
        module.e = framework.Linear(1, 1)
        module.kept = None
        module.kept = tensor
        module.a = framework.Parameter(tensor)
        module.e = framework.Parameter(tensor)
        del module.d
        module.d = framework.Parameter(tensor)
        return list(module.state_dict())

    ours = build(nn, plait.zeros(1))
    assert ours == build(torch.nn, torch.zeros(1))


def test_attributes_are_plain():
    outer = Outer()
    assert outer.__dict__["weight"] is outer.weight
    assert outer.number == 3
    assert isinstance(outer.seen, nn.Buffer)
    assert outer.bias is None


def test_a_parameter_is_not_overwritten_by_another_tensor():
    layer = nn.Linear(2, 2)
    with pytest.raises(
        errors.ArgumentTypeError, match="'weight' is a Parameter"
    ) as info:
        layer.weight = plait.zeros(2, 2)
    assert "copy_" in str(info.value)
    with pytest.raises(errors.ArgumentTypeError, match="'weight' is a Parameter"):
        layer.weight = nn.Linear(1, 1)
    layer.bias = None
    assert named(*layer.named_parameters()) == ["weight"]
    layer.bias = nn.Parameter(plait.zeros(2))
    assert named(*layer.named_parameters()) == ["weight", "bias"]


def test_a_module_is_not_overwritten_by_something_else():
    outer = Outer()
    with pytest.raises(errors.ArgumentTypeError, match="'first' is a Module"):
        outer.first = 3


def test_a_buffer_stays_one():
    outer = Outer()
    outer.scratch = plait.ones(2)
    assert isinstance(outer.scratch, nn.Buffer)
    assert not outer.scratch.persistent
    with pytest.raises(errors.ArgumentTypeError, match="'scratch' is a Buffer"):
        outer.scratch = 3


def test_a_forgotten_call_of_super():
    class Forgetful(nn.Module):
        def __init__(self):
            self.linear = nn.Linear(1, 1)

    with pytest.raises(errors.ArgumentError, match=r"super\(\).__init__\(\)"):
        Forgetful()


def test_a_forgotten_forward():
    with pytest.raises(NotImplementedError, match="Module defines no forward"):
        nn.Module()(1)


def test_registering():
    module = nn.Module()
    module.register_parameter("0", nn.Parameter(plait.zeros(1)))
    module.add_module("a-b", nn.Linear(1, 1))
    module.register_module("none", None)
    assert list(module.state_dict()) == ["0", "a-b.weight", "a-b.bias"]
    for name in ("", "a.b", 3):
        with pytest.raises(errors.ArgumentError, match="cannot be the name"):
            module.add_module(name, nn.Linear(1, 1))
    with pytest.raises(errors.ArgumentError, match="another attribute"):
        module.add_module("forward", nn.Linear(1, 1))
    with pytest.raises(errors.ArgumentTypeError, match="'x' is a Parameter"):
        module.register_parameter("x", plait.zeros(1))
    with pytest.raises(errors.ArgumentTypeError, match="'x' is a Module"):
        module.add_module("x", plait.zeros(1))


def test_things_by_path():
    outer = Outer()
    assert outer.get_submodule("") is outer
    assert outer.get_submodule("layers.1.linear") is outer.layers[1].linear
    assert outer.get_parameter("first.linear.weight") is outer.first.linear.weight
    assert outer.get_buffer("seen") is outer.seen
    with pytest.raises(errors.ArgumentError, match="no 'x' in 'first'"):
        outer.get_submodule("first.x.y")
    with pytest.raises(errors.ArgumentError, match="'weight', a Parameter"):
        outer.get_submodule("weight")
    with pytest.raises(errors.ArgumentError, match="no 'number' in this module"):
        outer.get_parameter("number")


def test_a_cycle_does_not_hang():
    module = nn.Module()
    module.child = nn.Module()
    module.child.parent = module
    module.weight = nn.Parameter(plait.zeros(1))
    assert list(module.state_dict()) == ["weight"]
    assert len(list(module.modules())) == 2


# Calls


def test_the_path_of_the_layer_stands_in_an_error():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([Inner(), nn.Sequential(nn.ReLU(), Inner())])

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    with pytest.raises(errors.ShapeError) as info:
        Model()(plait.ones(5, 3))
    lines = str(info.value).splitlines()
    assert "input (5, 2), weight (2, 3)" in lines[0]
    assert lines[1].endswith(
        f"test_module.py:{Inner.forward.__code__.co_firstlineno + 1}"
    )
    assert lines[2] == "  in layer layers.1.1.linear"
    assert info.value.layer == "layers.1.1.linear"


def test_an_error_of_a_layer_that_is_not_owned():
    class Model(nn.Module):
        def forward(self, x):
            return Inner()(x)

    model = nn.Sequential(Model())
    with pytest.raises(errors.ShapeError) as info:
        model(plait.ones(5, 2))
    assert info.value.layer == "0.Inner.linear"


def test_other_errors_pass_unchanged():
    class Model(nn.Module):
        def forward(self, x):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        nn.Sequential(Model())(1)


def test_hooks_see_and_change_arguments_and_results():
    layer = nn.Identity()
    seen = []

    def double(module, args):
        seen.append(("before", module is layer, args[0].item()))
        return args[0] * 2

    def add(module, args, result):
        seen.append(("after", module is layer, result.item()))
        return result + 1

    before = layer.register_forward_pre_hook(double)
    after = layer.register_forward_hook(add)
    assert layer(plait.tensor(3.0)).item() == 7.0
    assert seen == [("before", True, 3.0), ("after", True, 6.0)]
    before.remove()
    before.remove()
    assert layer(plait.tensor(3.0)).item() == 4.0
    after.remove()
    assert layer(plait.tensor(3.0)).item() == 3.0


def test_hooks_in_order_and_with_keyword_arguments():
    class Power(nn.Module):
        def forward(self, x, exponent=1):
            return x**exponent

    layer = Power()
    order = []
    layer.register_forward_pre_hook(lambda *_: order.append("second"))
    layer.register_forward_pre_hook(
        lambda module, args, named: order.append("first") or (args, {"exponent": 3}),
        prepend=True,
        with_kwargs=True,
    )
    layer.register_forward_hook(
        lambda module, args, named, result: result + named["exponent"], with_kwargs=True
    )
    assert layer(plait.tensor(2.0), exponent=2).item() == 11.0
    assert order == ["first", "second"]


# Changing all that is inside


def test_modes_reach_everything_inside():
    outer = Outer()
    assert outer.training
    assert outer.eval() is outer
    assert not any(module.training for module in outer.modules())
    outer.first.train()
    assert outer.first.linear.training
    assert not outer.training


def test_apply_visits_children_first():
    order = []
    outer = Outer()
    assert outer.apply(lambda module: order.append(type(module).__name__)) is outer
    assert order[-1] == "Outer"
    assert order[:2] == ["Linear", "Inner"]


def test_gradients_are_forgotten_or_zeroed():
    inner = Inner().double()
    inner(plait.ones(1, 3, dtype=plait.float64)).sum().backward()
    assert inner.scale.grad is not None
    inner.zero_grad(set_to_none=False)
    assert inner.scale.grad.tolist() == [0.0, 0.0]
    inner.zero_grad()
    assert inner.scale.grad is None
    inner.requires_grad_(False)
    assert not any(parameter.requires_grad for parameter in inner.parameters())


@pytest.mark.parametrize(
    ("convert", "dtype"),
    [
        (lambda module: module.half(), plait.float16),
        (lambda module: module.bfloat16(), plait.bfloat16),
        (lambda module: module.float(), plait.float32),
        (lambda module: module.double(), plait.float64),
        (lambda module: module.to("float16"), plait.float16),
        (lambda module: module.to("cpu", dtype=plait.float16), plait.float16),
        (lambda module: module.to(plait.zeros(1, dtype="float16")), plait.float16),
    ],
)
def test_conversions_keep_the_handles(convert, dtype):
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    parameters = list(module.parameters())
    module(plait.ones(4, 3)).sum().backward()
    assert convert(module) is module
    assert list(map(id, module.parameters())) == list(map(id, parameters))
    for tensor in (*parameters, module[1].running_mean):
        assert tensor.dtype is dtype
    for parameter in parameters:
        assert parameter.requires_grad
        assert parameter.is_leaf
        assert parameter.grad.dtype is dtype
    assert module[1].num_batches_tracked.dtype is plait.int64
    module(plait.ones(4, 3, dtype=dtype)).sum().backward()


def test_conversions_to_what_is_no_float():
    with pytest.raises(errors.ArgumentError, match="only be converted to a floating"):
        nn.Linear(1, 1).to(plait.int32)
    with pytest.raises(errors.DeviceError):
        nn.Linear(1, 1).to("cuda:7")


# Parameters, buffers, copies, text


def test_parameters_from_all_kinds_of_data():
    for data in ([1.0, 2.0], np.array([1.0, 2.0]), plait.tensor([1.0, 2.0])):
        parameter = nn.Parameter(data)
        assert parameter.tolist() == [1.0, 2.0]
        assert parameter.requires_grad
        assert parameter.is_leaf
    computed = nn.Parameter(parameter * 2)
    assert computed.is_leaf
    computed.sum().backward()
    assert parameter.grad is None
    assert not nn.Parameter([1.0], requires_grad=False).requires_grad
    with pytest.raises(errors.DTypeError):
        nn.Parameter([1, 2])
    assert repr(parameter).startswith("Parameter containing:\ntensor([1., 2.]")
    assert repr(nn.Buffer([1.0])).startswith("Buffer containing:\ntensor([1.]")


def test_a_parameter_does_not_follow_the_tensor_it_was_made_of():
    source = plait.tensor([1.0, 2.0])
    parameter = nn.Parameter(source)
    source += 1
    with plait.no_grad():
        parameter *= 5
    assert parameter.tolist() == [5.0, 10.0]
    assert source.tolist() == [2.0, 3.0]
    assert isinstance(parameter, nn.Parameter)


def test_results_of_ops_are_plain_tensors():
    assert type(nn.Parameter([1.0]) * 2) is plait.Tensor
    assert type(nn.Buffer([1.0]) * 2) is plait.Tensor


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))]
)
def test_copies_are_whole_and_apart(copied):
    outer = Outer().eval()
    outer.weight.requires_grad_(False)
    twin = copied(outer)
    assert list(twin.state_dict()) == list(outer.state_dict())
    assert not twin.training
    assert not twin.weight.requires_grad
    assert not twin.scratch.persistent
    assert twin.tied is twin.first.linear
    twin.seen += 1
    assert outer.seen.tolist() == [0.0, 0.0]
    x = plait.ones(2, 3)
    np.testing.assert_array_equal(outer(x).numpy(), twin(x).numpy())


@pytest.mark.skipif(torch is None, reason="PyTorch is not installed")
def test_text_is_that_of_pytorch():
    def build(framework):
        return framework.Sequential(
            framework.Linear(2, 3, bias=False),
            framework.Sequential(framework.ReLU(), framework.ELU(0.5)),
            framework.ModuleList([framework.Dropout(0.1)]),
            framework.Embedding(3, 4, padding_idx=0),
        )

    assert repr(build(nn)) == repr(build(torch.nn))


def test_the_contents_of_parameter_lists_stand_in_the_text():
    module = nn.Module()
    module.list = nn.ParameterList([plait.zeros(2), plait.zeros(3)])
    assert repr(module) == (
        "Module(\n  (list): ParameterList(\n"
        "    (0): Parameter of shape (2,), float32\n"
        "    (1): Parameter of shape (3,), float32\n  )\n)"
    )


# Modules at paths, and state dicts with other terms


def test_a_module_is_put_at_a_path():
    outer = Outer()
    new = nn.Identity()
    outer.set_submodule("first.linear", new)
    assert outer.first.linear is new
    outer.set_submodule("added", new)
    assert outer.get_submodule("added") is new
    with pytest.raises(
        plait.errors.ArgumentError, match="there is no Module of this name"
    ):
        outer.set_submodule("first.other", new, strict=True)
    with pytest.raises(plait.errors.ArgumentError, match="no 'none' in this module"):
        outer.set_submodule("none.linear", new)


def test_state_dicts_of_what_is_owned_itself():
    layer = nn.Linear(2, 3)
    kept = layer.state_dict(keep_vars=True)
    assert kept["weight"] is layer.weight
    assert not layer.state_dict()["weight"].requires_grad


def test_values_may_keep_their_dtypes():
    layer = nn.Linear(2, 3)
    weight = layer.weight
    values = {n: x.to(plait.float64) for n, x in layer.state_dict().items()}
    layer.load_state_dict(values, assign=True)
    assert layer.weight is weight
    assert weight.dtype is plait.float64
    assert weight.requires_grad
    assert layer.cpu().load_state_dict(nn.Linear(2, 3).state_dict()) == ([], [])
    assert weight.dtype is plait.float64

"""Every layer, by the samples that it gives of itself."""

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import plait
from plait import nn
from plait.nn.lazy import LazyModule
from plait.trees import flatten, tree_map, unflatten

try:
    import torch
except ImportError:  # the comparisons with PyTorch are skipped
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")

NOT_CALLED = {"Module", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"}
LAYERS = {
    name: getattr(nn, name)
    for name in nn.__all__
    if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module)
}
CASES = [
    pytest.param(name, sample, id=f"{name}-{i}")
    for name, layer in LAYERS.items()
    if name not in NOT_CALLED
    for i, sample in enumerate(layer.samples())
]
every_sample = pytest.mark.parametrize(("name", "sample"), CASES)


def test_every_layer_gives_samples():
    assert [n for n in LAYERS if n not in NOT_CALLED and not LAYERS[n].samples()] == []
    assert [n for n in NOT_CALLED if hasattr(LAYERS[n], "samples")] == []


def make(name: str, sample: nn.Sample, seed: int = 0) -> nn.Module:
    plait.manual_seed(seed)
    args = [copy.deepcopy(arg) for arg in sample.args]
    named = {
        key: plait.tensor(value) if isinstance(value, np.ndarray) else value
        for key, value in sample.named.items()
    }
    layer: nn.Module = LAYERS[name](*args, **named)
    if isinstance(layer, LazyModule):  # what it becomes
        layer.double().eval()(*tree_map(plait.tensor, sample.inputs))
        layer.train()
    # Other than the initial values, which may be all 0 or 1.
    rng = np.random.default_rng(seed)
    for parameter in layer.parameters():
        parameter.data = plait.tensor(rng.normal(0, 0.5, parameter.shape))
    return layer.double()


def arguments(sample: nn.Sample) -> Any:
    inputs = tree_map(plait.tensor, sample.inputs)
    for i in sample.wrt:
        leaves(inputs)[i].requires_grad_()
    return inputs


def leaves(tree: Any) -> list[Any]:
    return flatten(tree)[0]


def cotangents(results: list[Any]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=x.shape) for x in results]


def pull(results: list[Any], values: list[np.ndarray], tensor: Any) -> None:
    """Go backward from all results that depend on a variable."""
    products = [
        (x * tensor(value)).sum()
        for x, value in zip(results, values, strict=True)
        if x.requires_grad
    ]
    if products:
        sum(products).backward()


def call(layer: nn.Module, inputs: Any) -> Any:
    """Call a layer; what it draws is the same at every call."""
    plait.manual_seed(7)
    return layer(*inputs)


@every_sample
def test_dtype_follows_the_input(name, sample):
    shapes = set()
    for dtype in (plait.float64, plait.float32, plait.float16, plait.bfloat16):
        layer = make(name, sample).to(dtype)
        inputs = tree_map(
            lambda x, dtype=dtype: plait.tensor(
                x, dtype=dtype if x.dtype.kind == "f" else None
            ),
            sample.inputs,
        )
        results = leaves(call(layer, inputs))
        # Numbers of categories are integers.
        whole = not results[0].dtype.is_float
        assert results[0].dtype is (plait.int64 if whole else dtype)
        for result in results:
            # Positions are integers, masks are bool.
            assert result.dtype in (dtype, plait.int64, plait.bool)
            assert np.isfinite(result.to(plait.float64).numpy()).all()
        shapes.add(tuple(result.shape for result in results))
    assert len(shapes) == 1


@every_sample
def test_an_empty_batch_has_an_empty_result(name, sample):
    if not sample.separable:
        return
    for training in (True, False):
        layer = make(name, sample).train(training)
        state = {n: x.numpy().copy() for n, x in layer.state_dict().items()}
        empty = tree_map(lambda x: plait.tensor(x[:0]), sample.inputs)
        found = leaves(call(layer, empty))[0]
        whole = leaves(call(layer, tree_map(plait.tensor, sample.inputs)))[0]
        assert found.shape == (0, *whole.shape[1:])
        assert found.dtype is whole.dtype
        if not training:
            for key, x in layer.state_dict().items():
                np.testing.assert_array_equal(x.numpy(), state[key])


@every_sample
def test_gradients_are_those_of_finite_differences(name, sample):
    if not sample.smooth:
        return
    layer = make(name, sample)
    inputs = arguments(sample)
    state = {n: p.detach() for n, p in layer.named_parameters()}
    moving = {i: leaves(inputs)[i].detach() for i in sample.wrt}
    results = leaves(call(layer, inputs))
    values = cotangents(results)
    pull(results, values, plait.tensor)
    if not any(x.requires_grad for x in results):
        assert "Dropout" in name, "only a layer of constants depends on nothing"
    gradients = {i: leaves(inputs)[i].grad for i in moving}
    gradients |= {n: p.grad for n, p in layer.named_parameters()}
    rng = np.random.default_rng(1)

    def value(step, directions):
        parts, structure = flatten(inputs)
        changed = [x.detach() for x in parts]
        for i in moving:
            changed[i] = changed[i] + directions[i] * step
        own = {n: x + directions[n] * step for n, x in state.items()}
        plait.manual_seed(7)
        out = nn.functional_call(layer, own, unflatten(structure, changed))
        return sum(
            (x * plait.tensor(value)).sum().item()
            for x, value in zip(leaves(out), values, strict=True)
        )

    for _ in range(3):
        directions = {
            key: plait.tensor(rng.normal(size=x.shape))
            for key, x in {**moving, **state}.items()
        }
        step = 1e-5
        found = (value(step, directions) - value(-step, directions)) / (2 * step)
        expected = sum(
            (gradient * directions[key]).sum().item()
            for key, gradient in gradients.items()
            if gradient is not None
        )
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-7)


@needs_torch
@every_sample
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_equals_torch(name, sample, training):
    alike = "never" if sample.reference is not None else sample.like_torch
    if alike == "never" or (training and alike == "eval"):
        return
    layer = make(name, sample).train(training)
    args = [
        torch_layer(arg) if isinstance(arg, nn.Module) else arg for arg in sample.args
    ]
    named = {
        key: torch.tensor(value) if isinstance(value, np.ndarray) else value
        for key, value in sample.named.items()
    }
    theirs = getattr(torch.nn, name)(*args, **named).double()
    if issubclass(LAYERS[name], LazyModule):  # what it becomes, here too
        theirs.eval()(*tree_map(torch.tensor, sample.inputs))
    theirs.train(training)
    state = layer.state_dict()
    assert list(state) == list(theirs.state_dict())
    theirs.load_state_dict({n: torch.tensor(x.numpy()) for n, x in state.items()})

    inputs = arguments(sample)
    their_inputs = tree_map(torch.tensor, sample.inputs)
    for i in sample.wrt:
        leaves(their_inputs)[i].requires_grad_()
    results = leaves(call(layer, inputs))
    with warnings.catch_warnings():
        # "mean" of KLDivLoss is not the divergence of mathematics.
        warnings.simplefilter("ignore", UserWarning)
        expected = leaves(theirs(*their_inputs))
    for found, wanted in zip(results, expected, strict=True):
        close(found, wanted)
    values = cotangents(results)
    pull(expected, values, torch.tensor)
    pull(results, values, plait.tensor)
    for i in sample.wrt:
        own, their = leaves(inputs)[i].grad, leaves(their_inputs)[i].grad
        if their is None:
            assert own is None or not own.any()
        else:
            close(own, their)
    their_parameters = dict(theirs.named_parameters())
    for key, parameter in layer.named_parameters():
        close(parameter.grad, their_parameters[key].grad)
    for key, buffer in layer.named_buffers():
        close(buffer, dict(theirs.named_buffers())[key])


@pytest.mark.parametrize(
    ("name", "sample"),
    [case for case in CASES if case.values[1].reference is not None],
)
def test_equals_its_reference(name, sample):
    layer = make(name, sample).eval()
    inputs = tree_map(plait.tensor, sample.inputs)
    results = leaves(call(layer, inputs))
    expected = leaves(sample.reference(layer, *sample.inputs))
    for found, wanted in zip(results, expected, strict=True):
        assert found.shape == np.shape(wanted)
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-10, atol=1e-12)


def results_and_gradients(name, sample, training):
    layer = make(name, sample).float().train(training)
    inputs = tree_map(
        lambda x: plait.tensor(x, dtype=plait.float32 if x.dtype.kind == "f" else None),
        sample.inputs,
    )
    for i in sample.wrt:
        leaves(inputs)[i].requires_grad_()
    results = leaves(call(layer, inputs))
    pull(results, cotangents(results), lambda x: plait.tensor(x, dtype=plait.float32))
    found = [*results, *(leaves(inputs)[i].grad for i in sample.wrt)]
    found += [p.grad for p in layer.parameters()] + list(layer.buffers())
    return [None if x is None else x.numpy() for x in found]


@every_sample
def test_compiled_equals_interpreted(name, sample, monkeypatch):
    for training in (True, False):
        found = []
        for execution in ("interpret", "compile"):
            monkeypatch.setattr(plait.settings, "execution", execution)
            found.append(results_and_gradients(name, sample, training))
        for interpreted, compiled in zip(*found, strict=True):
            assert (interpreted is None) == (compiled is None)
            if interpreted is None:
                continue
            assert interpreted.dtype == compiled.dtype
            assert interpreted.shape == compiled.shape
            size = np.abs(interpreted).max(initial=0)
            np.testing.assert_allclose(
                compiled, interpreted, rtol=2e-5, atol=2e-5 * size + 1e-6
            )


def torch_layer(layer: nn.Module) -> Any:
    assert isinstance(layer, nn.Linear)
    return torch.nn.Linear(layer.in_features, layer.out_features)


def close(found: Any, expected: Any) -> None:
    assert found.shape == tuple(expected.shape)
    # PyTorch keeps some constants, such as 1 / 6, in 32 bits.
    np.testing.assert_allclose(
        found.numpy(), expected.detach().numpy(), rtol=1e-7, atol=1e-12
    )


def first(result: Any) -> Any:
    """Return the first of the tensors that a layer returns."""
    return leaves(result)[0]


def equal(found: list[Any], expected: list[Any]) -> None:
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_array_equal(x.numpy(), y.numpy())


@every_sample
def test_evaluation_mode_draws_and_changes_nothing(name, sample):
    layer = make(name, sample).eval()
    before = {n: x.numpy() for n, x in layer.state_dict().items()}
    draws = plait.random.default_generator.state_dict()
    first, second = (leaves(layer(*arguments(sample))) for _ in range(2))
    assert plait.random.default_generator.state_dict() == draws
    equal(first, second)
    for n, x in layer.state_dict().items():
        np.testing.assert_array_equal(x.numpy(), before[n])


@every_sample
def test_weights_survive_a_file(name, sample, tmp_path):
    layer = make(name, sample)
    call(layer, arguments(sample))  # so that running averages are not as new
    nn.save_weights(layer, tmp_path / "weights.safetensors")
    other = make(name, sample, seed=1)
    other.load_state_dict(nn.load_weights(tmp_path / "weights.safetensors"))
    inputs = arguments(sample)
    equal(leaves(layer.eval()(*inputs)), leaves(other.eval()(*inputs)))


@every_sample
def test_examples_are_treated_alone(name, sample):
    if not sample.separable:
        return
    layer = make(name, sample).eval()
    inputs = tree_map(plait.tensor, sample.inputs)
    whole = first(layer(*inputs)).numpy()
    if not len(whole):
        return

    def one(*parts):
        return first(layer(*tree_map(lambda x: x.unsqueeze(0), parts))).squeeze(0)

    mapped = plait.vmap(one)(*inputs).numpy()
    np.testing.assert_allclose(mapped, whole, rtol=1e-12, atol=1e-14)


@every_sample
def test_copies_and_text(name, sample):
    layer = make(name, sample).eval()
    assert repr(layer).startswith(f"{type(layer).__name__}(")
    inputs = arguments(sample)
    expected = leaves(layer(*inputs))
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(twin) == repr(layer)
        for n, parameter in twin.named_parameters():
            assert parameter is not layer.get_parameter(n)
        equal(leaves(twin(*inputs)), expected)


@pytest.mark.parametrize("name", [n for n in LAYERS if n not in NOT_CALLED])
def test_computes_under_autocast(name):
    """The values are those of float32 up to rounding, and so are the gradients."""
    sample = LAYERS[name].samples()[0]
    found = {}
    for low in (False, True):
        layer = make(name, sample).float()
        inputs = tree_map(plait.tensor, sample.inputs)
        inputs = tree_map(lambda x: x.float() if x.dtype.is_float else x, inputs)
        plait.manual_seed(1)
        with plait.autocast(enabled=low):
            results = [x for x in leaves(layer(*inputs)) if isinstance(x, plait.Tensor)]
        floats = [x.float() for x in results if x.dtype.is_float]
        pull(floats, cotangents(floats), lambda x: plait.tensor(x).float())
        found[low] = (floats, [p.grad for p in layer.parameters()])
    for wide, narrow in zip(found[False][0], found[True][0], strict=True):
        assert _off(narrow.numpy(), wide.numpy()) < 0.1
    for wide, narrow in zip(found[False][1], found[True][1], strict=True):
        assert (wide is None) == (narrow is None)
        if wide is not None:
            assert narrow.dtype is plait.float32
            assert _off(narrow.numpy(), wide.numpy()) < 0.3


def _off(found, expected):
    """Return how far a value is off, relative to its size."""
    return np.linalg.norm(found - expected) / max(np.linalg.norm(expected), 1e-2)

"""Every layer, by the samples that it gives of itself."""

import copy
import warnings
from typing import Any

import numpy as np
import pytest

import plait
from plait import nn

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
    # Other than the initial values, which may be all 0 or 1.
    rng = np.random.default_rng(seed)
    for parameter in layer.parameters():
        parameter.data = plait.tensor(rng.normal(0, 0.5, parameter.shape))
    return layer.double()


def arguments(sample: nn.Sample) -> list[Any]:
    inputs = [plait.tensor(x) for x in sample.inputs]
    for i in sample.wrt:
        inputs[i].requires_grad_()
    return inputs


def call(layer: nn.Module, inputs: list[Any]) -> Any:
    """Call a layer; what it draws is the same at every call."""
    plait.manual_seed(7)
    return layer(*inputs)


@every_sample
def test_dtype_follows_the_input(name, sample):
    shapes = set()
    for dtype in (plait.float64, plait.float32, plait.float16, plait.bfloat16):
        layer = make(name, sample).to(dtype)
        inputs = [
            plait.tensor(x, dtype=dtype if x.dtype.kind == "f" else None)
            for x in sample.inputs
        ]
        result = call(layer, inputs)
        assert result.dtype is dtype
        assert np.isfinite(result.to(plait.float64).numpy()).all()
        shapes.add(result.shape)
    assert len(shapes) == 1


@every_sample
def test_gradients_are_those_of_finite_differences(name, sample):
    if not sample.smooth:
        return
    layer = make(name, sample)
    inputs = arguments(sample)
    state = {n: p.detach() for n, p in layer.named_parameters()}
    moving = {i: inputs[i].detach() for i in sample.wrt}
    result = call(layer, inputs)
    rng = np.random.default_rng(0)
    cotangent = plait.tensor(rng.normal(size=result.shape))
    if result.requires_grad:
        result.backward(cotangent)
    else:
        assert name == "Dropout", "only a layer of constants depends on nothing"
    gradients = {i: inputs[i].grad for i in moving}
    gradients |= {n: p.grad for n, p in layer.named_parameters()}

    def value(step, directions):
        changed = [x.detach() for x in inputs]
        for i in moving:
            changed[i] = changed[i] + directions[i] * step
        own = {n: x + directions[n] * step for n, x in state.items()}
        plait.manual_seed(7)
        out = nn.functional_call(layer, own, tuple(changed))
        return (out * cotangent).sum().item()

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
    if sample.like_torch == "never" or (training and sample.like_torch == "eval"):
        return
    layer = make(name, sample).train(training)
    args = [
        torch_layer(arg) if isinstance(arg, nn.Module) else arg for arg in sample.args
    ]
    named = {
        key: torch.tensor(value) if isinstance(value, np.ndarray) else value
        for key, value in sample.named.items()
    }
    theirs = getattr(torch.nn, name)(*args, **named).double().train(training)
    state = layer.state_dict()
    assert list(state) == list(theirs.state_dict())
    theirs.load_state_dict({n: torch.tensor(x.numpy()) for n, x in state.items()})

    inputs = arguments(sample)
    their_inputs = [torch.tensor(x) for x in sample.inputs]
    for i in sample.wrt:
        their_inputs[i].requires_grad_()
    result = call(layer, inputs)
    with warnings.catch_warnings():
        # "mean" of KLDivLoss is not the divergence of mathematics.
        warnings.simplefilter("ignore", UserWarning)
        expected = theirs(*their_inputs)
    close(result, expected)
    cotangent = np.random.default_rng(0).normal(size=result.shape)
    if expected.requires_grad:
        expected.backward(torch.tensor(cotangent))
        result.backward(plait.tensor(cotangent))
    for i in sample.wrt:
        if their_inputs[i].grad is None:
            assert inputs[i].grad is None or not inputs[i].grad.any()
        else:
            close(inputs[i].grad, their_inputs[i].grad)
    their_parameters = dict(theirs.named_parameters())
    for key, parameter in layer.named_parameters():
        close(parameter.grad, their_parameters[key].grad)
    for key, buffer in layer.named_buffers():
        close(buffer, dict(theirs.named_buffers())[key])


def torch_layer(layer: nn.Module) -> Any:
    assert isinstance(layer, nn.Linear)
    return torch.nn.Linear(layer.in_features, layer.out_features)


def close(found: Any, expected: Any) -> None:
    assert found.shape == tuple(expected.shape)
    # PyTorch keeps some constants, such as 1 / 6, in 32 bits.
    np.testing.assert_allclose(
        found.numpy(), expected.detach().numpy(), rtol=1e-7, atol=1e-12
    )


@every_sample
def test_evaluation_mode_draws_and_changes_nothing(name, sample):
    layer = make(name, sample).eval()
    before = {n: x.numpy() for n, x in layer.state_dict().items()}
    draws = plait.random.default_generator.state_dict()
    first = layer(*arguments(sample)).numpy()
    second = layer(*arguments(sample)).numpy()
    assert plait.random.default_generator.state_dict() == draws
    np.testing.assert_array_equal(first, second)
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
    np.testing.assert_array_equal(
        layer.eval()(*inputs).numpy(), other.eval()(*inputs).numpy()
    )


@every_sample
def test_examples_are_treated_alone(name, sample):
    if not sample.separable:
        return
    layer = make(name, sample).eval()
    inputs = [plait.tensor(x) for x in sample.inputs]
    whole = layer(*inputs).numpy()
    if not len(whole):
        return

    def one(*parts):
        return layer(*[part.unsqueeze(0) for part in parts]).squeeze(0)

    mapped = plait.vmap(one)(*inputs).numpy()
    np.testing.assert_allclose(mapped, whole, rtol=1e-12, atol=1e-14)


@every_sample
def test_copies_and_text(name, sample):
    layer = make(name, sample).eval()
    twin = copy.deepcopy(layer)
    assert repr(twin) == repr(layer)
    assert repr(layer).startswith(f"{name}(")
    for n, parameter in twin.named_parameters():
        assert parameter is not layer.get_parameter(n)
    inputs = arguments(sample)
    np.testing.assert_array_equal(layer(*inputs).numpy(), twin(*inputs).numpy())

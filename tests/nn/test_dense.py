"""Linear maps of other kinds: adaptation, rounding, equations and errors."""

import numpy as np
import pytest

import plait
from plait import errors, nn

rng = np.random.default_rng(0)
X = plait.tensor(rng.normal(size=(6, 4)), dtype=plait.float32)


def same(found, expected):
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)


def test_low_rank_changes_nothing_at_first_and_can_be_merged():
    linear = nn.Linear(4, 3)
    layer = nn.LoRALinear.from_linear(linear, rank=2, alpha=8.0)
    same(layer(X), linear(X))
    trained = [n for n, x in layer.named_parameters() if x.requires_grad]
    assert trained == ["lora_a", "lora_b"]
    layer(X).square().sum().backward()
    assert layer.weight.grad is None
    assert layer.lora_b.grad.numpy().any()
    layer.lora_b.data = plait.tensor(rng.normal(size=(3, 2)), dtype=plait.float32)
    merged = layer.merged()
    assert type(merged) is nn.Linear
    same(merged(X), layer(X))
    assert abs(merged(X).numpy() - linear(X).numpy()).max() > 0.1
    layer.reset_parameters()
    assert not layer.lora_b.numpy().any()
    whole = nn.LoRALinear(4, 3, 1, bias=False, freeze=False)
    assert all(x.requires_grad for x in whole.parameters())
    same(whole.merged()(X), whole(X))


@pytest.mark.parametrize("threshold", [None, 0.2])
def test_rounded_weights_hand_their_gradient_to_the_real_ones(threshold):
    layer = nn.TernaryDense(4, 3, threshold, bias=False)
    ct = plait.tensor(rng.normal(size=(6, 3)), dtype=plait.float32)
    (layer(X) * ct).sum().backward()
    weight = layer.weight.numpy()
    through = ct.numpy().T @ X.numpy()
    if threshold is None:
        scale = abs(weight).mean()
        ternary = np.sign(weight) * (abs(weight) > scale / 2)
        # And through the scale, a mean of absolute values.
        own = (through * ternary).sum() * np.sign(weight) / weight.size
        through = scale * through + own
    np.testing.assert_allclose(layer.weight.grad.numpy(), through, rtol=1e-4, atol=1e-5)


def test_initial_values_of_an_equation():
    plait.manual_seed(0)
    layer = nn.EinsumDense("...ab,abc->...c", (8, 8, 16), "c")
    assert abs(layer.weight.numpy()).max() == pytest.approx(1 / 8, rel=0.01)
    assert layer.bias.shape == (16,)
    assert nn.EinsumDense("xa,ahb->hxb", (4, 2, 3), "h").bias.shape == (2, 1, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.EinsumDense("ab,bc", (4, 5)), r"Got: 'ab,bc'\. Expected: such as"),
        (lambda: nn.EinsumDense("ab->a", (4, 5)), "becomes of input and weight"),
        (lambda: nn.EinsumDense("ab,...bc->ac", (4, 5)), "becomes of input and weight"),
        (
            lambda: nn.EinsumDense("ab,bc->ac", (4, 5, 6)),
            r"weight_shape=\(4, 5, 6\) for 'bc'",
        ),
        (
            lambda: nn.EinsumDense("ab,bc->ac", (4, 5), "a"),
            r"bias_axes='a'\. Expected: letters of 'c'",
        ),
        (
            lambda: nn.EinsumDense("...b,bc->c...", (4, 5), "c"),
            "stands behind the dots",
        ),
        (lambda: nn.LoRALinear(4, 3, 0), "a rank of at least 1"),
        (lambda: nn.LoRALinear(4, 3, -1), "rank must be an integer of at least 0"),
        (lambda: nn.TernaryDense(4, 3, -1.0), "threshold=-1.0"),
    ],
)
def test_errors(make, message):
    with pytest.raises(errors.ArgumentError, match=message):
        make()

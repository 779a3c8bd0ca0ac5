"""Connectionist temporal classification, beyond what every layer is tested for."""

import numpy as np
import pytest

import plait
from plait import errors, nn

try:
    import torch
except ImportError:  # the comparisons with PyTorch are skipped
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")

rng = np.random.default_rng(0)
SCORES = rng.normal(size=(12, 4, 5))
TARGETS = rng.integers(1, 5, (4, 3))
STEPS = np.array([12, 9, 7, 12])
LABELS = np.array([3, 0, 2, 1])
ROW = np.concatenate([x[:n] for x, n in zip(TARGETS, LABELS, strict=True)])


def own(targets=TARGETS, steps=STEPS, labels=LABELS, **named):
    scores = plait.tensor(SCORES).requires_grad_()
    targets, steps, labels = (
        plait.tensor(x) if isinstance(x, np.ndarray) else x
        for x in (targets, steps, labels)
    )
    log_p = plait.log_softmax(scores, 2)
    return scores, nn.ctc_loss(log_p, targets, steps, labels, **named)


@needs_torch
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("targets", [TARGETS, ROW], ids=["padded", "in a row"])
@pytest.mark.parametrize("blank", [0, 4])
def test_equals_torch_after_a_softmax(targets, reduction, blank):
    targets = np.where(targets == blank, 1, targets)
    scores, loss = own(targets, reduction=reduction, blank=blank)
    theirs = torch.tensor(SCORES, requires_grad=True)
    expected = torch.nn.functional.ctc_loss(
        theirs.log_softmax(2), *map(torch.tensor, (targets, STEPS, LABELS)),
        reduction=reduction, blank=blank,
    )  # fmt: skip
    np.testing.assert_allclose(loss.numpy(), expected.detach().numpy(), rtol=1e-12)
    loss.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(scores.grad.numpy(), theirs.grad.numpy(), atol=1e-10)


def test_lengths_may_be_numbers_and_labels_in_a_row():
    _, expected = own(reduction="none")
    for targets in (TARGETS, ROW):
        _, found = own(targets, STEPS.tolist(), LABELS.tolist(), reduction="none")
        np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_one_sequence_has_no_axis_for_the_batch():
    _, expected = own(reduction="none")
    log_p = plait.log_softmax(plait.tensor(SCORES[:, 2]), 1)
    found = nn.ctc_loss(log_p, plait.tensor(TARGETS[2]), 7, 2, reduction="none")
    assert found.shape == ()
    assert found.item() == pytest.approx(expected[2].item(), rel=1e-14)


def test_what_follows_the_labels_is_not_looked_at():
    other = TARGETS.copy()
    other[2, 2] = other[3, 1:] = -100
    assert own(other)[1].item() == own()[1].item()


@pytest.mark.parametrize("zero", [False, True])
def test_labels_that_do_not_fit_have_no_probability_and_no_gradient(zero):
    steps = np.array([2, 9, 7, 0])
    scores, loss = own(steps=steps, reduction="none", zero_infinity=zero)
    worst = 0.0 if zero else np.inf
    np.testing.assert_array_equal(loss.numpy()[[0, 3]], [worst, worst])
    assert np.isfinite(loss.numpy()[1:3]).all()
    loss[1:3].sum().backward()
    gradient = scores.grad.numpy()
    assert np.isfinite(gradient).all()
    assert not gradient[:, [0, 3]].any()


def test_no_labels_in_no_steps_are_certain():
    _, loss = own(steps=np.array([12, 0, 7, 12]), reduction="none")
    assert loss[1].item() == 0


def test_a_label_that_is_no_class_is_an_error():
    bad = TARGETS.copy()
    bad[0, 0] = 5
    with pytest.raises(errors.IndexingError):
        own(bad)[1].item()


@pytest.mark.parametrize(
    ("named", "error", "message"),
    [
        ({"blank": 5}, errors.ArgumentError, "blank=5 of 5 classes"),
        (
            {"reduction": "all"},
            errors.ArgumentError,
            "reduction must be 'mean', 'sum' or 'none'",
        ),
        ({"steps": [13, 1, 1, 1]}, errors.ArgumentError, "0 or more, up to 12"),
        ({"labels": [4, 1, 1, 1]}, errors.ArgumentError, "0 or more, up to 3"),
        ({"labels": [1, 1]}, errors.ShapeError, r"target_lengths of shape \(2,\)"),
        ({"targets": ROW[:-1]}, errors.ShapeError, "5 labels, lengths with a sum of 6"),
        ({"targets": TARGETS[:2]}, errors.ShapeError, r"\(2, 3\) for 4 sequences"),
        ({"targets": TARGETS * 1.0}, errors.DTypeError, "float64"),
    ],
)
def test_errors(named, error, message):
    with pytest.raises(error, match=message):
        own(**named)


def test_a_loop_of_any_length_is_one_program():
    """Long sequences neither overflow nor take longer to record."""
    log_p = plait.log_softmax(plait.tensor(rng.normal(size=(600, 2, 4)) * 5), 2)
    loss = nn.ctc_loss(log_p, plait.tensor([[1, 2], [3, 3]]), [600, 400], [2, 2])
    assert np.isfinite(loss.item())


def test_the_best_path_is_decoded():
    classes = np.array([[1, 1, 0, 1, 2, 0], [0, 3, 3, 3, 0, 0], [0, 0, 0, 0, 0, 0]])
    chances = np.full((3, 6, 4), 0.1)
    np.put_along_axis(chances, classes[:, :, None], 0.7, 2)
    log_p = plait.tensor(np.log(chances).swapaxes(0, 1))
    labels, lengths, scores = nn.ctc_decode(log_p)
    assert lengths.tolist() == [3, 1, 0]
    assert labels[0].tolist() == [1, 1, 2, -1, -1, -1]
    assert labels[1].tolist() == [3, -1, -1, -1, -1, -1]
    assert labels[2].tolist() == [-1] * 6
    np.testing.assert_allclose(scores, 6 * np.log(0.7))
    labels, lengths, scores = nn.ctc_decode(log_p, plait.tensor([2, 6, 1]), blank=3)
    assert lengths.tolist() == [1, 2, 1]
    assert labels[1].tolist() == [0, 0, -1, -1, -1, -1]
    np.testing.assert_allclose(scores, np.log(0.7) * np.array([2, 6, 1]))


def test_what_cannot_be_decoded():
    log_p = plait.zeros((5, 2, 3))
    with pytest.raises(errors.ShapeError) as error:
        nn.ctc_decode(log_p[0])
    assert error.value.message == (
        "[ctc_decode] log_probs do not fit. Got: shape (2, 3). "
        "Expected: (steps, n, classes)."
    )
    with pytest.raises(errors.ArgumentError) as error:
        nn.ctc_decode(log_p, blank=3)
    assert error.value.message == (
        "[ctc_decode] blank is no class. Got: blank=3 of 3 classes."
    )
    with pytest.raises(errors.ArgumentError) as error:
        nn.ctc_decode(log_p, [5, 6])
    assert error.value.message == (
        "[ctc_decode] a length is out of range. Got: input_lengths=[5, 6]. "
        "Expected: 0 or more, up to 5."
    )

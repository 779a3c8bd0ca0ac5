"""Connectionist temporal classification: labels of a sequence without their times.

Read first: `ctc_loss`, `CTCLoss`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import Reduction, checked
from ..errors import ArgumentError, DTypeError, ShapeError
from .criterion import Criterion, reduced
from .sample import Sample, uniform

# The logarithm of what cannot be; finite, so that derivatives are numbers.
_NEVER = -1e30

Lengths = Tensor | Sequence[int] | int


@checked
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Lengths,
    target_lengths: Lengths,
    blank: int = 0,
    reduction: Reduction = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Return -log of the probability of labels, over all times at which they may stand.

    The probability is the sum over all paths of one class for each step, that are the
    labels once repetitions are merged and blanks are left out, of the product of the
    classes' probabilities; by one pass forward, in logarithms.

    Args:
        log_probs: logarithms of probabilities, shape (steps, n, classes), or (steps,
            classes) for one sequence.
        targets: labels, integers of shape (n, labels), where what follows a sequence's
            own labels is not looked at; or all labels in a row, shape (labels,).
            For one sequence: shape (labels,).
        input_lengths: how many steps each sequence has, shape (n,); numbers or tensors.
        target_lengths: how many labels each sequence has, shape (n,).
        blank: the class that stands for no label.
        reduction: "mean" of the losses, each divided by its number of labels (at least
            1); "sum" of the losses; or "none".
        zero_infinity: give 0 for labels that do not fit into the steps.

    Returns:
        A scalar, or shape (n,) for "none".

    Raises:
        ShapeError: the shapes do not fit.
        DTypeError: the labels are not integers.
        ArgumentError: a length or `blank` is out of range, or there is no such
            reduction. Lengths that are tensors are not looked at.
        IndexingError: at run time, a label is no class.

    Special cases: infinite, with a gradient of 0, if the labels do not fit.

    Source: A. Graves et al., "Connectionist temporal classification: labelling
    unsegmented sequence data with recurrent neural networks", 2006.
    """
    if log_probs.ndim not in (2, 3):
        raise ShapeError(
            "[ctc_loss] log_probs do not fit",
            got=f"shape {log_probs.shape}",
            expected="(steps, n, classes) or (steps, classes)",
        )
    if not targets.dtype.is_integer:
        raise DTypeError("[ctc_loss] labels are integers", got=targets.dtype.name)
    single = log_probs.ndim == 2
    if single:
        log_probs = log_probs.unsqueeze(1)
        targets = targets.reshape(1, -1)
    steps, n, classes = log_probs.shape
    if not steps:
        raise ShapeError("[ctc_loss] there is no step", got=f"{log_probs.shape}")
    if not 0 <= blank < classes:
        raise ArgumentError(
            "[ctc_loss] blank is no class", got=f"blank={blank} of {classes} classes"
        )
    inputs = _lengths("input_lengths", input_lengths, n, steps)
    labels = _lengths("target_lengths", target_lengths, n, None)
    padded = _padded(targets, labels, n)
    if not isinstance(target_lengths, Tensor):
        _lengths("target_lengths", target_lengths, n, padded.shape[1])
    loss = _negative_log_likelihood(log_probs, padded, inputs, labels, blank)
    impossible = loss > -_NEVER / 10
    loss = plait.where(impossible, 0.0 if zero_infinity else float("inf"), loss)
    if reduction == "mean":
        loss = loss / plait.maximum(labels, 1).to(loss.dtype)
    if single and reduction == "none":
        loss = loss.squeeze(0)
    return reduced(loss, reduction).to(log_probs.dtype)


@checked
def ctc_decode(
    log_probs: Tensor, input_lengths: Lengths | None = None, blank: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the labels of the most probable path: of the best class of each step.

    Repetitions are merged and blanks are left out. It is the path that is the most
    probable, not always the labels, which may have many paths.

    Args:
        log_probs: logarithms of probabilities, shape (steps, n, classes), as in
            `ctc_loss`.
        input_lengths: how many steps each sequence has, shape (n,). Default: all.
        blank: the class that stands for no label.

    Returns:
        The labels, shape (n, steps), with -1 behind the last; how many there are, shape
        (n,); and the logarithm of the path's probability, shape (n,).

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: a length or `blank` is out of range. Lengths that are tensors are
            not looked at.

    Source: A. Graves et al., "Connectionist temporal classification: labelling
    unsegmented sequence data with recurrent neural networks", 2006.
    """
    if log_probs.ndim != 3 or 0 in log_probs.shape[::2]:
        raise ShapeError(
            "[ctc_decode] log_probs do not fit",
            got=f"shape {log_probs.shape}",
            expected="(steps, n, classes)",
        )
    steps, n, classes = log_probs.shape
    if not 0 <= blank < classes:
        raise ArgumentError(
            "[ctc_decode] blank is no class", got=f"blank={blank} of {classes} classes"
        )
    lengths = [steps] * n if input_lengths is None else input_lengths
    inputs = _lengths("input_lengths", lengths, n, steps, op="ctc_decode")
    running = plait.arange(steps) < inputs.unsqueeze(1)
    best = plait.argmax(log_probs, axis=2).T
    before = plait.pad(best, ((0, 0), (1, 0)), value=-1)[:, :steps]
    kept = running & (best != blank) & (best != before)
    place = plait.cumulative_sum(kept.long(), axis=1) - 1
    # What is left out goes behind all others, and is cut off.
    place = plait.where(kept, place, steps)
    none = plait.full((n, steps + 1), -1, dtype=plait.int64)
    labels = plait.put_along_axis(none, place, best, axis=1)[:, :steps]
    score = plait.where(running, plait.max(log_probs, axis=2).T, 0.0).sum(axis=1)
    return labels, kept.sum(axis=1), score


def _lengths(
    name: str, value: Lengths, n: int, most: int | None, op: str = "ctc_loss"
) -> Tensor:
    """Return lengths as integers of shape (n,)."""
    if not isinstance(value, Tensor):
        numbers = [value] if isinstance(value, int) else list(value)
        if any(x < 0 or (most is not None and x > most) for x in numbers):
            raise ArgumentError(
                f"[{op}] a length is out of range",
                got=f"{name}={value}",
                expected="0 or more" + ("" if most is None else f", up to {most}"),
            )
        value = plait.tensor(numbers, dtype=plait.int64)
    value = value.reshape(-1) if value.ndim == 0 else value
    if value.shape != (n,):
        raise ShapeError(
            f"[{op}] there must be a length for each sequence",
            got=f"{name} of shape {value.shape}",
            expected=f"({n},)",
        )
    return value.to(plait.int64)


def _padded(targets: Tensor, labels: Tensor, n: int) -> Tensor:
    """Return labels of shape (n, labels)."""
    if targets.ndim == 2 and targets.shape[0] == n:
        return targets.to(plait.int64)
    if targets.ndim != 1:
        raise ShapeError(
            "[ctc_loss] targets do not fit",
            got=f"shape {targets.shape} for {n} sequences",
            expected=f"({n}, labels), or all labels in a row",
        )
    # The widths of a shape must be known: these lengths are looked at.
    known = labels.numpy()
    if known.sum() != targets.shape[0]:
        raise ShapeError(
            "[ctc_loss] the lengths are not those of the labels",
            got=f"{targets.shape[0]} labels, lengths with a sum of {known.sum()}",
        )
    widest = int(known.max(initial=0))
    places = (known.cumsum() - known)[:, None] + np.arange(widest)
    if not widest:
        return plait.zeros((n, 0), dtype=plait.int64)
    places = places.clip(max=max(targets.shape[0] - 1, 0))
    return targets[plait.tensor(places)].to(plait.int64)


def _negative_log_likelihood(
    log_probs: Tensor, targets: Tensor, inputs: Tensor, labels: Tensor, blank: int
) -> Tensor:
    steps, n, _ = log_probs.shape
    if log_probs.dtype.itemsize < 4:
        log_probs = log_probs.float()
    states = 2 * targets.shape[1] + 1
    place = plait.arange(states)
    # Blanks stand before, between and behind the labels.
    used = plait.arange(targets.shape[1]) < labels.unsqueeze(1)
    own = plait.where(used, targets, blank)
    pairs = plait.stack([plait.full_like(own, blank), own], axis=2).reshape(n, -1)
    path = plait.concat([pairs, plait.full((n, 1), blank, dtype=plait.int64)], axis=1)
    # A blank between two labels may be left out unless they are equal.
    before = plait.pad(path, ((0, 0), (2, 0)), value=blank)[:, :states]
    skips = (path != blank) & (path != before)

    everywhere = plait.broadcast_to(path, (steps, *path.shape))
    emitted = plait.take_along_axis(log_probs, everywhere, axis=2)
    first = plait.where(place < 2, emitted[0], _NEVER)

    def step(alpha: Tensor, x: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[()]]:
        emitted, running = x
        one = plait.pad(alpha, ((0, 0), (1, 0)), value=_NEVER)[:, :states]
        two = plait.pad(alpha, ((0, 0), (2, 0)), value=_NEVER)[:, :states]
        two = plait.where(skips, two, _NEVER)
        top = plait.maximum(plait.maximum(alpha, one), two).detach()
        total = plait.exp(alpha - top) + plait.exp(one - top) + plait.exp(two - top)
        new = top + plait.log(total) + emitted
        return plait.where(running.unsqueeze(1), new, alpha), ()

    running = plait.arange(1, steps).unsqueeze(1) < inputs
    alpha, _ = plait.scan(step, first, (emitted[1:], running), length=steps - 1)
    last = 2 * labels.unsqueeze(1)
    ends = (place == last) | (place == last - 1)
    # Without a step, only no label at all is certain.
    total = plait.logsumexp(plait.where(ends, alpha, _NEVER), axis=1)
    nothing = plait.where(labels == 0, 0.0, _NEVER).to(total.dtype)
    return -plait.where(inputs == 0, nothing, total)


class CTCLoss(Criterion):
    """-log of the probability of labels, over all times at which they may stand.

    See `plait.nn.ctc_loss`.

    Args:
        blank: the class that stands for no label.
        reduction: "mean" of the losses, each divided by its number of labels; "sum" of
            the losses; or "none".
        zero_infinity: give 0 for labels that do not fit into the steps.

    Input: logarithms of probabilities, shape (steps, n, classes); labels, shape (n,
    labels) or all in a row; the number of steps and of labels of each sequence, shapes
    (n,). Result: a scalar, or shape (n,) for "none".

    Source: A. Graves et al., "Connectionist temporal classification: labelling
    unsegmented sequence data with recurrent neural networks", 2006.
    """

    _settings = ("blank", "zero_infinity")

    def __init__(
        self, blank: int = 0, reduction: Reduction = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(reduction)
        self.blank = blank
        self.zero_infinity = zero_infinity

    def forward(
        self,
        log_probs: Tensor,
        targets: Tensor,
        input_lengths: Lengths,
        target_lengths: Lengths,
    ) -> Tensor:
        return ctc_loss(
            log_probs, targets, input_lengths, target_lengths, **self._options()
        )

    @staticmethod
    def samples() -> list[Sample]:
        x = uniform(4, 3, 3, low=-3.0, high=-0.5)
        targets = np.array([[1, 2], [2, 2], [1, 0]])
        inputs, labels = np.array([4, 3, 2]), np.array([2, 2, 1])
        return [
            Sample(
                (x, targets, inputs, labels), named={"reduction": reduction},
                separable=False, reference=_by_hand,
            )
            for reduction in ("mean", "sum", "none")
        ]  # fmt: skip


def _by_hand(
    layer: CTCLoss,
    log_probs: np.ndarray,
    targets: np.ndarray,
    inputs: np.ndarray,
    labels: np.ndarray,
) -> Any:
    """Return the loss by looking at every path."""
    losses = []
    for i, (steps, count) in enumerate(zip(inputs, labels, strict=True)):
        total = 0.0
        for path in itertools.product(range(log_probs.shape[2]), repeat=steps):
            merged = [x for x, _ in itertools.groupby(path) if x != layer.blank]
            if merged == list(targets[i, :count]):
                total += np.exp(sum(log_probs[t, i, x] for t, x in enumerate(path)))
        losses.append(-np.log(total))
    found = np.array(losses)
    if layer.reduction == "none":
        return found
    return (found / labels).mean() if layer.reduction == "mean" else found.sum()

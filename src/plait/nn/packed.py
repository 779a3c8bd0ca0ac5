"""Batches of sequences of different lengths.

Shapes are part of a program, so a batch keeps its padded shape, and lengths beside it:
batches of one padded shape share one program, whatever their lengths. No example need
be sorted before another.

Read first: `PackedSequence`, `pack_padded_sequence`, `checked_lengths`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import plait
from plait import Tensor

from ..arguments import checked
from ..errors import ArgumentError, DTypeError, ShapeError, TracingError


class PackedSequence(NamedTuple):
    """Sequences of different lengths in one tensor.

    Layers for single steps are applied to all of them at once:
    `packed._replace(padded=layer(packed.padded))`. What lies beyond the end of an
    example has no meaning.

    Attributes:
        padded: shape (steps, batch, ...).
        lengths: int64, shape (batch,): how many steps of each example count.
    """

    padded: Tensor
    lengths: Tensor

    @property
    def batch_sizes(self) -> Tensor:
        """How many examples have a step 0, a step 1, and so on: shape (longest,)."""
        lengths = self.lengths.numpy()
        steps = np.arange(lengths.max())
        return plait.tensor((steps[:, None] < lengths).sum(1))

    @property
    def data(self) -> Tensor:
        """The steps that count, first those of time 0: shape (sum of lengths, ...).

        As in PyTorch, longer examples come before shorter ones. The shape depends on
        the lengths, so what is computed from it is another program for each batch.
        """
        lengths = self.lengths.numpy()
        order = np.argsort(-lengths, kind="stable")
        steps = np.arange(self.padded.shape[0])
        step, rank = np.nonzero(steps[:, None] < lengths[order])
        rows = plait.flatten(self.padded, 0, 1)
        places = step * lengths.size + order[rank]
        return plait.take(rows, plait.tensor(places), axis=0)


@checked
def pack_padded_sequence(
    input: Tensor,
    lengths: Tensor | Sequence[int],
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """Return padded sequences together with their lengths.

    Args:
        input: shape (steps, batch, ...), or (batch, steps, ...) if `batch_first`.
        lengths: integers in 1..steps, one for each example.
        enforce_sorted: has no effect, as examples may come in any order.

    Raises:
        ShapeError: `input` has no two axes, or there is not one length for an example.
        DTypeError: lengths are not integers.
        ArgumentError: a length is out of range. Lengths that are arguments of a
            function that is being recorded cannot be looked at, and are not checked.
    """
    _check_axes("pack_padded_sequence", input)
    padded = plait.moveaxis(input, 0, 1) if batch_first else input
    steps, batch = padded.shape[:2]
    return PackedSequence(
        padded, checked_lengths("pack_padded_sequence", lengths, steps, batch)
    )


@checked
def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the sequences with `padding_value` beyond their ends, and the lengths.

    Args:
        batch_first: put the batch before the steps.
        total_length: steps of the result. Default: as many as the longest example has,
            for which the lengths are looked at. With the padded size of the batch, all
            batches share one program.

    Raises:
        ArgumentError: `total_length` is less than the longest example.
        TracingError: no `total_length` is given where lengths cannot be looked at.
    """
    padded, lengths = sequence
    steps, longest = padded.shape[0], total_length
    known = _looked_at(lengths)
    if longest is None:
        longest = int(lengths.numpy().max())
    elif known is not None and longest < known.max():
        raise ArgumentError(
            "[pad_packed_sequence] total_length is less than the longest example",
            got=f"total_length={longest} for an example of {known.max()} steps",
        )
    if longest <= steps:
        padded = padded[:longest]
    else:
        beyond = plait.zeros((longest - steps, *padded.shape[1:]), dtype=padded.dtype)
        padded = plait.concat([padded, beyond])
    valid = valid_steps(lengths, longest)
    valid = valid.reshape((*valid.shape, *[1] * (padded.ndim - 2)))
    result = plait.where(valid, padded, padding_value)
    return (plait.moveaxis(result, 0, 1) if batch_first else result), lengths


@checked
def pad_sequence(
    sequences: Sequence[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Return sequences as one tensor, padded to the longest of them.

    Args:
        sequences: of shapes (length, ...), alike but for their lengths.
        batch_first: shape (batch, steps, ...) instead of (steps, batch, ...).
        padding_side: "right" pads after, "left" before each sequence.

    Raises:
        ArgumentError: there is no sequence, or no such side.
        ShapeError: one has no axis, or other sizes than the first one after it.
    """
    if padding_side not in ("left", "right"):
        raise ArgumentError(
            "[pad_sequence] no such side", got=repr(padding_side),
            expected="'left' or 'right'",
        )  # fmt: skip
    if not sequences:
        raise ArgumentError("[pad_sequence] there is no sequence", got="[]")
    rest = sequences[0].shape[1:]
    for i, one in enumerate(sequences):
        if one.ndim == 0 or one.shape[1:] != rest:
            raise ShapeError(
                f"[pad_sequence] sequence {i} is not like the first one",
                got=f"{one.shape} after {sequences[0].shape}",
                expected="shapes that differ along the first axis only",
            )
    longest = max(one.shape[0] for one in sequences)
    rows = []
    for one in sequences:
        if one.shape[0] < longest:
            shape = (longest - one.shape[0], *rest)
            beyond = plait.full(shape, padding_value, dtype=one.dtype)
            one = plait.concat(
                [one, beyond] if padding_side == "right" else [beyond, one]
            )
        rows.append(one)
    return plait.stack(rows, axis=0 if batch_first else 1)


@checked
def pack_sequence(
    sequences: Sequence[Tensor], enforce_sorted: bool = True
) -> PackedSequence:
    """Return sequences of shapes (length, ...) together; see `pad_sequence`.

    Args:
        enforce_sorted: has no effect, as examples may come in any order.

    Raises:
        ArgumentError: there is no sequence, or one is empty.
        ShapeError: one has other sizes than the first one after the first axis.
    """
    padded = pad_sequence(sequences)
    return pack_padded_sequence(padded, [one.shape[0] for one in sequences])


def checked_lengths(
    name: str, lengths: Tensor | Sequence[int], steps: int, batch: int
) -> Tensor:
    """Return lengths as int64; what can be looked at is checked.

    A tensor that has not been computed yet is computed for it.

    Raises:
        ShapeError, DTypeError, ArgumentError: as of `pack_padded_sequence`.
    """
    found = lengths if isinstance(lengths, Tensor) else plait.asarray(lengths)
    if found.shape != (batch,):
        raise ShapeError(
            f"[{name}] one length is needed for each example",
            got=f"lengths of shape {found.shape}",
            expected=f"shape ({batch},)",
        )
    if batch and not plait.isdtype(found.dtype, "integral"):
        raise DTypeError(f"[{name}] lengths must be integers", got=found.dtype.name)
    known = _looked_at(found)
    if known is not None:
        wrong = np.flatnonzero((known < 1) | (known > steps))
        if wrong.size:
            raise ArgumentError(
                f"[{name}] a length is out of range",
                got=f"length {known[wrong[0]]} of example {wrong[0]}",
                expected=f"1..{steps}",
            )
        return plait.tensor(known, dtype=plait.int64)
    return found.to(plait.int64)


def valid_steps(lengths: Tensor, steps: int) -> Tensor:
    """Return which steps of each example count: bool, shape (steps, batch)."""
    return plait.arange(steps).unsqueeze(1) < lengths


def _looked_at(x: Tensor) -> np.ndarray | None:
    """Return the values of `x`, or None while a function is being recorded."""
    try:
        return x.numpy()
    except TracingError:
        return None


def _check_axes(name: str, input: Any) -> None:
    if input.ndim < 2:
        raise ShapeError(
            f"[{name}] the input must have axes for steps and batch",
            got=f"shape {input.shape}",
        )

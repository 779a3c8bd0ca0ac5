"""What losses are made of: reductions, checks of shapes, and numbers of classes.

Read first: `prepared`, `reduced`, `class_number`.
"""

from __future__ import annotations

import numpy as np

from ..dtypes import DType, int64
from ..errors import ArgumentError, DTypeError, IndexingError, ShapeError
from ..ir.build import apply
from ..ir.graph import Node, TensorType
from ..ir.primitive import Failure, Primitive, Sample
from . import activation, elementwise, movement, reduce, source
from .operand import float_dtype, inner_dtype

REDUCTIONS = ("mean", "sum", "none")


def check_reduction(
    op: str, reduction: str, allowed: tuple[str, ...] = REDUCTIONS
) -> None:
    """Raise unless there is such a reduction."""
    if reduction not in allowed:
        raise ArgumentError(
            f"[{op}] there is no such reduction",
            got=repr(reduction),
            expected=" or ".join(repr(name) for name in allowed),
        )


def reduced(loss: Node, reduction: str, dtype: DType) -> Node:
    """Return the loss, its mean or its sum, cast to `dtype`."""
    if reduction == "mean":
        loss = reduce.mean(loss)
    elif reduction == "sum":
        loss = reduce.sum(loss)
    return elementwise.cast(loss, dtype)


def check_shapes(op: str, **operands: Node) -> None:
    """Raise unless all operands, given by their names, have one shape.

    Raises:
        ShapeError: they differ.
    """
    shapes = [x.shape for x in operands.values()]
    if any(shape != shapes[0] for shape in shapes):
        raise ShapeError(
            f"[{op}] {' and '.join(operands)} differ in shape",
            got=" and ".join(str(shape) for shape in shapes),
            fix="reshape one of them: a loss does not broadcast",
        )


def weighted(op: str, loss: Node, weight: Node | None) -> Node:
    """Return `loss * weight`, where the weight broadcasts to the loss."""
    if weight is None:
        return loss
    if movement.broadcast_shape(op, loss, weight) != loss.shape:
        raise ShapeError(
            f"[{op}] the weight does not broadcast to the loss",
            got=f"{weight.shape} to {loss.shape}",
        )
    return elementwise.multiply(loss, elementwise.cast(weight, loss.dtype))


def prepared(
    op: str, reduction: str, input: Node, target: Node
) -> tuple[Node, Node, DType]:
    """Return input and target in the dtype to compute in, and that of the result."""
    check_reduction(op, reduction)
    (input, target), dtype = alike(op, input=input, target=target)
    return input, target, dtype


def alike(op: str, **operands: Node) -> tuple[list[Node], DType]:
    """Return operands of one shape in the dtype to compute in, and that of the result.

    Raises:
        ShapeError: their shapes differ.
    """
    check_shapes(op, **operands)
    dtype = float_dtype(*operands.values())
    inner = inner_dtype(dtype)
    return [elementwise.cast(x, inner) for x in operands.values()], dtype


def check_pairs(op: str, inputs: Node, target: Node) -> None:
    """Raise unless the target has one number for each pair of vectors.

    Raises:
        ShapeError: it has not.
    """
    if target.shape != inputs.shape[:-1]:
        raise ShapeError(
            f"[{op}] one target for each pair is needed",
            got=f"inputs {inputs.shape}, target {target.shape}",
            expected=f"target {inputs.shape[:-1]}",
        )


def entropy_of_logits(logits: Node, target: Node, positive: Node | None = None) -> Node:
    """Return the binary cross entropy of logits, without overflow.

    Formula: (1 - target) * logits + positive * log(1 + exp(-logits)).

    Args:
        positive: a factor of the second term. Default: 1.
    """
    softplus = activation.log1p_exp(elementwise.negative(logits))
    if positive is not None:
        softplus = elementwise.multiply(softplus, positive)
    rest = elementwise.multiply(elementwise.subtract(1, target), logits)
    return elementwise.add(rest, softplus)


# Numbers of classes


def class_axis(op: str, input: Node) -> int:
    """Return the axis of the classes: the second, or the only one."""
    axis = 1 if input.ndim > 1 else 0
    if not input.ndim or not input.shape[axis]:
        raise ShapeError(
            f"[{op}] the input has no classes",
            got=str(input.shape),
            expected="(n, classes, ...) or (classes,)",
        )
    return axis


def check_labels(op: str, input: Node, target: Node, axis: int) -> None:
    """Raise unless the target has an integer for each place of the input."""
    if not target.dtype.is_integer:
        raise DTypeError(
            f"[{op}] class numbers are integers",
            got=target.dtype.name,
            fix="cast the target with x.to(plait.int64)",
        )
    expected = (*input.shape[:axis], *input.shape[axis + 1 :])
    if target.shape != expected:
        raise ShapeError(
            f"[{op}] the target has not the shape of the input without its classes",
            got=f"input {input.shape}, target {target.shape}",
            expected=f"target {expected}",
        )


def check_class_weight(op: str, weight: Node | None, classes: int) -> None:
    """Raise unless there is a weight for each class, or none."""
    if weight is not None and weight.shape != (classes,):
        raise ShapeError(
            f"[{op}] one weight for each class is needed",
            got=str(weight.shape),
            expected=str((classes,)),
        )


def _class_number_reference(
    x: np.ndarray, *, op: str, classes: int, ignored: int | None
) -> np.ndarray:
    # Read as unsigned, a negative number is a huge one: one comparison for both ends.
    if x.size and x.view(np.uint64).max() >= classes:
        bad = (x < 0) | (x >= classes)
        spared = ""
        if ignored is not None:
            bad &= x != ignored
            spared = f", or {ignored} for what is to be ignored"
        if bad.any():
            at = tuple(int(i) for i in np.argwhere(bad)[0])
            place = f" at {at}" if at else ""
            raise IndexingError(
                f"[{op}] a target is no class number",
                got=f"{x[at]}{place}, with {classes} classes",
                expected=f"0 to {classes - 1}{spared}",
            )
    return x


def _class_number_infer(
    x: TensorType, *, op: str, classes: int, ignored: int | None
) -> TensorType:
    if x.dtype is not int64:
        raise DTypeError(f"[{op}] class numbers are of int64", got=x.dtype.name)
    return x


CLASS_NUMBER = Primitive(
    name="class_number",
    infer=_class_number_infer,
    reference=_class_number_reference,
    batch="elementwise",
    differentiable=False,
    samples=lambda: [
        Sample(
            (np.array([[0, 2], [-100, 1]]),),
            {"op": "nll_loss", "classes": 3, "ignored": -100},
        ),
        Sample((np.array(1),), {"op": "nll_loss", "classes": 2, "ignored": None}),
        Sample(
            (np.zeros((0, 2), int),), {"op": "nll_loss", "classes": 1, "ignored": -1}
        ),
    ],
    failures=lambda: [
        Failure(
            (np.array([[1, 0], [1, 3]]),),
            {"op": "nll_loss", "classes": 3, "ignored": -100}, IndexingError,
            "[nll_loss] a target is no class number. Got: 3 at (1, 1), with 3 classes. "
            "Expected: 0 to 2, or -100 for what is to be ignored.",
        ),
        Failure(
            (np.array(-1),),
            {"op": "nll_loss", "classes": 3, "ignored": None}, IndexingError,
            "[nll_loss] a target is no class number. Got: -1, with 3 classes. "
            "Expected: 0 to 2.",
        ),
        Failure(
            (np.array([1.0]),),
            {"op": "nll_loss", "classes": 3, "ignored": -100}, DTypeError,
            "[nll_loss] class numbers are of int64. Got: float64.",
        ),
    ],
    source="itself, which is a class number 0..classes-1 or the ignored one",
)  # fmt: skip


def class_number(op: str, target: Node, classes: int, ignored: int | None) -> Node:
    """Return the target as int64; it is an error, at run time, if it is no class."""
    target = elementwise.cast(target, int64)
    return apply(CLASS_NUMBER, target, op=op, classes=classes, ignored=ignored)


def is_class(target: Node, classes: int, axis: int) -> Node:
    """Return whether each class is the target, with the classes at `axis`."""
    sizes = [1] * (target.ndim + 1)
    sizes[axis] = classes
    numbers = movement.reshape(source.iota(classes, int64), sizes)
    return elementwise.equal(numbers, movement.expand_dims(target, axis=axis))


def chosen(x: Node, chosen: Node, axis: int) -> Node:
    """Return the sum along `axis` of the elements of `x` that are chosen."""
    return reduce.sum(elementwise.select(chosen, x, 0.0), axis)


def per_class(weight: Node, ndim: int, axis: int, dtype: DType) -> Node:
    """Return weights of classes as they broadcast, with the classes at `axis`."""
    sizes = [1] * ndim
    sizes[axis] = weight.shape[0]
    return movement.reshape(elementwise.cast(weight, dtype), sizes)


PRIMITIVES = (CLASS_NUMBER,)

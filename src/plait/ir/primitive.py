"""The record that holds everything plait knows of one primitive.

A *primitive* is a node of the graph; an *op* is the function that a user calls. What a
primitive means stands in its record and nowhere else; how a target spells it is that
target's own table.

Read first: `Primitive`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Sample:
    """Operands and attributes that a primitive accepts; the tests run every rule on
    them.

    Args:
        operands: NumPy arrays.
        attributes: static attributes.
        smooth: the derivative exists and is continuous near the operands, so that
            finite differences tell the truth. False at edge values.
    """

    operands: tuple[np.ndarray, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    smooth: bool = True


@dataclass(frozen=True)
class Failure:
    """Operands and attributes that a primitive refuses, and its message word for
    word.
    """

    operands: tuple[np.ndarray, ...]
    attributes: dict[str, Any]
    error: type[Exception]
    message: str


@dataclass(frozen=True, eq=False)
class Primitive:
    """All the mathematics of one primitive.

    Operands of the rules are Nodes, so that one rule serves every transform;
    `reference` alone works on NumPy arrays.

    Args:
        name: unique, lower case; the word in the printed graph.
        infer: `(*operand_types, **attributes) -> TensorType`, or a tuple of them for a
            primitive with several results. Holds the shape rule and the dtype rule, and
            raises the errors.
        reference: `(*arrays, **attributes) -> array`, or a tuple. Defines the values.
        vjp: `(cotangent, node, *operands) -> tuple`, one cotangent for each operand,
            None where there is none. A primitive with several results gets a list of
            cotangents, None for results that nobody used.
        selective: `vjp` takes a keyword `wanted`: for each operand, whether its
            cotangent is used. For rules that would work in vain otherwise.
        jvp: `(tangents, node, *operands) -> tangent`, with None for operands that do
            not vary. A primitive with several results returns a list of tangents, None
            for results that do not vary. Derived from `vjp` where it is None.
        batch: `(operands, batched, node) -> node`: operands that are `batched` have one
            more axis in front, and so shall the result. "elementwise" expands the
            operands that are not batched and applies the primitive again. For a
            primitive with several results it returns a node with all of them, or a
            list of them.
        differentiable: whether derivatives flow through: None means when they flow to
            an operand and the result is floating-point.
        samples: returns inputs that the rules are tested on.
        failures: returns inputs that must fail, with the message.
        source: the paper or standard that defines it.
    """

    name: str
    infer: Callable[..., Any]
    reference: Callable[..., Any]
    vjp: Callable[..., Any] | None = None
    selective: bool = False
    jvp: Callable[..., Any] | None = None
    batch: Callable[..., Any] | str | None = None
    differentiable: bool | None = None
    samples: Callable[[], Iterable[Sample]] = tuple
    failures: Callable[[], Iterable[Failure]] = tuple
    source: str = ""

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

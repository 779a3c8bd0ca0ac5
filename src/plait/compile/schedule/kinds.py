"""What kinds of node there are for the compiler.

Read first: `kind_of`.
"""

from __future__ import annotations

from ...ir.build import PICK
from ...ir.graph import Node, TensorType
from ..lower.pull import is_pulled

PULLED = "pulled"  # written out where it is needed, element by element
REDUCTION = "reduction"
CONTRACTION = "contraction"
RESULT = "result"  # one of several results of an operand
OPAQUE = "opaque"  # a kernel, or several, of its own

REDUCTIONS = ("sum", "product", "max", "min", "argmax", "argmin")
CONTRACTIONS = ("dot", "convolution")


def kind_of(node: Node) -> str:
    """Return which kind of node the compiler takes `node` for."""
    name = node.primitive.name
    if node.primitive is PICK:
        return RESULT
    if not isinstance(node.type, TensorType):
        return OPAQUE
    if name in REDUCTIONS:
        return REDUCTION
    if name == "convolution":
        return CONTRACTION
    if name in CONTRACTIONS:
        x, axes = node.operands[0], node.attributes["axes"][0]
        return CONTRACTION if all(x.shape[axis] for axis in axes) else PULLED
    if node.size and _axis_size(node) == 0:
        return OPAQUE  # no index lies in that axis, as the reference says best
    return PULLED if is_pulled(node) else OPAQUE


def _axis_size(node: Node) -> int | None:
    """Return the size of the axis that an index must lie in, if there is one."""
    if node.primitive.name == "gather":
        return node.operands[0].shape[int(node.attributes["axis"])]
    if node.primitive.name == "wrap_index":
        return int(node.attributes["size"])
    return None


def reduced_axes(node: Node) -> tuple[int, ...]:
    """Return the axes of its operand that a reduction sums over."""
    if "axes" in node.attributes:
        return tuple(node.attributes["axes"])
    return (node.attributes["axis"],)


def domain_of(node: Node) -> tuple[int, ...]:
    """Return the shape of what is looped over to compute `node`."""
    if node.primitive.name in REDUCTIONS:
        return node.operands[0].shape
    return node.shape

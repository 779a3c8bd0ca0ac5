"""What dtypes an operation takes and gives: basic operations and functions alike.

Read first: `FUNCTIONS`, `result_dtype`.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from ...dtypes import DType, bool_, float32, uint32
from ...errors import DTypeError, GraphError, PlaitError
from ...ir.graph import TensorType
from ...ir.primitive import Primitive
from ...ops.catalogue import PRIMITIVES
from .operations import OPERATIONS


def _has_attributes(primitive: Primitive) -> bool:
    parameters = inspect.signature(primitive.infer).parameters.values()
    return any(one.kind is one.KEYWORD_ONLY for one in parameters)


# Operations that are not basic: elementwise primitives without attributes.
FUNCTIONS: dict[str, Primitive] = {
    primitive.name: primitive
    for primitive in PRIMITIVES
    if primitive.batch == "elementwise"
    and primitive.name not in OPERATIONS
    and not _has_attributes(primitive)
}
# Operations that only move bits, and so take 16-bit floats.
_MOVES = ("select", "cast", "bitcast")
_known: dict[tuple[str, tuple[DType, ...]], DType | None] = {}


def result_dtype(name: str, operands: Sequence[DType]) -> DType | None:
    """Return the dtype that an operation gives; None where the node says it.

    Raises:
        GraphError: there is no such operation, or it takes another number of operands.
        DTypeError: it does not take operands of these dtypes.
    """
    key = (name, tuple(operands))
    if key not in _known:
        _known[key] = _infer(name, key[1])
    return _known[key]


def _infer(name: str, operands: tuple[DType, ...]) -> DType | None:
    if name in FUNCTIONS:
        return _infer_function(name, operands)
    if name not in OPERATIONS:
        raise GraphError(f"[{name}] there is no such operation")
    meaning = OPERATIONS[name]
    if len(operands) != meaning.operands:
        raise GraphError(
            f"[{name}] the number of operands is wrong",
            got=str(len(operands)),
            expected=str(meaning.operands),
        )
    if name == "dot_pairs":
        _check(name, operands, operands == (float32, uint32, uint32))
        return float32
    alike = operands
    if name == "select":
        _check(name, operands, operands[0] is bool_)
        alike = operands[1:]
    _check(name, operands, all(dtype is alike[0] for dtype in alike))
    _check(name, operands, alike[0].kind in meaning.kinds)
    if name not in _MOVES:
        _check(name, operands, not alike[0].is_float or alike[0].bits >= 32)
    if meaning.gives == "free":
        return None
    return bool_ if meaning.gives == "bool" else alike[0]


def _infer_function(name: str, operands: tuple[DType, ...]) -> DType:
    _check(name, operands, all(not x.is_float or x.bits >= 32 for x in operands))
    try:
        result = FUNCTIONS[name].infer(*(TensorType((), x) for x in operands))
    except TypeError as error:
        if isinstance(error, PlaitError):
            raise
        raise GraphError(
            f"[{name}] the number of operands is wrong", got=str(len(operands))
        ) from None
    assert isinstance(result, TensorType)
    return result.dtype


def _check(name: str, operands: tuple[DType, ...], good: bool) -> None:
    if not good:
        raise DTypeError(
            f"[{name}] does not take operands of these element types",
            got=", ".join(dtype.name for dtype in operands),
            fix="cast first: no dtype is converted on its own",
        )

"""Where a value that is nan or infinite comes from.

The program that gave one is interpreted again, node by node. The first node to blame is
one that makes such a value out of finite ones, or nan out of infinite ones that were
given on purpose, as a mask is.

Read first: `wrong_outputs`, `traced`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from ..dtypes import as_dtype
from ..errors import NonFiniteError
from ..ir.graph import Graph, Node


def wrong_outputs(results: Sequence[np.ndarray], updated: Collection[int]) -> list[int]:
    """Return the numbers of the results that should be finite and are not.

    Infinite elements of large results may be meant: those of a mask. What is nan is
    not, nor is an infinite loss, or parameter.

    Args:
        updated: the results that take the place of old values.
    """
    found = []
    for i, result in enumerate(results):
        nan, infinite = _counts(result)
        if nan or (infinite and (result.size == 1 or i in updated)):
            found.append(i)
    return found


def traced(
    graph: Graph, values: Sequence[Any], wrong: Collection[int]
) -> NonFiniteError:
    """Return the error that names where wrong outputs come from.

    Args:
        values: of the inputs.
        wrong: numbers of outputs that are nan or infinite.
    """
    known: dict[Node, Any] = {}
    # What is to blame for each node that is not finite: a node that made it so, or an
    # input or constant that was.
    makers: dict[Node, Node] = {}
    givers: dict[Node, Node] = {}
    texts: dict[Node, tuple[str, str]] = {}
    for node, value in zip(graph.inputs, values, strict=True):
        known[node] = np.asarray(value, node.dtype.numpy)
        if any(_counts(known[node])):
            givers[node] = node
            texts[node] = (_described(known[node]), "")
    nodes = graph.nodes()
    order = {node: at for at, node in enumerate(nodes)}
    uses = Counter(x for node in nodes for x in dict.fromkeys(node.operands))
    for node in nodes:
        operands = [known[x] for x in node.operands]
        with np.errstate(all="ignore"):
            value = node.primitive.reference(*operands, **node.attributes)
        known[node] = value
        nan, infinite = _counts(value)
        if nan or infinite:
            blamed = [makers[x] for x in node.operands if x in makers]
            given = [givers[x] for x in node.operands if x in givers]
            if blamed:
                makers[node] = min(blamed, key=order.__getitem__)
            elif not node.operands:
                givers[node] = node
            elif given and (not nan or any(_counts(x)[0] for x in operands)):
                givers[node] = given[0]
            else:
                makers[node] = node
                texts[node] = (
                    _described(value),
                    " and ".join(_range(x) for x in operands),
                )
        for x in dict.fromkeys(node.operands):
            uses[x] -= 1
            if not uses[x]:
                del known[x]
    outputs = [graph.outputs[i] for i in wrong]
    found = [makers[x] for x in outputs if x in makers]
    if found:
        node = min(found, key=order.__getitem__)
        got, operands_text = texts[node]
        return _error(
            f"[trace_nonfinite] {node.primitive.name} is the first to give what is not "
            "finite",
            node,
            f"{got}, out of {operands_text}",
        )
    sources = [givers[x] for x in outputs if x in givers]
    for source in sources:
        if source in texts:
            user = next(node for node in nodes if source in node.operands)
            return _error(
                "[trace_nonfinite] a value that came from outside is not finite",
                user,
                texts[source][0],
                "look at the data, and at what was computed before",
            )
    node = outputs[0]
    return _error(
        "[trace_nonfinite] a result is not finite, though no node of its program makes "
        "it so when interpreted",
        node,
        repr(node.type),
        "compare with settings.execution = 'interpret'",
    )


def _error(what: str, node: Node, got: str, fix: str = "") -> NonFiniteError:
    where = node.where
    error = NonFiniteError(what, got=got, fix=fix, where=str(where))
    layer, kind = getattr(where, "layer", ""), getattr(where, "kind", "")
    error.layer = f"{layer} ({kind})" if layer and kind else layer or kind
    if getattr(where, "backward", False):
        error.layer = ", ".join(filter(None, [error.layer, "backward"]))
    return error


def _counts(value: Any) -> tuple[int, int]:
    """Return how many elements are nan, and how many infinite."""
    if isinstance(value, tuple):
        pairs = [_counts(x) for x in value]
        return sum(x for x, _ in pairs), sum(y for _, y in pairs)
    array = np.asarray(value)
    if not array.size or not as_dtype(array.dtype).is_float:
        return 0, 0
    with np.errstate(all="ignore"):
        # A sum is not finite if an element is not, and takes no memory.
        if math.isfinite(float(np.sum(array))):
            return 0, 0
    nan = int(np.isnan(array).sum())
    return nan, int(array.size - np.isfinite(array).sum()) - nan


def _described(value: Any) -> str:
    """Return how much of a value is not finite, and where that begins."""
    arrays = value if isinstance(value, tuple) else (value,)
    array = np.asarray(next(x for x in arrays if any(_counts(x))))
    nan, infinite = _counts(array)
    kinds = [f"{nan} nan"] if nan else []
    kinds += [f"{infinite} infinite"] if infinite else []
    text = f"{' and '.join(kinds)} in {_type(array)}"
    if array.ndim:
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        text += f", first at {at}"
    return text


def _range(value: Any) -> str:
    """Return the type of a value, and from where to where its finite elements go."""
    arrays = value if isinstance(value, tuple) else (value,)
    parts = []
    for one in arrays:
        array = np.asarray(one)
        text = _type(array)
        dtype = as_dtype(array.dtype)
        if array.size and (dtype.is_float or dtype.is_integer):
            finite = array[np.isfinite(array)] if dtype.is_float else array
            if finite.size:
                low, high = float(finite.min()), float(finite.max())
                text += f" of {low:.4g}" + (f" to {high:.4g}" if low != high else "")
            nan, infinite = _counts(array)
            text += f", {nan} nan" if nan else ""
            text += f", {infinite} infinite" if infinite else ""
        parts.append(text)
    return ", ".join(parts)


def _type(array: np.ndarray) -> str:
    sizes = ", ".join(map(str, array.shape))
    return f"{as_dtype(array.dtype).name}[{sizes}]"

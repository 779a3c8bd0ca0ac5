"""Programs that are alike: the same steps on tensors of other sizes.

The choice when to compile one looks at those compiled before, and a compilation says in
what the program differs from them, so that nothing is compiled by surprise.

Read first: `Family`.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator

from ..ir.graph import Graph, Node, TensorType

# Compiled relatives that a family remembers, the latest ones.
_REMEMBERED = 8


class Family:
    """The programs with the same steps, whatever the sizes of their tensors.

    Attributes:
        compiled: the recorded graphs of those that were compiled, as weak references.
    """

    __slots__ = ("compiled", "__weakref__")

    def __init__(self) -> None:
        self.compiled: list[weakref.ref[Graph]] = []

    def join(self, graph: Graph) -> None:
        """Take down that the program of a recorded graph was compiled."""
        self.compiled = [*self.compiled[1 - _REMEMBERED :], weakref.ref(graph)]

    def graphs(self) -> Iterator[Graph]:
        """Yield the recorded graphs of compiled programs, the latest first."""
        for reference in reversed(self.compiled):
            graph = reference()
            if graph is not None:
                yield graph

    def larger(self, graph: Graph) -> Graph | None:
        """Return a compiled relative from which `graph` differs in its batch alone,
        which is smaller.
        """
        return next((one for one in self.graphs() if _is_part(graph, one)), None)

    def difference(self, graph: Graph) -> str:
        """Return in what `graph` differs from its nearest compiled relative, or ""."""
        found = [list(_differences(graph, one)) for one in self.graphs()]
        if not found:
            return ""
        nearest = min(found, key=len)
        if not nearest:
            return "an equal program was compiled before, and forgotten"
        more = f" and {len(nearest) - 1} more" if len(nearest) > 1 else ""
        return nearest[0] + more


# Families live as long as a program of them does.
_families: weakref.WeakValueDictionary[int, Family] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def family_of(graph: Graph) -> Family:
    """Return the family of a graph as it was recorded."""
    key = _form(graph)
    with _lock:
        found = _families.get(key)
        if found is None:
            found = _families[key] = Family()
        return found


def _form(graph: Graph) -> int:
    """Return a number that is the same for graphs that differ in sizes alone.

    Two forms may share a number, once in many lives of the universe; then a program is
    compiled later than it could be, and nothing is wrong.
    """
    places = {node: i for i, node in enumerate(graph.inputs)}
    parts: list[object] = [_kind(node) for node in graph.inputs]
    for node in graph.nodes():
        places[node] = len(places)
        parts.append(
            (node.primitive.name, _kind(node), *[places[x] for x in node.operands])
        )
    parts.append(tuple([places[node] for node in graph.outputs]))
    return hash(tuple(parts))


def _kind(node: Node) -> object:
    if isinstance(node.type, TensorType):
        return node.type.dtype, node.type.ndim, node.weak
    return tuple([(type.dtype, type.ndim) for type in node.type])


def _is_part(graph: Graph, whole: Graph) -> bool:
    """Return whether the inputs of `graph` are those of `whole`, but for a smaller
    size of the first axis, which is the same for all that differ.
    """
    pairs = set()
    for mine, other in zip(graph.inputs, whole.inputs, strict=True):
        if mine.type is other.type:
            continue
        if mine.ndim == 0 or mine.shape[1:] != other.shape[1:]:
            return False
        pairs.add((mine.shape[0], other.shape[0]))
    return len(pairs) == 1 and all(mine < other for mine, other in pairs)


def _differences(graph: Graph, other: Graph) -> Iterator[str]:
    """Yield in what the inputs of two graphs differ, or else their steps."""
    found = False
    for i, (x, y) in enumerate(zip(graph.inputs, other.inputs, strict=True)):
        if x.type is not y.type:
            found = True
            yield f"input {i} has shape {x.shape}, was {y.shape}"
    if found:
        return
    for i, (x, y) in enumerate(zip(graph.inputs, other.inputs, strict=True)):
        if x.differentiable is not y.differentiable:
            yield f"input {i} {'needs' if x.differentiable else 'needs no'} gradient"
    for x, y in zip(graph.nodes(), other.nodes(), strict=True):
        for key, value in x.attributes.items():
            if y.attributes.get(key) != value:
                where = f" at {x.where}" if x.where else ""
                yield (
                    f"{x.primitive.name}{where} has {key}={value!r:.40}, "
                    f"was {y.attributes.get(key)!r:.40}"
                )

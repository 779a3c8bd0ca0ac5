"""Groups that are alike are lowered once: most layers of a network are.

Two groups are alike if one becomes the other when nodes are renamed, as far as lowering
looks: at the members and what they are computed from, down to what lies in memory.
Their kernels are the same then, only on other memory.

Read first: `Shelf`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from ...ir.graph import Node
from ...ir.rewrite import attribute_key
from ...program import Work
from ..loops.grammar import Kernel
from ..lower.piece import Piece
from ..schedule.group import Group

# How many kinds of groups are kept: more than a program has.
_MOST = 2048


class _Number(int):
    """Stands for the node of that number, or for an object that the pieces share."""


class _Shared(_Number):
    """Memory that only the pieces of one group use."""


@dataclass(frozen=True)
class _Pattern:
    """A piece without its nodes."""

    kernel: Kernel
    contents: tuple[Hashable, ...]
    work: Work
    memo: dict[Any, Any]


class Shelf:
    """What groups have been lowered to, in all programs of the process.

    Args:
        most: how many kinds of groups it keeps.

    Attributes:
        lowered: how many groups had to be lowered.
    """

    def __init__(self, most: int = _MOST) -> None:
        self.lowered = 0
        self._most = most
        self._patterns: dict[Hashable, list[_Pattern]] = {}

    def pieces(
        self,
        one: Group,
        stored: Callable[[Node], bool],
        outputs: Sequence[Node],
        settled: Hashable,
        lower: Callable[[], Sequence[Piece]],
    ) -> list[Piece]:
        """Return the kernels of a group.

        Args:
            stored: whether a node lies in memory before.
            outputs: the members that shall lie in memory afterwards.
            settled: what else decides, such as the target.
            lower: makes the kernels, if no group was like this one.
        """
        form, nodes = form_of(one, stored, outputs)
        key = (form, settled)
        patterns = self._patterns.get(key)
        if patterns is None:
            self.lowered += 1
            numbers = {node: i for i, node in enumerate(nodes)}
            patterns = _patterns(lower(), numbers)
            if len(self._patterns) >= self._most:
                self._patterns.clear()
            self._patterns[key] = patterns
        # No two groups share the memory of their own, even if they are alike.
        shared: dict[_Shared, object] = {}
        return [
            Piece(
                one.kernel,
                tuple([_filled(x, nodes, shared) for x in one.contents]),
                one.work,
                memo=one.memo,
            )
            for one in patterns
        ]


def _patterns(pieces: Sequence[Piece], numbers: dict[Node, int]) -> list[_Pattern]:
    shared: dict[Hashable, _Shared] = {}
    found = []
    for piece in pieces:
        contents: list[Hashable] = []
        for content in piece.contents:
            if isinstance(content, Node):
                content = _Number(numbers[content])
            elif content in piece.own_contents:
                content = shared.setdefault(content, _Shared(len(shared)))
            contents.append(content)
        found.append(_Pattern(piece.kernel, tuple(contents), piece.work, piece.memo))
    return found


def _filled(
    content: Hashable, nodes: list[Node], shared: dict[_Shared, object]
) -> Hashable:
    if isinstance(content, _Shared):
        return shared.setdefault(content, object())
    return nodes[content] if isinstance(content, _Number) else content


def form_of(
    one: Group, stored: Callable[[Node], bool], outputs: Sequence[Node]
) -> tuple[Hashable, list[Node]]:
    """Return what is equal for groups that are alike, and the nodes of this one.

    The nodes of groups that are alike correspond by their places.
    """
    numbers: dict[Node, int] = {}
    parts: list[Hashable] = []
    stack = [*reversed(one.reads), *reversed(one.members)]
    while stack:
        node = stack[-1]
        if node in numbers:
            stack.pop()
            continue
        held = stored(node)
        if held and node in one.reads:
            # Lowering looks no further: it does not matter what has computed it.
            stack.pop()
            numbers[node] = len(numbers)
            parts.append(node.type)
            continue
        waiting = [x for x in node.operands if x not in numbers]
        if waiting:
            stack.extend(reversed(waiting))
            continue
        stack.pop()
        numbers[node] = len(numbers)
        attributes = node.attributes
        parts.append(
            (
                node.primitive,
                node.type,
                held,
                tuple([numbers[x] for x in node.operands]),
                tuple([(x, attribute_key(attributes[x])) for x in sorted(attributes)])
                if attributes
                else (),
            )
        )
    form = (
        one.kind,
        one.shape,
        one.reduced,
        tuple(parts),
        tuple([(numbers[x], role) for x, role in one.roles.items()]),
        tuple([(numbers[x], role) for x, role in one.spaces.items()]),
        tuple([numbers[x] for x in one.members]),
        tuple([numbers[x] for x in one.reads]),
        tuple(
            [
                (numbers[x], tuple([numbers[y] for y in inner]))
                for x, inner in one.inner_reads.items()
            ]
        ),
        tuple([numbers[x] for x in outputs]),
    )
    return form, list(numbers)

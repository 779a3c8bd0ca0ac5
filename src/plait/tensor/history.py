"""What stays of a trace that was run, for derivatives taken later.

Read first: `History`.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.graph import Node
from .execute import Program, is_variable
from .trie import COMPUTED, CONSTANT, LEAF, SPENT, Held, Trace

if TYPE_CHECKING:
    from .tensor import Tensor


class Kept:
    """One value that a history keeps, and how it enters a later trace.

    Attributes:
        value: the array, or the Python number.
        kind: LEAF, CONSTANT, COMPUTED or SPENT.
        handle: a weak reference to a tensor that held the value, to enter that one, so
            that it enters once; or None.
        owner: the tensor that a LEAF's gradient goes to.
        origin: for a leaf COMPUTED before an earlier flush: (history, node).
    """

    __slots__ = ("value", "kind", "handle", "owner", "origin")

    def __init__(
        self,
        value: Any,
        kind: str,
        tensor: Tensor | None,
        owner: Tensor | None = None,
        origin: Any = None,
    ) -> None:
        self.value = value
        self.kind = kind
        self.handle = None if tensor is None else weakref.ref(tensor)
        self.owner = owner
        self.origin = origin


class History:
    """What a run trace keeps for derivatives taken later.

    It refers to no tensor that refers to it, so that it goes when the last of its
    tensors goes.

    Attributes:
        program: what was run.
        kept: the leaves, and the intermediate values that derivatives need, by node.
        spent: nodes whose derivative was used up.
        hooks: gradient hooks by node.
    """

    __slots__ = ("program", "kept", "spent", "hooks", "__weakref__")

    def __init__(self, program: Program) -> None:
        self.program = program
        self.kept: dict[Node, Kept] = {}
        self.spent: frozenset[Node] = program.spent
        self.hooks: dict[Node, Any] = {}

    def spend(self, places: Iterable[int]) -> None:
        """Use up derivatives, and let go of what only they needed.

        Args:
            places: in the order of the program's nodes.
        """
        program = self.program
        self.spent |= {program.order[i] for i in places}
        left = [node for node in program.roots if node not in self.spent]
        needed = {program.order[i] for node in left for i in program.cone(node)}
        for node in list(self.kept):
            # What is left may need the values of leaves, even of those used up.
            if node not in needed or (node in self.spent and node.operands):
                del self.kept[node]
                self.hooks.pop(node, None)


def keep(
    program: Program,
    values: Sequence[Any],
    held: Held | Trace,
    live: dict[Tensor, Node],
    results: list[np.ndarray],
) -> History:
    """Return the history of tensors that `program` has just computed.

    Args:
        values: of the leaves.
        held: the owners of the leaves, and how they were computed.
    """
    history = History(program)
    for i, node in program.leaves:
        owner = held.owners[i]
        origin = held.origins.get(node)
        kind = LEAF if node.differentiable else CONSTANT
        if origin is not None:
            kind = SPENT if origin is SPENT else COMPUTED
        kept = Kept(values[i], kind, owner, owner if kind is LEAF else None, origin)
        history.kept[node] = kept
    holders = {node: tensor for tensor, node in reversed(live.items())}
    nodes = dict.fromkeys((*program.targets, *program.saved))
    saved = set(program.saved)
    for node, value in zip(nodes, results, strict=True):
        hooks = held.hooked.get(node)
        if hooks is not None and node not in program.spent:
            history.hooks[node] = hooks
        elif node not in saved:
            continue
        holder = holders.get(node)
        if is_variable(node):
            reference = held.variables.get(node)
            owner = None if reference is None else reference()
            holder = holder if owner is None else owner
            kind = CONSTANT if holder is None else LEAF
            history.kept[node] = Kept(value, kind, holder, owner)
        else:
            kind = COMPUTED if node.differentiable else CONSTANT
            history.kept[node] = Kept(value, kind, holder)
    return history

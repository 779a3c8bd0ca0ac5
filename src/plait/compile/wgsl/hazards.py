"""Where invocations of a workgroup must wait for one another.

They do not run in lockstep, as lanes do. What one of them has stored another one may
load only after a barrier, and the other way round. Most buffers need none: they are
only read, or only written, or each element belongs to one lane, as a buffer does that
is stored and loaded at `... * lanes + lane`.

Read first: `Hazards`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import NamedTuple

from ..loops.grammar import (
    Body,
    Buffer,
    Constant,
    Expression,
    For,
    Let,
    Load,
    Operation,
    Statement,
    Store,
    Variable,
    Vector,
)
from ..loops.traverse import bodies, ordered, roots

# Of whom an element is: of the first invocation, of all, of one that is not known, or
# of lane (index - constant) modulo lanes.
FIRST, ALL, SOMEBODY = "first", "all", "somebody"


class Barriers(NamedTuple):
    """Which memory is waited for: the workgroup's, and all the other."""

    near: bool
    far: bool


NONE = Barriers(False, False)
NEAR = Barriers(True, False)
# lane * first + second, modulo the lanes.
Rest = tuple[int, int]
Loads = set[tuple[Buffer, Hashable]]
Stores = set[tuple[Buffer, Hashable, int]]


def rest_of(
    index: Expression, lanes: int, names: Mapping[str, Rest | None]
) -> Rest | None:
    """Return an index modulo the lanes, if it is known but for the lane."""
    found: dict[int, Rest | None] = {}
    for one in ordered([index]):
        result: Rest | None = None
        if isinstance(one, Constant) and isinstance(one.value, int):
            result = (0, one.value % lanes)
        elif isinstance(one, Variable):
            result = names.get(one.name)
        elif isinstance(one, Operation) and len(one.operands) == 2:
            x, y = (found[id(part)] for part in one.operands)
            if one.name == "add" and x and y:
                result = ((x[0] + y[0]) % lanes, (x[1] + y[1]) % lanes)
            elif one.name == "subtract" and x and y:
                result = ((x[0] - y[0]) % lanes, (x[1] - y[1]) % lanes)
            elif one.name == "multiply":
                for part, other in zip(one.operands, (y, x), strict=True):
                    if isinstance(part, Constant):
                        n = part.value
                        if other:
                            result = (other[0] * n % lanes, other[1] * n % lanes)
                        elif n % lanes == 0:
                            result = (0, 0)
        found[id(one)] = result
    return found[id(index)]


class Hazards:
    """What has been done to memory since the last barrier.

    Args:
        lanes: invocations of a workgroup.
        shared: buffers that lie in the same memory as another one.
        loaded: buffers that are loaded from. Of others each element is stored once.
        near: buffers in the memory of the workgroup, which have barriers of their own.
    """

    def __init__(
        self,
        lanes: int,
        shared: frozenset[Buffer],
        loaded: frozenset[Buffer],
        near: frozenset[Buffer] = frozenset(),
    ) -> None:
        self.lanes = lanes
        self.names: dict[str, Rest | None] = {}
        self._shared = shared
        self._loaded = loaded
        self._near = near
        self._loads: Loads = set()
        self._stores: Stores = set()

    def accesses(self, statement: Statement, vector: int) -> tuple[Loads, Stores]:
        """Return what a statement itself loads and stores, and whose it is.

        Args:
            vector: the lanes of the `vector` around it; 0 if there is none.
        """
        loads: Loads = set()
        stores: Stores = set()
        for node in ordered(roots(statement)):
            if isinstance(node, Load):
                loads.add((node.buffer, self._owner(node.index, vector, ALL)))
        if isinstance(statement, Store):
            owner = self._owner(statement.index, vector, FIRST)
            stores.add((statement.buffer, owner, id(statement)))
        return loads, stores

    def _owner(self, index: Expression, vector: int, otherwise: str) -> Hashable:
        if not vector:
            return otherwise
        rest = rest_of(index, vector, self.names)
        if vector != self.lanes or rest is None or rest[0] != 1:
            return SOMEBODY
        return rest

    def waits(self, statement: Statement, vector: int) -> Barriers:
        """Return the barriers that must come before a statement."""
        if self.lanes == 1:
            return NONE
        return self._met(*self.accesses(statement, vector))

    def take(self, statement: Statement, vector: int) -> None:
        """Take down what a statement does."""
        if self.lanes > 1:
            loads, stores = self.accesses(statement, vector)
            self._loads |= loads
            self._stores |= stores

    def _met(self, loads: Loads, stores: Stores) -> Barriers:
        """Return where something is that was stored or loaded before."""
        met = {
            buffer
            for buffer, owner in loads
            for other, whose, _ in self._stores
            if buffer is other and not _same(owner, whose)
        }
        for buffer, owner, who in stores:
            if buffer not in self._loaded and buffer not in self._shared:
                continue
            for other, whose, wrote in self._stores:
                if buffer is other and who != wrote and not _same(owner, whose):
                    met.add(buffer)
            for other, whose in self._loads:
                if buffer is other and not _same(owner, whose):
                    met.add(buffer)
                # An element of such a buffer is loaded by whoever stores it.
                if other in self._shared and owner == FIRST and whose == ALL:
                    met.add(buffer)
        return Barriers(not met.isdisjoint(self._near), not met <= self._near)

    def passed(self, barriers: Barriers) -> None:
        """Take down that there are barriers."""

        def remains(buffer: Buffer) -> bool:
            return not (barriers.near if buffer in self._near else barriers.far)

        self._loads = {x for x in self._loads if remains(x[0])}
        self._stores = {x for x in self._stores if remains(x[0])}

    def loop_waits(self, statement: For) -> Barriers:
        """Return the barriers that stand best before a loop rather than in it.

        It meets what was done before, but no turn meets another one.
        """
        if self.lanes == 1:
            return NONE
        inside = Hazards(self.lanes, self._shared, self._loaded, self._near)
        inside.names = dict(self.names)
        inside.enter_loop(statement)
        loads, stores = inside._loads, inside._stores
        before, within = self._met(loads, stores), inside._met(loads, stores)
        return Barriers(before.near and not within.near, before.far and not within.far)

    def enter_loop(self, statement: For) -> None:
        """Take down all that an earlier turn of a loop may have done."""
        before = dict(self.names)
        self.names[statement.variable.name] = None
        self._take_down(statement.body, 0)
        self.names = before

    def _take_down(self, body: Body, vector: int) -> None:
        for one in body:
            loads, stores = self.accesses(one, vector)
            self._loads |= loads
            self._stores |= stores
            if isinstance(one, Let):
                self.names[one.variable.name] = self.rest(one.value)
            elif isinstance(one, For):
                self.names[one.variable.name] = None
            elif isinstance(one, Vector):
                self.names[one.variable.name] = (1, 0)
            for inner in bodies(one):
                inside = one.lanes if isinstance(one, Vector) else vector
                self._take_down(inner, inside)

    def rest(self, value: Expression) -> Rest | None:
        """Return a value modulo the lanes."""
        return rest_of(value, self.lanes, self.names)

    def snapshot(self) -> tuple[Loads, Stores]:
        """Return the state, for `restore` and `join`."""
        return set(self._loads), set(self._stores)

    def restore(self, state: tuple[Loads, Stores]) -> None:
        """Go back to a state."""
        self._loads, self._stores = set(state[0]), set(state[1])

    def join(self, state: tuple[Loads, Stores]) -> None:
        """Add what was done on another way to the same place."""
        self._loads |= state[0]
        self._stores |= state[1]


def _same(owner: Hashable, whose: Hashable) -> bool:
    """Return whether two accesses to one element are surely of one invocation."""
    return owner == whose and owner not in (SOMEBODY, ALL)

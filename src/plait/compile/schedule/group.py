"""Fusion: which roots are computed together, in one kernel.

A group loops over one *domain*, a shape. Its members are elementwise roots of that
shape, reductions over the same axes of it, and elementwise roots of the shape that is
left by them (*rows*). A member reads other members only at the element, or in the row,
that is being computed, so one pass over the rows computes them all. A contraction
leads a group of its own: elementwise roots of its shape are computed as its elements
are finished.

Read first: `Group`, `group`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ...dtypes import bool_, float32
from ...ir.graph import Graph, Node
from ...shapes import Shape, size_of
from ..loops.grammar import Expression, Variable
from ..lower.index import Index
from ..lower.memory import Memory
from ..lower.opaque import operands_of
from ..lower.pull import Values
from .kinds import (
    CONTRACTION,
    OPAQUE,
    PULLED,
    REDUCTION,
    RESULT,
    domain_of,
    reduced_axes,
)
from .roots import awaited, roots_of

# For each axis of a node the axis of the domain that it goes along, or None.
Role = tuple[int | None, ...]

_MOST_MEMBERS = 40
# LLVM takes more than its share of time for more statements in one body.
_MOST_STEPS = 500
# Reading a value of as many elements once rather than twice is worth it.
_SHARED = 1 << 12
# A domain of more elements needs as many rows to be shared among threads.
_LARGE, _ROWS = 1 << 16, 16

AXES = tuple(Variable(f"d{i}") for i in range(64))
_AXIS = {axis: i for i, axis in enumerate(AXES)}


@dataclass(eq=False)
class Group:
    """Roots that are computed together.

    Attributes:
        number: its bit in sets of groups.
        kind: CONTRACTION or OPAQUE for its first member's; else PULLED.
        shape: the domain.
        reduced: the axes that reductions sum over; None while there are none.
        members: operands before users.
        roles: of each member, how its axes go along the domain's.
        spaces: of each reduction, how its operand's axes go along the domain's.
        reads: what is read that other groups compute, or that is an input.
        inner_reads: for each member, the members that it reads.
        waits: what is not read, but shall be computed before.
        before: the numbers of all groups that this one needs, as bits.
        steps: about how many statements an element takes.
    """

    number: int
    kind: str
    shape: Shape
    reduced: frozenset[int] | None = None
    members: list[Node] = field(default_factory=list)
    roles: dict[Node, Role] = field(default_factory=dict)
    spaces: dict[Node, Role] = field(default_factory=dict)
    reads: dict[Node, None] = field(default_factory=dict)
    inner_reads: dict[Node, list[Node]] = field(default_factory=dict)
    waits: dict[Node, None] = field(default_factory=dict)
    before: int = 0
    steps: int = 0

    @property
    def head(self) -> Node:
        """The first member."""
        return self.members[0]

    def is_row(self, node: Node) -> bool:
        """Return whether a member has one value for each row."""
        return node in self.spaces or any(
            n != 1 and axis not in self.roles[node] for axis, n in enumerate(self.shape)
        )


class _Reads(Values):
    """Records where each root is read."""

    def __init__(self, roots: dict[Node, str], inputs: set[Node]) -> None:
        super().__init__(Memory(lambda node: node in roots or node in inputs))
        self.found: list[tuple[Node, Index]] = []

    def _write(self, node: Node, index: Index) -> Expression:
        if self.memory.holds(node):
            self.found.append((node, index))
            dtype = float32 if node.dtype.is_float else node.dtype
            return Variable(self.name("v"), dtype if dtype is not bool_ else bool_)
        return super()._write(node, index)

    def load(self, node: Node, place: Expression) -> Expression:
        return Variable(self.name("v"), node.dtype)


def group(graph: Graph, after: Mapping[Node, tuple[Node, ...]]) -> list[Group]:
    """Return the groups that compute the outputs of `graph`, unordered.

    Args:
        after: for some nodes others that are to be computed before, see `flatten`.
    """
    roots = roots_of(graph)
    return _Grouping(graph, *awaited(graph, roots, after)).run()


class _Grouping:
    def __init__(
        self, graph: Graph, roots: dict[Node, str], waits: dict[Node, list[Node]]
    ) -> None:
        self.roots = roots
        self.waits = waits
        self.inputs = set(graph.inputs)
        self.outputs = graph.outputs
        self.groups: list[Group] = []
        self.home: dict[Node, Group] = {}
        self.readers: dict[Node, list[Group]] = {}
        self.users: dict[Group, dict[Group, None]] = {}  # who reads what it computes
        self.reads: dict[Node, list[tuple[Node, Index]]] = {}
        self.steps: dict[Node, int] = {}
        self.scalars: Group | None = None

    def run(self) -> list[Group]:
        for root, kind in self.roots.items():
            if kind == RESULT:
                owner = self.home[root.operands[0]]
                owner.members.append(root)
                self.home[root] = owner
                continue
            reads = self.reads[root] = self._reads(root, kind)
            if kind in (PULLED, REDUCTION) and self._joined(root, kind, reads):
                continue
            self._start(root, kind, reads)
        # One merger may rule out another: those that save most come first.
        for one in sorted(self.groups, key=lambda one: -size_of(one.shape)):
            self._merge(one)
        return self._needed()

    def _needed(self) -> list[Group]:
        """Return the groups that outputs need: nobody reads what is padded to nothing,
        or has no elements.
        """
        needed: set[Group] = set()
        stack = [self.home[x] for x in self.outputs if x in self.home]
        while stack:
            one = stack.pop()
            if one not in needed:
                needed.add(one)
                stack.extend(self.home[x] for x in one.reads if x in self.home)
        return [one for one in self.groups if one in needed]

    def _merge(self, one: Group) -> None:
        """Move all members of a group to another one that runs over the same rows."""
        if one.kind != PULLED or not one.reduced or not one.members:
            return
        homes = {self.home[x] for x in one.reads if x in self.home}
        beside = {
            other
            for x in one.reads
            if x.size >= _SHARED
            for other in self.readers.get(x, ())[-4:]
            if other is not one and not other.before >> one.number & 1
        }
        for other in sorted(homes | beside, key=lambda group: -group.number):
            if other.reduced != one.reduced or other.shape != one.shape:
                continue
            if not other.members or (
                len(other.members) + len(one.members) > _MOST_MEMBERS
                or other.steps + one.steps > _MOST_STEPS
            ):
                continue
            outside = 0
            for x in (*one.reads, *one.waits):
                home = self.home.get(x)
                if home is not None and home is not other:
                    outside |= home.before | 1 << home.number
            if outside >> other.number & 1 or not all(
                _aligned(x, index, role, other.roles[x])
                for role, x, index in self._reads_of(one, other)
            ):
                continue
            members, one.members = one.members, []
            one.steps = 0
            self.users.setdefault(other, {}).update(self.users.pop(one, {}))
            for root in members:
                role = one.spaces.get(root, one.roles[root])
                self._add(other, root, self.roots[root], role, self.reads[root])
            self._pass_on(other)
            return

    def _reads_of(self, one: Group, other: Group) -> Iterator[tuple[Role, Node, Index]]:
        """Yield how members of a group read those of another one."""
        for root in one.members:
            role = one.spaces.get(root, one.roles[root])
            for node, index in self.reads[root]:
                if self.home.get(node) is other:
                    yield role, node, index

    def _reads(self, root: Node, kind: str) -> list[tuple[Node, Index]]:
        if kind == OPAQUE:
            return [(x, ()) for x in operands_of(root)]
        values = _Reads(self.roots, self.inputs)
        if kind == PULLED:
            values.computed(root, AXES[: root.ndim])
        else:
            for x in root.operands:
                values.at(x, AXES[: x.ndim])
        self.steps[root] = len(values.body)
        return values.found

    # Joining

    def _joined(self, root: Node, kind: str, reads: list[tuple[Node, Index]]) -> bool:
        for candidate in self._candidates(root, reads):
            if len(candidate.members) >= _MOST_MEMBERS:
                continue
            if candidate.steps + self.steps[root] > _MOST_STEPS:
                continue
            for role in self._roles(candidate, root, kind, reads):
                if self._fits(candidate, root, kind, role, reads):
                    self._add(candidate, root, kind, role, reads)
                    return True
        return False

    def _candidates(self, root: Node, reads: list[tuple[Node, Index]]) -> list[Group]:
        found: dict[Group, None] = {}
        for node, _ in reads:
            home = self.home.get(node)
            if home is not None:
                found[home] = None
        # Best one that does not have to wait for more than it does anyway.
        nearest = sorted(found, key=lambda one: (self._waits(one, reads), -one.number))
        others: dict[Group, None] = {}
        for node, _ in reads:
            for reader in self.readers.get(node, ())[-4:]:
                if reader not in found:
                    others[reader] = None
        result = nearest + sorted(others, key=lambda one: -one.number)
        if root.size == 1 and self.scalars is not None and domain_of(root) == ():
            result.append(self.scalars)
        return result

    def _waits(self, one: Group, reads: list[tuple[Node, Index]]) -> int:
        """Return for how many more groups a group would wait with these reads."""
        outside = 0
        for node, _ in reads:
            home = self.home.get(node)
            if home is not None and home is not one:
                outside |= home.before | 1 << home.number
        return (outside & ~one.before).bit_count()

    def _roles(
        self, one: Group, root: Node, kind: str, reads: list[tuple[Node, Index]]
    ) -> list[Role]:
        """Return the ways in which `root` could go along the domain of a group."""
        if one.kind == OPAQUE or (one.kind == CONTRACTION and kind == REDUCTION):
            return []
        space = domain_of(root)
        if 0 in space or 0 in one.shape:  # no pass would compute the other's members
            return []
        roles: list[Role] = []
        whole = _along(space, one.shape, range(len(one.shape)))
        if whole is not None:
            roles.append(whole)
        if kind == PULLED and one.reduced is not None:
            kept = [a for a in range(len(one.shape)) if a not in one.reduced]
            row = _along(space, one.shape, kept)
            if row is not None and row not in roles:
                roles.append(row)
        if kind == PULLED:
            for node, index in reads:
                if self.home.get(node) is one and node in one.roles:
                    turned = _turned(space, one.shape, index, one.roles[node])
                    if turned is not None and turned not in roles:
                        roles.append(turned)
        return roles

    def _fits(
        self, one: Group, root: Node, kind: str, role: Role,
        reads: list[tuple[Node, Index]],
    ) -> bool:  # fmt: skip
        reduced = one.reduced
        if kind == REDUCTION:
            axes = frozenset(
                a for a in (role[axis] for axis in reduced_axes(root)) if a is not None
            )
            if reduced is not None and axes != reduced:
                return False
            reduced = axes
        if reduced is not None:
            rows = size_of(
                tuple(n for a, n in enumerate(one.shape) if a not in reduced)
            )
            if (
                size_of(one.shape) > _LARGE
                and rows < _ROWS
                and (kind == PULLED or one.reduced is None)
            ):
                return False
        outside = 0
        connected = False
        for node, index in reads:
            home = self.home.get(node)
            if home is one:
                connected = True
                if not _aligned(node, index, role, one.roles[node]):
                    return False
            elif home is not None:
                outside |= home.before | 1 << home.number
        for node in self.waits.get(root, ()):
            home = self.home[node]
            if home is not one:
                outside |= home.before | 1 << home.number
        # What is not made of a member shall not have to wait for one.
        if not connected and one.before & ~outside:
            return False
        return not outside >> one.number & 1

    def _add(
        self, one: Group, root: Node, kind: str, role: Role,
        reads: list[tuple[Node, Index]],
    ) -> None:  # fmt: skip
        before = one.before
        one.members.append(root)
        one.steps += self.steps[root]
        self.home[root] = one
        if kind == REDUCTION:
            gone = set(reduced_axes(root))
            one.reduced = frozenset(
                a for a in (role[axis] for axis in gone) if a is not None
            )
            one.spaces[root] = role
            one.roles[root] = tuple(a for i, a in enumerate(role) if i not in gone)
        else:
            one.roles[root] = role
        inner = one.inner_reads.setdefault(root, [])
        for node, _ in reads:
            home = self.home.get(node)
            if home is one:
                inner.append(node)
                continue
            if node not in one.reads:
                one.reads[node] = None
                self.readers.setdefault(node, []).append(one)
            if home is not None:
                self._needs(one, home)
        self._wait(one, root)
        if one.before != before:
            self._pass_on(one)

    def _wait(self, one: Group, root: Node) -> None:
        """Note what a group shall come after."""
        for node in self.waits.get(root, ()):
            if self.home[node] is not one:
                one.waits[node] = None
                self._needs(one, self.home[node])

    def _needs(self, one: Group, other: Group) -> None:
        """Note that a group reads what another one computes."""
        self.users.setdefault(other, {})[one] = None
        one.before |= other.before | 1 << other.number

    def _pass_on(self, one: Group) -> None:
        """Have all that need a group need what it needs."""
        stack = [one]
        while stack:
            earlier = stack.pop()
            before = earlier.before | 1 << earlier.number
            for later in self.users.get(earlier, ()):
                if before & ~later.before:
                    later.before |= before
                    stack.append(later)

    def _start(self, root: Node, kind: str, reads: list[tuple[Node, Index]]) -> None:
        space = () if kind == OPAQUE else domain_of(root)
        one = Group(len(self.groups), PULLED if kind == REDUCTION else kind, space)
        self.groups.append(one)
        role: Role = tuple(a if n != 1 else None for a, n in enumerate(space))
        if kind == OPAQUE:
            one.members.append(root)
            self.home[root] = one
            for node, _ in reads:
                home = self.home.get(node)
                one.reads[node] = None
                if home is not None:
                    self._needs(one, home)
            self._wait(one, root)
            return
        self._add(one, root, kind, role, reads)
        if kind == PULLED and space == ():
            self.scalars = one


def _along(space: Shape, domain: Shape, axes: object) -> Role | None:
    """Return the role of a space whose axes are some of a domain's, in order."""
    rest = [a for a in axes if domain[a] != 1]  # type: ignore[attr-defined]
    role: list[int | None] = []
    for n in space:
        if n == 1:
            role.append(None)
        elif rest and domain[rest[0]] == n:
            role.append(rest.pop(0))
        else:
            return None
    return None if rest else tuple(role)


def _turned(space: Shape, domain: Shape, index: Index, role: Role) -> Role | None:
    """Return the role of a space that reads a member at a permutation of its axes."""
    found: list[int | None] = [None] * len(space)
    for at, axis in zip(index, role, strict=True):
        if axis is None:
            continue
        i = _AXIS.get(at)  # type: ignore[call-overload]
        # Parts of an axis, and paddings at its end, have another size.
        if i is None or i >= len(space) or space[i] != domain[axis]:
            return None
        found[i] = axis
    if any(n != 1 and axis is None for n, axis in zip(space, found, strict=True)):
        return None
    return tuple(found)


def _aligned(node: Node, index: Index, role: Role, own: Role) -> bool:
    """Return whether a member with `role` reads `node` where it is being computed."""
    for at, axis, n in zip(index, own, node.shape, strict=True):
        if n == 1:
            continue
        i = _AXIS.get(at)  # type: ignore[call-overload]
        if i is None or i >= len(role) or role[i] != axis:
            return False
    return True

"""Which nodes lie in memory, and the buffers that one kernel has for them.

Read first: `Memory`.
"""

from __future__ import annotations

from collections.abc import Callable

from ...dtypes import DType, uint8, uint32
from ...ir.graph import Literal, Node
from ..loops.grammar import Buffer

# One byte that is not 0 once some index did not lie in its axis.
ALARM = "alarm"


class Memory:
    """The buffers of one kernel, by what lies in them.

    Attributes:
        holds: whether a node lies in memory.
        buffers: by node; by constant array; or ALARM.
        views: by buffer, others for what lies in it, two elements being one.
    """

    def __init__(self, stored: Callable[[Node], bool]) -> None:
        self.holds = stored
        self.buffers: dict[Node | Literal | str, Buffer] = {}
        self.views: dict[Buffer, Buffer] = {}

    def read(self, node: Node) -> Buffer:
        """Return the buffer of a node, to load from."""
        return self._get(node, f"x{len(self.buffers)}", node.dtype, node.size, "in")

    def write(self, node: Node) -> Buffer:
        """Return the buffer of a node, to store into."""
        return self._get(node, f"x{len(self.buffers)}", node.dtype, node.size, "out")

    def literal(self, value: Literal, dtype: DType) -> Buffer:
        """Return the buffer of a constant array."""
        name = f"x{len(self.buffers)}"
        return self._get(value, name, dtype, value.array.size, "in")

    def pairs(self, buffer: Buffer) -> Buffer:
        """Return a buffer of pairs of elements of 16 bits, for loads of what lies in
        another one.
        """
        found = self.views.get(buffer)
        if found is None:
            name = f"{buffer.name}_pairs"
            found = self.views[buffer] = Buffer(name, uint32, buffer.size // 2)
        return found

    def alarm(self) -> Buffer:
        """Return the buffer of the byte that tells of a wrong index."""
        return self._get(ALARM, ALARM, uint8, 1, "out")

    def _get(
        self, key: Node | Literal | str, name: str, dtype: DType, size: int, access: str
    ) -> Buffer:
        buffer = self.buffers.get(key)
        if buffer is None:
            buffer = self.buffers[key] = Buffer(name, dtype, size, access)
        elif buffer.access != access:
            buffer.access = "inout"
        return buffer

"""Which nodes lie in memory, and the buffers that one kernel has for them.

Read first: `Memory`.
"""

from __future__ import annotations

from collections.abc import Callable

from ...dtypes import DType, uint8
from ...ir.graph import Literal, Node
from ..loops.grammar import Buffer

# One byte that is not 0 once some index did not lie in its axis.
ALARM = "alarm"


class Memory:
    """The buffers of one kernel, by what lies in them.

    Attributes:
        holds: whether a node lies in memory.
        buffers: by node; by constant array; or ALARM.
    """

    def __init__(self, stored: Callable[[Node], bool]) -> None:
        self.holds = stored
        self.buffers: dict[Node | Literal | str, Buffer] = {}

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

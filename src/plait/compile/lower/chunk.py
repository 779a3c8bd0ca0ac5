"""How the work of a kernel is divided into chunks: by its size alone.

Read first: `Blocks`.
"""

from __future__ import annotations

from ...dtypes import int64
from ..loops.grammar import (
    Body,
    Constant,
    Expression,
    For,
    Kernel,
    Let,
    Operation,
    Variable,
)

# A chunk should cost about as much, in additions of single elements: some
# microseconds, which is many times what sharing it costs.
CHUNK_COST = 1 << 18


class Blocks:
    """`count` equal pieces of work, several of which make a chunk.

    Args:
        count: how many there are.
        together: how many make a chunk, at most; less than 1 counts as 1.
        chunk: the number of the chunk, where others share the kernel's chunks.

    Attributes:
        chunks: how many chunks there are.
        place: the number of the piece at hand, inside of what `loop` gives.
    """

    def __init__(
        self, count: int, together: int, chunk: Expression = Kernel.CHUNK,
        name: str = "row",
    ) -> None:  # fmt: skip
        self.count = count
        together = max(1, min(count, together))
        self.chunks = max(1, -(-count // together))
        # Chunks of nearly equal size.
        self.together = -(-count // self.chunks)
        self.chunks = max(1, -(-count // max(1, self.together)))
        self._chunk = chunk
        self._inner = Variable(f"{name}_in_chunk")
        self.place: Expression = Variable(name) if count > 1 else Constant(0, int64)

    def loop(self, body: Body) -> Body:
        """Return the loop over the pieces of one chunk."""
        if not isinstance(self.place, Variable):
            return body if self.count else []
        if self.chunks == 1:
            return [For(self.place, self.count, body)]
        first = self._chunk * self.together
        extent: Expression | int = self.together
        if self.count % self.together:
            left = self.count - first
            extent = Operation("minimum", (Constant(self.together, int64), left), int64)
        return [For(self._inner, extent, [Let(self.place, first + self._inner), *body])]

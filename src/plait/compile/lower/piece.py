"""What lowering a group gives: kernels, with what lies in their buffers.

Read first: `Piece`.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from ...program import Work
from ..loops.grammar import Buffer, Kernel


@dataclass(eq=False)
class Piece:
    """One kernel of a group.

    Attributes:
        kernel: in Loop IR.
        contents: for each of the kernel's buffers what lies in it: a Node; ALARM; or
            any other object, for memory that pieces of one group share.
        work: what running it costs.
    """

    kernel: Kernel
    contents: tuple[Hashable, ...]
    work: Work

    def buffer_of(self, content: Hashable) -> Buffer:
        """Return the buffer in which something lies."""
        return self.kernel.buffers[self.contents.index(content)]

"""What lowering a group gives: kernels, with what lies in their buffers.

Read first: `Piece`.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from ...ir.graph import Literal, Node
from ...program import Work
from ..loops.grammar import Kernel
from .memory import ALARM


@dataclass(eq=False)
class Piece:
    """One kernel of a group.

    Attributes:
        kernel: in Loop IR.
        contents: for each of the kernel's buffers what lies in it: a Node; ALARM; or
            any other object, for memory that pieces of one group share.
        work: what running it costs.
        inout: buffers that another one shares its memory with, by their numbers: they
            change while the kernel runs.
        memo: what has been found out about the kernel. Pieces of one kernel, which
            groups that are alike have, share it.
    """

    kernel: Kernel
    contents: tuple[Hashable, ...]
    work: Work
    inout: set[int] = field(default_factory=set)
    memo: dict[Any, Any] = field(default_factory=dict)

    @property
    def own_contents(self) -> set[Hashable]:
        """What lies in memory that only pieces of this group use."""
        return {
            x for x in self.contents if x != ALARM and not isinstance(x, Node | Literal)
        }

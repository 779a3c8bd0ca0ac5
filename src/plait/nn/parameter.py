"""The two kinds of tensors that a module owns: what is trained, and what is only kept.

Read first: `Parameter`, `Buffer`.
"""

from __future__ import annotations

from typing import Any

import plait
from plait import Tensor


class Parameter(Tensor):
    """A tensor that a module trains.

    Assigning one to an attribute of a module makes it one of the module's parameters.

    Args:
        data: a tensor, an array, or nested lists of numbers.
        requires_grad: whether `backward()` accumulates a gradient here.
    """

    def __new__(cls, data: Any, requires_grad: bool = True) -> Parameter:
        value = plait.asarray(data)
        if value.requires_grad:
            value = value.detach()
        new: Parameter = value.as_subclass(cls)
        new.requires_grad_(requires_grad)
        return new

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Buffer(Tensor):
    """A tensor that belongs to a module's state but is not trained.

    Assigning one to an attribute of a module makes it one of the module's buffers. What
    a plain tensor assigned to that attribute later holds becomes the buffer's value.

    Args:
        data: a tensor, an array, or nested lists of numbers.
        persistent: whether it is part of the module's `state_dict()`.
    """

    persistent: bool

    def __new__(cls, data: Any, persistent: bool = True) -> Buffer:
        new: Buffer = plait.asarray(data).as_subclass(cls)
        new.persistent = persistent
        return new

    def __repr__(self) -> str:
        return f"Buffer containing:\n{super().__repr__()}"

    def __reduce__(self) -> Any:
        return (*super().__reduce__(), {"persistent": self.persistent})

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copied = super().__deepcopy__(memo)
        assert isinstance(copied, Buffer)
        copied.persistent = self.persistent
        return copied

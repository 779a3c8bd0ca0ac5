"""The two kinds of tensors that a module owns: what is trained, and what is only kept.

Read first: `Parameter`, `Buffer`, `own_parameter`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import Any

import plait
from plait import DType, Tensor

from ..errors import ShapeError
from . import init


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


def own_parameter(
    module: Any,
    name: str,
    shape: int | tuple[int, ...] | None,
    device: Any = None,
    dtype: Any = None,
) -> None:
    """Give a module a parameter whose values are to be set; or just the place for one.

    Args:
        shape: of the parameter. None: there is none.
    """
    new = None
    if shape is not None:
        new = Parameter(plait.empty(shape, device=device, dtype=dtype))
    module.register_parameter(name, new)


def spread(parameters: Iterable[Tensor | None], fan_in: int) -> None:
    """Set parameters to U(-b, b) with b = 1 / sqrt(fan_in), as PyTorch's layers do."""
    bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
    for parameter in parameters:
        if parameter is not None:
            init.uniform_(parameter, -bound, bound)


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


class Uninitialized(Tensor):
    """What stands for a tensor until the first call of its layer decides its shape.

    Whatever looks at its shape or its values fails. Assigning a tensor to `data` gives
    it both, for good: it remains the same object, so that those who hold it already
    have what it has become.

    Args:
        dtype: of the tensor to be.
    """

    _becomes: type[Tensor]
    _wanted: DType
    _requires_grad: bool

    def __new__(cls, dtype: Any = None) -> Any:
        new = object.__new__(cls)
        new._wanted = plait.zeros((), dtype=dtype).dtype
        return new

    @property
    def _node(self) -> Any:
        """What every op and every fact but the dtype is asked of."""
        raise ShapeError(
            f"[{self._becomes.__name__}] it has no shape and no values yet: the first "
            "call of its layer decides them",
            fix="call the model once, on an example",
        )

    @property
    def dtype(self) -> DType:
        """The element type that it is going to have."""
        return self._wanted

    def requires_grad_(self, requires_grad: Any = True) -> Tensor:
        """Ask for, or stop, a gradient to be accumulated here; return this tensor."""
        self._requires_grad = bool(requires_grad)
        return self

    def to(self, *targets: Any, dtype: Any = None, device: Any = None) -> Tensor:
        """Return one of another dtype."""
        dtype = plait.zeros((), dtype=self.dtype).to(*targets, dtype=dtype).dtype
        new = copy.deepcopy(self)
        new._wanted = dtype
        return new

    @property
    def data(self) -> Tensor:
        """The values; assigning a tensor gives this one its shape, too."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if isinstance(value, Uninitialized):
            self._wanted = value.dtype
            return
        del self._wanted
        self.__class__ = self._becomes  # type: ignore[assignment]
        self.data = value

    def __repr__(self) -> str:
        return f"{type(self).__name__}(dtype={self.dtype.name})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__, grad=None)
        memo[id(self)] = copied
        return copied

    def __reduce__(self) -> Any:
        facts = {name: x for name, x in self.__dict__.items() if name != "_wanted"}
        return _restored, (type(self), self.dtype.name), facts


def _restored(cls: type[Uninitialized], dtype: str) -> Uninitialized:
    new: Uninitialized = cls(dtype=dtype)
    return new


class UninitializedParameter(Uninitialized, Parameter):
    """A parameter whose shape the first call of its layer decides; see `LazyLinear`.

    It then is a `Parameter`, the same object as before. Until then its dtype and
    whether it requires a gradient may be changed; its shape and values are asked in
    vain.

    Args:
        requires_grad: whether `backward()` is going to accumulate a gradient here.
        dtype: of the parameter to be. Default: float32.

    Raises:
        ShapeError: (using it) it has no shape yet.
    """

    _becomes = Parameter

    def __new__(
        cls, requires_grad: bool = True, dtype: Any = None
    ) -> UninitializedParameter:
        new: UninitializedParameter = Uninitialized.__new__(cls, dtype)
        new._requires_grad = requires_grad
        return new


class UninitializedBuffer(Uninitialized, Buffer):
    """A buffer whose shape the first call of its layer decides; see `LazyBatchNorm1d`.

    It then is a `Buffer`, the same object as before.

    Args:
        persistent: whether it is part of the module's `state_dict()`.
        dtype: of the buffer to be. Default: float32.

    Raises:
        ShapeError: (using it) it has no shape yet.
    """

    _becomes = Buffer

    def __new__(cls, persistent: bool = True, dtype: Any = None) -> UninitializedBuffer:
        new: UninitializedBuffer = Uninitialized.__new__(cls, dtype)
        new.persistent = persistent
        return new

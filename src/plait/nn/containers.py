"""Modules and parameters in rows and under names, and functions as modules.

Read first: `Sequential`, `ModuleList`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar, overload

from plait import Tensor

from ..errors import ArgumentError, ArgumentTypeError, IndexingError
from .linear import Linear
from .module import Module
from .parameter import Parameter
from .sample import Sample, uniform

Item = TypeVar("Item", bound=Any)


def _module(owner: Module, item: Any) -> Module:
    if not isinstance(item, Module):
        raise ArgumentTypeError(
            f"[{type(owner).__name__}] holds modules only",
            got=f"the class {item.__name__}"
            if isinstance(item, type)
            else f"a {type(item).__name__}",
            fix="make one of it, such as nn.ReLU()"
            if isinstance(item, type)
            else "give them one by one: *items"
            if isinstance(item, (list, tuple))
            else "",
        )
    return item


def _parameter(owner: Module, item: Any) -> Parameter:
    if not isinstance(item, Tensor):
        raise ArgumentTypeError(
            f"[{type(owner).__name__}] holds parameters only",
            got=f"a {type(item).__name__}",
        )
    return item if isinstance(item, Parameter) else Parameter(item)


class _Container(Module, Generic[Item]):
    """A module that holds things of one class."""

    _holds: ClassVar[type]

    def _pairs(self) -> list[tuple[str, Item]]:
        return self._owned(self._holds)

    def _checked(self, item: Any) -> Item:
        check: Any = _module if self._holds is Module else _parameter
        return check(self, item)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return "\n".join(
            f"({name}): Parameter of shape {x.shape}, {x.dtype.name}"
            for name, x in self._owned(Parameter)
        )


class _Row(_Container[Item]):
    """Things owned under the names "0", "1", and so on."""

    def __init__(self, items: Iterable[Any] = ()) -> None:
        super().__init__()
        self.extend(items)

    def _place(self, index: Any) -> int:
        """Return the place that `index` means, counted from 0."""
        length = len(self)
        place = operator.index(index)
        if not -length <= place < length:
            raise IndexingError(
                f"[{type(self).__name__}] the index is out of range",
                got=f"{place} of {length}",
            )
        return place % length

    def _renew(self, items: Iterable[Item]) -> None:
        items = list(items)
        for name, _ in self._pairs():
            delattr(self, name)
        for i, item in enumerate(items):
            setattr(self, str(i), item)

    def __len__(self) -> int:
        return len(self._pairs())

    def __iter__(self) -> Iterator[Item]:
        return iter([item for _, item in self._pairs()])

    def __contains__(self, item: Any) -> bool:
        return any(own is item for own in self)

    @overload
    def __getitem__(self, index: slice) -> _Row[Item]: ...
    @overload
    def __getitem__(self, index: int) -> Item: ...
    def __getitem__(self, index: int | slice) -> Any:
        pairs = self._pairs()
        if isinstance(index, slice):
            return self._like(pairs[index])
        return pairs[self._place(index)][1]

    def _like(self, pairs: list[tuple[str, Item]]) -> _Row[Item]:
        """Return a row holding the items of `pairs`."""
        raise NotImplementedError

    def __setitem__(self, index: int, item: Any) -> None:
        name, _ = self._pairs()[self._place(index)]
        setattr(self, name, self._checked(item))

    def __delitem__(self, index: int | slice) -> None:
        items = list(self)
        if isinstance(index, slice):
            del items[index]
        else:
            del items[self._place(index)]
        self._renew(items)

    def append(self, item: Any) -> Self:
        """Put `item` at the end; return this."""
        place = len(self)
        while str(place) in vars(self):  # a part of another row keeps its names
            place += 1
        setattr(self, str(place), self._checked(item))
        return self

    def extend(self, items: Iterable[Any]) -> Self:
        """Put all `items` at the end; return this."""
        for item in list(items):
            self.append(item)
        return self

    def insert(self, index: int, item: Any) -> Self:
        """Put `item` before the one at `index`; return this."""
        items = list(self)
        items.insert(operator.index(index), self._checked(item))
        self._renew(items)
        return self

    def pop(self, index: int = -1) -> Item:
        """Take out the item at `index`, and return it."""
        item: Item = self[index]
        del self[index]
        return item


class Sequential(_Row[Module]):
    """Modules called one after another, each with what the one before returned.

    Args:
        modules: the modules, or one dict of modules by name.

    Input: that of the first module. Result: that of the last one; without modules, the
    input.

    Raises:
        ArgumentTypeError: one is no module.

    Example:
        >>> from plait import nn
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
        >>> model[0]
        Linear(in_features=4, out_features=8, bias=True)
    """

    _holds = Module

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, _module(self, module))
        else:
            self.extend(modules)

    def _like(self, pairs: list[tuple[str, Module]]) -> Sequential:
        return Sequential(dict(pairs))

    def forward(self, x: Any) -> Any:
        for module in vars(self).values():
            if isinstance(module, Module):
                x = module(x)
        return x

    @staticmethod
    def samples() -> list[Sample]:
        return [Sample((uniform(3, 4),), (Linear(4, 5), Linear(5, 2)))]


class ModuleList(_Row[Module]):
    """A list of modules. It is not called; its owner's `forward` calls what is inside.

    Args:
        items: an iterable of modules.

    Raises:
        ArgumentTypeError: one is no module.
    """

    _holds = Module

    def _like(self, pairs: list[tuple[str, Module]]) -> ModuleList:
        return ModuleList([module for _, module in pairs])


class ParameterList(_Row[Parameter]):
    """A list of parameters.

    Args:
        items: an iterable of tensors; those that are no parameters become such.

    Raises:
        ArgumentTypeError: one is no tensor.
    """

    _holds = Parameter

    def _like(self, pairs: list[tuple[str, Parameter]]) -> ParameterList:
        return ParameterList([parameter for _, parameter in pairs])


class _Named(_Container[Item]):
    """Things owned under names that its user chooses."""

    def __init__(
        self, items: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()
    ) -> None:
        super().__init__()
        self.update(items)

    def _dict(self) -> dict[str, Item]:
        return dict(self._pairs())

    def __len__(self) -> int:
        return len(self._dict())

    def __iter__(self) -> Iterator[str]:
        return iter(self._dict())

    def __contains__(self, name: Any) -> bool:
        return name in self._dict()

    def __getitem__(self, name: str) -> Item:
        items = self._dict()
        if name not in items:
            raise ArgumentError(
                f"[{type(self).__name__}] there is nothing of this name",
                got=repr(name),
                expected=", ".join(items),
            )
        return items[name]

    def __setitem__(self, name: str, item: Any) -> None:
        self._register(name, self._holds, self._checked(item))

    def __delitem__(self, name: str) -> None:
        self[name]
        delattr(self, name)

    def keys(self) -> Iterable[str]:
        """Return the names."""
        return self._dict().keys()

    def values(self) -> Iterable[Item]:
        """Return what is held."""
        return self._dict().values()

    def items(self) -> Iterable[tuple[str, Item]]:
        """Return pairs of name and what it is of."""
        return self._dict().items()

    def update(self, items: Mapping[str, Item] | Iterable[tuple[str, Item]]) -> None:
        """Own further items, or others in the place of those there are."""
        for name, item in dict(items).items():
            self[name] = item

    def pop(self, name: str) -> Item:
        """Take out the item of this name, and return it."""
        item = self[name]
        del self[name]
        return item

    def clear(self) -> None:
        """Take out everything."""
        for name in list(self):
            del self[name]


class ModuleDict(_Named[Module]):
    """Modules by name. It is not called; its owner's `forward` calls what is inside.

    Args:
        items: a dict of modules, or pairs of name and module.

    Raises:
        ArgumentError: a name is empty, has a dot, or is that of a method.
        ArgumentTypeError: an item is no module.
    """

    _holds = Module


class ParameterDict(_Named[Parameter]):
    """Parameters by name.

    Args:
        items: a dict of tensors, or pairs of name and tensor; those that are no
            parameters become such.

    Raises:
        ArgumentError: a name is empty, has a dot, or is that of a method.
        ArgumentTypeError: an item is no tensor.
    """

    _holds = Parameter


class Lambda(Module):
    """Any function as a layer.

    Args:
        function: what is called with the arguments of the layer.

    Input: what the function takes. Result: what it returns.

    Raises:
        ArgumentTypeError: it is no function.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        if not callable(function):
            raise ArgumentTypeError(
                "[Lambda] a function is needed", got=f"a {type(function).__name__}"
            )
        self.function = function

    def forward(self, *args: Any, **named: Any) -> Any:
        return self.function(*args, **named)

    def extra_repr(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                (uniform(3, 4), uniform(3, 1)), (_product,), wrt=(0, 1),
                reference=lambda _, x, y: _product(x, y),
            )
        ]  # fmt: skip


def _product(x: Any, y: Any) -> Any:
    """Return what a `Lambda` of the samples computes: x * y + 1."""
    return x * y + 1

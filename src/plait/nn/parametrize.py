"""Parameters that are computed: by modules, from other parameters, at each use.

    nn.register_parametrization(layer, "weight", Symmetric())

From then on `layer.weight` is what `Symmetric` makes of the parameter
`layer.parametrizations.weight.original`, and that is what is trained. Names in state
dicts are those of PyTorch.

Read first: `register_parametrization`, `computed`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import plait
from plait import Tensor

from ..arguments import checked
from ..errors import ArgumentError, ArgumentTypeError, ShapeError
from .containers import ModuleDict, ModuleList
from .module import Module
from .parameter import Parameter


class Computed:
    """What a module's class says of its attributes that are computed.

    Attributes:
        origin: the module's class before.
        getters: a function of the module for each computed attribute.
        setters: likewise, for those that can be assigned.
    """

    def __init__(self, origin: type[Module]) -> None:
        self.origin = origin
        self.getters: dict[str, Callable[[Module], Tensor]] = {}
        self.setters: dict[str, Callable[[Module, Any], None]] = {}


def computed(
    module: Module,
    name: str,
    get: Callable[[Module], Tensor],
    set: Callable[[Module, Any], None] | None = None,
    prefix: str = "Computed",
) -> None:
    """Make an attribute of one module a property, in a class of its own.

    Args:
        module: the module; its class becomes a subclass of what it was.
        name: the attribute, which the module owns no longer.
        get, set: called for reading, and for assigning.
        prefix: of the name of the new class.
    """
    module.__dict__.pop(name, None)
    cls = type(module)
    facts = cls.__dict__.get("_computed")
    if facts is None:
        facts = Computed(cls)
        cls = type(f"{prefix}{cls.__name__}", (cls,), {"_computed": facts})
        cls.__module__ = facts.origin.__module__
        module.__class__ = cls
    facts.getters[name] = get
    if set is not None:
        facts.setters[name] = set

    def refuse(self: Module, value: Any) -> None:
        raise ArgumentError(
            f"[{type(self).__name__}] {name!r} is computed and cannot be assigned",
            fix="assign what it is computed from",
        )

    setattr(cls, name, property(get, set or refuse))


def restored(module: Module, name: str, value: Parameter) -> None:
    """Make an attribute that was computed an ordinary parameter again."""
    cls = type(module)
    facts = cls.__dict__["_computed"]
    delattr(cls, name)
    del facts.getters[name]
    facts.setters.pop(name, None)
    if not facts.getters:
        module.__class__ = facts.origin
    setattr(module, name, value)


class ParametrizationList(ModuleList):
    """What makes a parameter of others: modules, one after another.

    Args:
        modules: take a tensor and return one; the first takes all originals. A method
            `right_inverse` gives what they are to be for a value to come out.
        value: what is to come out at first, as far as there are inverses.

    Attributes:
        original: what the first module takes; or original0, original1 and so on.
    """

    def __init__(self, modules: Iterable[Module], value: Tensor) -> None:
        super().__init__(modules)
        self._several = 0
        trained = value.requires_grad
        self._enter(self._inverse(value.detach()), trained)

    def _inverse(self, value: Tensor) -> Any:
        with plait.no_grad():
            for module in reversed(list(self)):
                inverse = getattr(module, "right_inverse", None)
                if inverse is not None:
                    value = inverse(value)
        return value

    def _enter(self, values: Any, trained: bool) -> None:
        if isinstance(values, Tensor):
            self.original = Parameter(values, trained)
            return
        self._several = len(values)
        for i, value in enumerate(values):
            self.register_parameter(f"original{i}", Parameter(value, trained))

    def originals(self) -> list[Parameter]:
        """Return what the first module takes."""
        if not self._several:
            return [self.original]
        return [getattr(self, f"original{i}") for i in range(self._several)]

    def set(self, value: Tensor) -> None:
        """Set the originals so that `value` comes out."""
        values = self._inverse(plait.asarray(value).detach())
        values = [values] if isinstance(values, Tensor) else list(values)
        with plait.no_grad():
            for original, new in zip(self.originals(), values, strict=True):
                original.copy_(new)

    def forward(self) -> Tensor:
        first, *rest = list(self)
        result: Tensor = first(*self.originals())
        for module in rest:
            result = module(result)
        return result


@checked
def is_parametrized(module: Module, name: str | None = None) -> bool:
    """Return whether a parameter of a module is computed, or whether any is.

    Args:
        module: the module.
        name: the parameter. Default: any.
    """
    lists = vars(module).get("parametrizations")
    if not isinstance(lists, ModuleDict):
        return False
    return len(lists) > 0 if name is None else name in lists


@checked
def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Have a parameter computed by a module, from a parameter of its own.

    Several come one after another, in the order in which they are registered. An
    optimizer must be made afterwards, as the parameters are others.

    Args:
        module: the layer whose parameter it is; it is changed.
        tensor_name: the parameter, such as "weight".
        parametrization: takes a tensor and returns what the layer is to use. With a
            method `right_inverse(value)`, which returns a tensor, or a tuple of several
            for a parametrization that takes several, the layer's value at first is the
            one it had.
        unsafe: allow a result of another shape or dtype.

    Returns:
        The layer.

    Raises:
        ArgumentTypeError: there is no such parameter.
        ShapeError: the result has another shape.

    Special cases: a layer with computed parameters can be copied, and saved as a state
    dict, but not pickled, as its class is its own.
    """
    if is_parametrized(module, tensor_name):
        lists: Any = module.parametrizations  # type: ignore[attr-defined]
        value = getattr(module, tensor_name)
        found = ParametrizationList([*lists[tensor_name], parametrization], value)
    else:
        value = vars(module).get(tensor_name)
        if not isinstance(value, Parameter):
            raise ArgumentTypeError(
                f"[register_parametrization] {type(module).__name__} has no parameter "
                f"{tensor_name!r}",
                got=type(value).__name__,
                fix="use one of "
                + ", ".join(repr(n) for n, _ in module.named_parameters(recurse=False)),
            )
        found = ParametrizationList([parametrization], value)
        if not is_parametrized(module):
            module.parametrizations = ModuleDict()
        lists = module.parametrizations  # type: ignore[attr-defined]
    with plait.no_grad():
        result = found()
    if not unsafe and (result.shape, result.dtype) != (value.shape, value.dtype):
        raise ShapeError(
            "[register_parametrization] the result is unlike the parameter",
            got=f"{result.shape}, {result.dtype.name}",
            expected=f"{value.shape}, {value.dtype.name}",
            fix="pass unsafe=True if this is meant",
        )
    lists[tensor_name] = found
    computed(
        module,
        tensor_name,
        functools.partial(_computed_value, tensor_name),
        functools.partial(_set_value, tensor_name),
        "Parametrized",
    )
    return module


def _computed_value(name: str, module: Any) -> Tensor:
    found: Tensor = module.parametrizations[name]()
    return found


def _set_value(name: str, module: Any, value: Any) -> None:
    module.parametrizations[name].set(value)


@checked
def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make a parameter that is computed an ordinary one again.

    Args:
        module: the layer; it is changed.
        tensor_name: the parameter.
        leave_parametrized: keep the value that was computed, rather than that of the
            original.

    Returns:
        The layer.

    Raises:
        ArgumentError: the parameter is not computed; or it is computed from several,
            and `leave_parametrized` is False.
    """
    if not is_parametrized(module, tensor_name):
        raise ArgumentError(
            f"[remove_parametrizations] {type(module).__name__} does not compute "
            f"{tensor_name!r}"
        )
    lists: Any = module.parametrizations  # type: ignore[attr-defined]
    originals = lists[tensor_name].originals()
    if leave_parametrized:
        with plait.no_grad():
            value = getattr(module, tensor_name).detach()
    elif len(originals) == 1:
        value = originals[0].detach()
    else:
        raise ArgumentError(
            f"[remove_parametrizations] {tensor_name!r} is computed from several "
            "parameters",
            fix="pass leave_parametrized=True",
        )
    trained = any(x.requires_grad for x in originals)
    del lists[tensor_name]
    if not lists:
        del module.parametrizations  # type: ignore[attr-defined]
    restored(module, tensor_name, Parameter(value, trained))
    return module

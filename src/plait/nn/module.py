"""Modules: callable objects that own parameters, buffers and other modules.

What a module owns are its plain attributes, so reading one costs nothing. Names and
their order are those of PyTorch, so that state dicts go both ways.

Read first: `Module`, `Module.__setattr__`, `Module.__call__`.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import plait
from plait import HookHandle, Tensor

from ..arguments import Checked, Parameters, misbound, shown, within_plait
from ..errors import (
    ArgumentError,
    ArgumentTypeError,
    PlaitError,
    ShapeError,
    runs_layers,
)
from ..names import missing
from . import state
from .backward import watched
from .parameter import Buffer, Parameter

_MISSING = object()

Owned = TypeVar("Owned")


class _Hooks:
    """The hooks of one module: functions and whether they want keyword arguments.

    Attributes:
        before, after: those of calls; before_backward, backward: those of gradients.
    """

    __slots__ = ("before", "after", "before_backward", "backward")

    def __init__(self) -> None:
        self.before_backward: OrderedDict[int, Callable[..., Any]] = OrderedDict()
        self.backward: OrderedDict[int, Callable[..., Any]] = OrderedDict()
        self.before: OrderedDict[int, tuple[Callable[..., Any], bool]] = OrderedDict()
        self.after: OrderedDict[int, tuple[Callable[..., Any], bool]] = OrderedDict()


class Module(Checked):
    """A callable object that owns parameters, buffers and other modules.

    A subclass calls `super().__init__()`, assigns what it owns to attributes, and says
    in `forward` what it computes. What it owns are its attributes of the classes
    `Parameter`, `Buffer` and `Module`, in the order in which they were assigned.

    Attributes:
        training: whether the module is in training mode; see `train` and `eval`.

    Example:
        >>> from plait import nn
        >>> class Doubled(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.linear = nn.Linear(4, 2)
        ...     def forward(self, x):
        ...         return self.linear(x) * 2
        >>> [name for name, _ in Doubled().named_parameters()]
        ['linear.weight', 'linear.bias']
    """

    training: bool = True
    # The names of the settings that its text shows.
    _shown: ClassVar[tuple[str, ...]] = ()
    # Names that were given to a parameter, buffer or module and hold None now.
    _vacant: Mapping[str, type] = {}
    _hooks: _Hooks | None = None

    def __init__(self) -> None:
        self.training = True

    def forward(self, *args: Any, **named: Any) -> Any:
        """Return what the module computes; subclasses say what."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def __call__(self, *args: Any, **named: Any) -> Any:
        try:
            if self._hooks is None:
                return self.forward(*args, **named) if named else self.forward(*args)
            return self._call_with_hooks(args, named)
        except PlaitError as error:
            self._locate(error)
            raise
        except (TypeError, ValueError, AttributeError, LookupError) as error:
            # What users write has errors of its own.
            wrong = self._misfit(error, args, named) if within_plait(error) else None
            if wrong is None:
                raise
            self._locate(wrong)
            raise wrong from error

    def _misfit(
        self, error: Exception, args: tuple[Any, ...], named: Mapping[str, Any]
    ) -> PlaitError | None:
        """Return what is wrong with the arguments of a call that failed, or None."""
        name = type(self).__name__
        parameters = Parameters(type(self).forward, method=True)
        wrong = misbound(name, parameters.signature, args, named)
        wrong = wrong or parameters.misfit(name, args, named)
        others = [x for x in args if not isinstance(x, Tensor)]
        if wrong is None and not others and isinstance(error, (IndexError, ValueError)):
            # A shape was taken apart that has other axes.
            wrong = ShapeError(
                f"[{name}] the inputs do not fit", got=", ".join(map(shown, args))
            )
        if wrong is None and others:
            wrong = ArgumentTypeError(
                f"[{name}] an input must be a tensor",
                got=shown(others[0]),
                fix="convert it with plait.asarray",
            )
        return wrong

    def _call_with_hooks(self, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        assert self._hooks is not None
        for hook, wants_named in list(self._hooks.before.values()):
            if wants_named:
                changed = hook(self, args, named)
                if changed is not None:
                    args, named = changed
            else:
                changed = hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        before, behind = self._hooks.before_backward, self._hooks.backward
        if before or behind:
            run = functools.partial(self.forward, **named)
            result = watched(self, before.values(), behind.values(), args, run)
        else:
            result = self.forward(*args, **named)
        for hook, wants_named in list(self._hooks.after.values()):
            changed = (
                hook(self, args, named, result)
                if wants_named
                else hook(self, args, result)
            )
            if changed is not None:
                result = changed
        return result

    def _locate(self, error: PlaitError) -> None:
        """Extend the layer path of an error that leaves this module's call."""
        inner = error.module
        if inner is None and error.layer:
            return  # it is known already
        if inner is not None and inner is not self:
            names = (name for name, module in self.named_modules() if module is inner)
            name = next(names, type(inner).__name__)
            error.layer = f"{name}.{error.layer}" if error.layer else name
        error.module = self

    # What the module owns

    def __setattr__(self, name: str, value: Any) -> None:
        kind = self._kind(name)
        if isinstance(value, (Parameter, Buffer, Module)):
            if "training" not in self.__dict__:
                raise ArgumentError(
                    f"[{type(self).__name__}] {name!r} is assigned before the module "
                    "is ready to own it",
                    fix="call super().__init__() first",
                )
            if kind is None or not isinstance(value, kind):
                if kind is Parameter:
                    raise self._not_a(kind, name, value)
                # As in PyTorch, what begins to be owned stands last.
                self.__dict__.pop(name, None)
        elif kind is not None:
            if value is None:
                object.__setattr__(self, "_vacant", {**self._vacant, name: kind})
            else:
                value = self._replacement(name, kind, value)
        object.__setattr__(self, name, value)

    def _kind(self, name: str) -> type | None:
        """Return what the attribute is for: Parameter, Buffer, Module, or None."""
        value = self.__dict__.get(name, _MISSING)
        if value is None:
            return self._vacant.get(name)
        for kind in (Parameter, Buffer, Module):
            if isinstance(value, kind):
                return kind
        return None

    def _replacement(self, name: str, kind: type, value: Any) -> Any:
        """Return what an attribute of `kind` becomes when `value` is assigned to it."""
        if kind is Buffer and isinstance(value, Tensor):
            before = self.__dict__.get(name)
            return Buffer(value, before.persistent if before is not None else True)
        raise self._not_a(kind, name, value)

    def _not_a(self, kind: type, name: str, value: Any) -> ArgumentTypeError:
        fixes = {
            Parameter: "assign an nn.Parameter, or change its values with "
            f"`with plait.no_grad(): module.{name}.copy_(...)`",
            Buffer: "assign a tensor",
            Module: "assign a module, or `del` the attribute first",
        }
        return ArgumentTypeError(
            f"[{type(self).__name__}] {name!r} is a {kind.__name__} and can only "
            "become another one, or None",
            got=f"a {type(value).__name__}",
            fix=fixes[kind],
        )

    def _owned(self, kind: type[Owned]) -> list[tuple[str, Owned]]:
        return [(n, x) for n, x in self.__dict__.items() if isinstance(x, kind)]

    def _nested(
        self, kind: type[Owned], prefix: str, recurse: bool, once: bool
    ) -> Iterator[tuple[str, Owned]]:
        modules = (
            self.named_modules(prefix, remove_duplicate=once)
            if recurse
            else [(prefix, self)]
        )
        seen: set[int] = set()
        for path, module in modules:
            for name, owned in module._owned(kind):
                if not (once and id(owned) in seen):
                    seen.add(id(owned))
                    yield _joined(path, name), owned

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield (name, parameter) of this module and, if `recurse`, of those inside."""
        return self._nested(Parameter, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield every parameter once."""
        return (parameter for _, parameter in self.named_parameters("", recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Buffer]]:
        """Yield (name, buffer) of this module and, if `recurse`, of those inside."""
        return self._nested(Buffer, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Buffer]:
        """Yield every buffer once."""
        return (buffer for _, buffer in self.named_buffers("", recurse))

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) of what this module owns directly, each once."""
        return self._nested(Module, "", False, True)

    def children(self) -> Iterator[Module]:
        """Yield the modules that this one owns directly, each once."""
        return (module for _, module in self.named_children())

    def named_modules(
        self, prefix: str = "", *, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield (name, module): this one as `prefix`, then all inside, depth first."""
        # Without duplicates, no module is entered twice; with them, none inside itself.
        entered: set[int] = set()

        def walk(path: str, module: Module) -> Iterator[tuple[str, Module]]:
            if id(module) in entered:
                return
            entered.add(id(module))
            yield path, module
            for name, child in module._owned(Module):
                yield from walk(_joined(path, name), child)
            if not remove_duplicate:
                entered.remove(id(module))

        return walk(prefix, self)

    def modules(self) -> Iterator[Module]:
        """Yield this module and all inside it, each once."""
        return (module for _, module in self.named_modules())

    def _check_name(self, name: str, kind: type) -> None:
        if type(name) is not str or not name or "." in name:
            raise ArgumentError(
                f"[{type(self).__name__}] this cannot be the name of a {kind.__name__}",
                got=repr(name),
                expected="text that is not empty and has no dot",
            )
        if hasattr(self, name) and self._kind(name) is not kind:
            raise ArgumentError(
                f"[{type(self).__name__}] another attribute has this name already",
                got=repr(name),
            )

    def _register(self, name: str, kind: type, value: Any) -> None:
        self._check_name(name, kind)
        if value is not None and not isinstance(value, kind):
            raise self._not_a(kind, name, value)
        setattr(self, name, value)
        if value is None:
            object.__setattr__(self, "_vacant", {**self._vacant, name: kind})

    def add_module(self, name: str, module: Module | None) -> None:
        """Own `module` under a name that need not be a Python name."""
        self._register(name, Module, module)

    register_module = add_module

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """Own `parameter` under `name`; None keeps the place for one."""
        self._register(name, Parameter, parameter)

    def register_buffer(
        self, name: str, tensor: Tensor | None, persistent: bool = True
    ) -> None:
        """Own a buffer holding `tensor` under `name`; None keeps the place for one."""
        if isinstance(tensor, Tensor):
            tensor = Buffer(tensor, persistent)
        self._register(name, Buffer, tensor)

    def _get(self, path: str, kind: type[Owned]) -> Owned:
        found: Any = self
        for i, name in enumerate(path.split(".") if path else ()):
            found = found.__dict__.get(name) if isinstance(found, Module) else None
            if not isinstance(found, (Module, Parameter, Buffer)):
                at = ".".join(path.split(".")[:i])
                raise ArgumentError(
                    f"[{type(self).__name__}] there is no {kind.__name__} of this name",
                    got=f"{path!r}: no {name!r} in {repr(at) if at else 'this module'}",
                )
        if not isinstance(found, kind):
            raise ArgumentError(
                f"[{type(self).__name__}] this is no {kind.__name__}",
                got=f"{path!r}, a {type(found).__name__}",
            )
        return found

    def get_submodule(self, target: str) -> Module:
        """Return the module at a path such as `layers.0.linear`; "" is this one."""
        return self._get(target, Module)

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter at a path such as `layers.0.weight`."""
        return self._get(target, Parameter)

    def get_buffer(self, target: str) -> Buffer:
        """Return the buffer at a path such as `norm.running_mean`."""
        return self._get(target, Buffer)

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module at a path such as `layers.0.linear`.

        Args:
            target: the path; all but its last name must be there.
            module: what to put there.
            strict: there must be a module there already.

        Raises:
            ArgumentError: the path leads through something that is no module; or there
                is none to replace and `strict`.
        """
        path, _, name = target.rpartition(".")
        owner = self._get(path, Module)
        if strict:
            owner._get(name, Module)
        owner.add_module(name, module)

    # Hooks

    def register_forward_pre_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
    ) -> HookHandle:
        """Call `hook(module, args)` before `forward`.

        What it returns, unless None, replaces the arguments: a tuple, or one argument.

        Args:
            prepend: call it before the hooks there are.
            with_kwargs: call `hook(module, args, kwargs)`, which returns both or None.

        Returns:
            A handle whose `remove()` takes the hook away.
        """
        if self._hooks is None:
            self._hooks = _Hooks()
        return HookHandle(self._hooks.before, (hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
    ) -> HookHandle:
        """Call `hook(module, args, result)` after `forward`.

        What it returns, unless None, replaces the result.

        Args:
            prepend: call it before the hooks there are.
            with_kwargs: call `hook(module, args, kwargs, result)`.

        Returns:
            A handle whose `remove()` takes the hook away.
        """
        if self._hooks is None:
            self._hooks = _Hooks()
        return HookHandle(self._hooks.after, (hook, with_kwargs), prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> HookHandle:
        """Call `hook(module, grad_output)` when gradients reach the module's result.

        `grad_output` is a tuple of the gradients of what `forward` returned, a tensor
        or several; None for what has none. What the hook returns, unless None, replaces
        them: a tuple, or one tensor.

        Args:
            prepend: call it before the hooks there are.

        Returns:
            A handle whose `remove()` takes the hook away.
        """
        if self._hooks is None:
            self._hooks = _Hooks()
        return HookHandle(self._hooks.before_backward, hook, prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> HookHandle:
        """Call `hook(module, grad_input, grad_output)` when gradients left the module.

        `grad_input` is a tuple of the gradients of the positional arguments of
        `forward`, with what this call adds to them; None for what has none. What the
        hook returns, unless None, replaces them: a tuple, or one tensor.

        Args:
            prepend: call it before the hooks there are.

        Returns:
            A handle whose `remove()` takes the hook away.
        """
        if self._hooks is None:
            self._hooks = _Hooks()
        return HookHandle(self._hooks.backward, hook, prepend)

    # Changing all that is inside

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call `function` on every module inside, then on this one; return this one."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Put this module and all inside in training mode, or out of it; return it."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Put this module and all inside in evaluation mode; return it."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask for gradients of all parameters, or for none; return this module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to 0."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = plait.zeros_like(parameter.grad)

    def to(self, *targets: Any, dtype: Any = None, device: Any = None) -> Self:
        """Convert parameters and buffers in place; return this module.

        Args:
            targets: a dtype, a device or its name, or a tensor to take both from. A
                dtype must be floating-point, and converts only what is.

        Raises:
            ArgumentError: the dtype is not floating-point.
        """
        probe = plait.zeros(()).to(*targets, dtype=dtype, device=device)
        if not plait.isdtype(probe.dtype, "real floating"):
            raise ArgumentError(
                "[to] a module can only be converted to a floating-point type",
                got=probe.dtype.name,
            )
        owned: list[Tensor] = [*self.parameters(), *self.buffers()]
        for tensor in owned:
            if plait.isdtype(tensor.dtype, "real floating"):
                tensor.data = tensor.to(*targets, dtype=dtype, device=device)
                if tensor.grad is not None:
                    tensor.grad = tensor.grad.to(tensor.dtype).to_device(tensor.device)
            else:
                tensor.data = tensor.to_device(probe.device)
        return self

    def float(self) -> Self:
        """Convert floating-point parameters and buffers to float32 in place."""
        return self.to(plait.float32)

    def double(self) -> Self:
        """Convert floating-point parameters and buffers to float64 in place."""
        return self.to(plait.float64)

    def half(self) -> Self:
        """Convert floating-point parameters and buffers to float16 in place."""
        return self.to(plait.float16)

    def bfloat16(self) -> Self:
        """Convert floating-point parameters and buffers to bfloat16 in place."""
        return self.to(plait.bfloat16)

    def cpu(self) -> Self:
        """Move parameters and buffers to the CPU; return this module."""
        return self.to("cpu")

    # State

    def state_dict(
        self, *, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Tensor]:
        """Return the values of parameters and persistent buffers by name.

        Names and their order are those of PyTorch. The values are those of now: later
        changes of the module do not reach them.

        Args:
            prefix: set before all names.
            keep_vars: return the parameters and buffers themselves, which change with
                the module and require gradients.

        Raises:
            ShapeError: a lazy layer was not called yet, and has no values.
        """
        entries = state.entries(self, prefix)
        if keep_vars:
            return entries
        return {name: tensor.detach() for name, tensor in entries.items()}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> state.LoadedKeys:
        """Set parameters and persistent buffers to values by name, cast as needed.

        Nothing is changed if it fails. Lazy layers find their sizes in the values.

        Args:
            state_dict: tensors or arrays by name, as `state_dict` gives them.
            strict: the names must be exactly those of this module.
            assign: keep the dtypes of the values, rather than those of the module.

        Returns:
            The names that were missing and those that were not expected.

        Raises:
            StateDictError: a shape differs, or the names do while `strict`.
        """
        return state.load(self, state_dict, strict, assign)

    if not TYPE_CHECKING:  # else every name would pass for one of ours
        __getattr__ = missing("plait.nn.Module")

    # Text

    def extra_repr(self) -> str:
        """Return what stands in the brackets of this module's text."""
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self._shown)

    def _unusual(self, **usual: Any) -> str:
        """Return ", name=value" for each setting that is not as usual."""
        return "".join(
            f", {name}={getattr(self, name)}"
            for name, value in usual.items()
            if getattr(self, name) != value
        )

    def __repr__(self) -> str:
        own = self.extra_repr().splitlines()
        lines = [
            f"({name}): " + repr(child).replace("\n", "\n  ")
            for name, child in self._owned(Module)
        ]
        name = type(self).__name__
        if not lines and len(own) < 2:
            return f"{name}({''.join(own)})"
        return "\n  ".join([f"{name}(", *own, *lines]) + "\n)"


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


runs_layers(Module.__call__)

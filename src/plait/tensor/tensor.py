"""The face: a lazy handle that feels like a NumPy array and differentiates like
PyTorch.

A tensor is *pending* (a node of the current trace) or *concrete* (it has a value). It
is run when somebody looks. Tensors never share memory that can be written: indexing
gives a new tensor, and in-place operators make the handle stand for a new value.

Read first: `Tensor`.
"""

from __future__ import annotations

import operator
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar
from weakref import ref

import numpy as np

from ..dtypes import DType, as_dtype
from ..errors import (
    ArgumentError,
    ArgumentTypeError,
    DTypeError,
    GradientError,
    ShapeError,
    TracingError,
)
from ..ir.build import make_input
from ..ir.graph import Node, TensorType
from ..ops import contract, elementwise, indexing, movement, source
from ..unchanged import lend
from . import autograd
from .adopt import watch
from .device import CPU, Device, as_device
from .lift import is_operand, lift, lift_operator
from .record import before_change, hold, mark_variable, record
from .run import evaluate
from .trie import as_operand, install, recorder

Scalar = bool | int | float
Key = Any
Subclass = TypeVar("Subclass", bound="Tensor")


def _swapped(op: Any) -> Any:
    """Return the method of an operator whose left operand is no tensor."""
    lifted = lift(op)

    def method(self: Tensor, other: Any) -> Any:
        return lifted(other, self) if is_operand(other) else NotImplemented

    return method


def _in_place(op: Any) -> Any:
    """Return an in-place operator: the handle then stands for the new value."""
    lifted = lift(op)

    def method(self: Tensor, other: Any) -> Any:
        if not is_operand(other):
            return NotImplemented
        self._assign(lifted(self, other), op.__name__)
        return self

    return method


class Tensor:
    """An n-dimensional array of one element type, recorded lazily.

    Made by `plait.tensor`, `plait.asarray`, `plait.zeros` and so on, and by every op.

    Attributes:
        shape: tuple of sizes.
        dtype: element type, for example `plait.float32`.
        device: where the bytes lie.
        grad: what `backward()` has accumulated; None before.
        requires_grad: whether `backward()` reaches this tensor.
    """

    def __new__(cls, *args: Any, **named: Any) -> Any:
        raise ArgumentTypeError(
            "a tensor is not made by calling Tensor", fix="use plait.tensor(data)"
        )

    _node: Any
    _trace: Any = None
    _value: Any = None
    _requires_grad = False
    _history: Any = None
    _cohort: Any = None
    _hooks: Any = None
    _after_hooks: Any = None
    grad: Any = None

    # NumPy leaves mixed expressions to us.
    __array_ufunc__ = None

    # Facts, known without running

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        return self._node.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> DType:
        """The element type."""
        return self._node.dtype  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._node.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._node.size  # type: ignore[no-any-return]

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.dtype.itemsize

    @property
    def device(self) -> Device:
        """Where the bytes lie."""
        return CPU

    def numel(self) -> int:
        """Return the number of elements."""
        return self.size

    def dim(self) -> int:
        """Return the number of axes."""
        return self.ndim

    def __len__(self) -> int:
        if not self.shape:
            raise ArgumentTypeError("a scalar tensor has no length")
        return self.shape[0]

    __hash__ = object.__hash__

    # Looking at values

    def numpy(self) -> np.ndarray:
        """Return the values as a NumPy array without a copy; it is read-only.

        Raises:
            TracingError: inside a function that is only being recorded.
        """
        view = evaluate(self).view()
        view.flags.writeable = False
        return view

    def item(self) -> Scalar:
        """Return the value of a tensor of one element as a Python number.

        Raises:
            ShapeError: there is not exactly one element.
        """
        if self.size != 1:
            raise ShapeError(
                "[item] only a tensor of one element is a number",
                got=f"shape {self.shape}",
                fix="use .tolist() or .numpy()",
            )
        value = evaluate(self)
        if self.dtype.name == "bfloat16":
            return float(value.reshape(()))
        return value.item()  # type: ignore[no-any-return]

    def tolist(self) -> Any:
        """Return the values as nested lists of Python numbers."""
        value = evaluate(self)
        if self.dtype.name == "bfloat16":
            value = value.astype(np.float32)
        return value.tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        if dtype is not None and np.dtype(dtype) != array.dtype:
            if copy is False:
                raise ArgumentError("another dtype needs a copy", got="copy=False")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __bool__(self) -> bool:
        return bool(self._scalar("bool"))

    def __int__(self) -> int:
        return int(self._scalar("int"))

    def __float__(self) -> float:
        return float(self._scalar("float"))

    def __complex__(self) -> complex:
        return complex(self._scalar("complex"))

    def __index__(self) -> int:
        if not self.dtype.is_integer or self.ndim:
            raise ArgumentTypeError(
                "only an integer tensor of no axes can be an index",
                got=f"{self.dtype.name} of shape {self.shape}",
            )
        return operator.index(self.item())  # type: ignore[arg-type]

    def _scalar(self, kind: str) -> Scalar:
        if self.size != 1:
            raise ShapeError(
                f"[{kind}] a tensor of several elements has no single value",
                got=f"shape {self.shape}",
                fix="use .any() or .all(), or compare an element",
            )
        return self.item()

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise ArgumentTypeError("a scalar tensor cannot be iterated over")
        return iter([self[i] for i in range(self.shape[0])])

    def __contains__(self, value: Any) -> bool:
        found = self == value
        return isinstance(found, Tensor) and bool(found.any())  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        parts = [f"shape={self.shape}", f"dtype={self.dtype.name}"]
        if self.requires_grad:
            parts.append("requires_grad=True")
        try:
            array = evaluate(self)
        except TracingError:
            return f"tensor(<not computed>, {', '.join(parts)})"
        if self.dtype.name == "bfloat16":
            array = array.astype(np.float32)
        text = np.array2string(array, separator=", ", prefix="tensor(", precision=4)
        return f"tensor({text}, {', '.join(parts)})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self.size == 1 else repr(self)

    # Exchange

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        if self.dtype.name == "bfloat16":
            raise BufferError(
                "NumPy cannot export bfloat16; use x.bitcast(plait.uint16)"
            )
        if stream is not None:
            raise BufferError("a CPU tensor has no stream")
        array = self.numpy()
        if max_version is None or max_version[0] < 1:
            # Such consumers know no read-only arrays: they get their own copy, or, if
            # they insist, the memory itself.
            if copy is not False:
                return array.copy().__dlpack__()
            value = evaluate(self)
            lend(value)
            return value.__dlpack__()
        if copy:
            return array.copy().__dlpack__(max_version=max_version)
        return array.__dlpack__(max_version=max_version, dl_device=dl_device)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        namespace = sys.modules[__name__.partition(".")[0]]
        offered = namespace.ARRAY_API_VERSIONS
        if api_version not in (None, *offered):
            raise ArgumentError(
                "this version of the Array API standard is not offered",
                got=repr(api_version),
                expected=" or ".join(offered),
            )
        return namespace

    def __reduce__(self) -> Any:
        return (
            _restore,
            (type(self), np.array(self.numpy()), self.dtype.name, self.requires_grad),
        )

    def __copy__(self) -> Tensor:
        evaluate(self)
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        copied._trace = copied._hooks = copied._after_hooks = copied.grad = None
        copied._cohort = None
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        value = np.array(self.numpy())
        copied = _restore(type(self), value, self.dtype.name, self._requires_grad)
        memo[id(self)] = copied
        return copied

    # Types and places

    def to(self, *targets: Any, dtype: Any = None, device: Any = None) -> Tensor:
        """Return this tensor as another dtype, or on another device.

        Args:
            targets: a dtype, a device or its name, or a tensor to take both from.
        """
        for target in targets:
            if isinstance(target, Tensor):
                dtype = target.dtype
            elif isinstance(target, Device) or (
                isinstance(target, str) and target.split(":")[0] in ("cpu", "cuda")
            ):
                device = target
            elif target is not None:
                dtype = as_dtype(target)
        as_device(device)
        return self if dtype is None else _cast(self, dtype=as_dtype(dtype))

    def to_device(self, device: Any, /, *, stream: Any = None) -> Tensor:
        """Return this tensor on `device`."""
        as_device(device)
        return self

    def cpu(self) -> Tensor:
        """Return this tensor on the CPU."""
        return self

    def type_as(self, other: Tensor) -> Tensor:
        """Return this tensor in the dtype of `other`."""
        return self.to(other.dtype)

    def float(self) -> Tensor:
        """Return this tensor as float32."""
        return self.to("float32")

    def double(self) -> Tensor:
        """Return this tensor as float64."""
        return self.to("float64")

    def half(self) -> Tensor:
        """Return this tensor as float16."""
        return self.to("float16")

    def bfloat16(self) -> Tensor:
        """Return this tensor as bfloat16."""
        return self.to("bfloat16")

    def int(self) -> Tensor:
        """Return this tensor as int32."""
        return self.to("int32")

    def long(self) -> Tensor:
        """Return this tensor as int64."""
        return self.to("int64")

    def bool(self) -> Tensor:
        """Return whether each element is not zero."""
        return self.to("bool")

    # Derivatives

    @property
    def requires_grad(self) -> Any:
        """Whether `backward()` reaches this tensor."""
        if self._requires_grad or self._history is not None:
            return True
        return self._trace is not None and self._node.differentiable

    @requires_grad.setter
    def requires_grad(self, value: Any) -> None:
        self.requires_grad_(value)

    @property
    def is_leaf(self) -> Any:
        """Whether this tensor was not computed from others that require a gradient."""
        return self._requires_grad or not self.requires_grad

    def requires_grad_(self, requires_grad: Any = True) -> Tensor:
        """Ask for, or stop, a gradient to be accumulated here; return this tensor.

        Raises:
            DTypeError: it is not floating-point.
            GradientError: it was computed from tensors that require a gradient.
        """
        if not self.is_leaf:
            if requires_grad:
                return self
            raise GradientError(
                "[requires_grad] a computed tensor cannot stop requiring a gradient",
                fix="use x.detach()",
            )
        if requires_grad == self._requires_grad:
            return self
        if requires_grad and not self.dtype.is_float:
            raise DTypeError(
                "[requires_grad] only floating-point tensors have gradients",
                got=self.dtype.name,
            )
        self._leave_cohort()
        self._requires_grad = requires_grad
        if self._value is not None:
            self._trace = None  # enters anew, as what it is now
        elif requires_grad:
            mark_variable(self)
        else:
            self._become(_detach(self))
        return self

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: Any = None,
        create_graph: Any = False,
        inputs: Sequence[Tensor] | None = None,
    ) -> None:
        """Add the derivative of this tensor to `.grad` of every leaf it depends on.

        Args:
            gradient: the cotangent of this tensor. Default: 1, for a tensor of one
                element.
            retain_graph: allow another `backward()` through the same graph. Default:
                what `create_graph` is.
            create_graph: make the gradients differentiable themselves.
            inputs: accumulate only into these leaves.

        Raises:
            GradientError: this tensor depends on no leaf that requires a gradient, has
                several elements and no `gradient`, or its graph was used up.
        """
        if isinstance(inputs, Tensor):
            inputs = [inputs]
        autograd.backward(
            [self],
            [None if gradient is None else as_operand(gradient)],
            bool(create_graph if retain_graph is None else retain_graph),
            bool(create_graph),
            None if inputs is None else [as_operand(x) for x in inputs],
        )

    def detach(self) -> Tensor:
        """Return this tensor without derivative."""
        return _detach(self)  # type: ignore[no-any-return]

    def detach_(self) -> Tensor:
        """Cut this tensor off from what it was computed from; return it."""
        self._become(_detach(self))
        self._leave_cohort()
        self._requires_grad = False
        self._hooks = None
        return self

    @property
    def data(self) -> Tensor:
        """This tensor without derivative."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if self._requires_grad and not value.dtype.is_float:
            raise DTypeError(
                "[data] a tensor that requires a gradient must stay floating-point",
                got=value.dtype.name,
            )
        self._become(_detach(value) if value.requires_grad else value)
        if self._requires_grad:
            if self._value is None:
                mark_variable(self)
            else:
                self._trace = None  # enters anew, as the leaf that it is

    def as_subclass(self, cls: type[Subclass]) -> Subclass:
        """Return this tensor as an instance of `cls`, a subclass of `Tensor`.

        Derivatives flow through. It is how subclasses make their instances.
        """
        new = object.__new__(cls)
        new._become(self.clone() if self.requires_grad else self)
        return new

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> HookHandle:
        """Call `hook(gradient)` when the gradient of this tensor is computed.

        What the hook returns, unless None, replaces the gradient.

        Returns:
            A handle whose `remove()` takes the hook away.
        """
        if not self.requires_grad:
            raise GradientError(
                "[register_hook] this tensor requires no gradient",
                fix="pass requires_grad=True when making what it is computed from",
            )
        if self._hooks is None:
            self._hooks = OrderedDict()
            if self._requires_grad:
                hold(self)
            else:
                watch(self, self._hooks)
        return HookHandle(self._hooks, hook)

    def retain_grad(self) -> None:
        """Let `backward()` accumulate `.grad` here, though this is no leaf."""
        if self.is_leaf and self.requires_grad:
            return
        this = ref(self)

        def keep(gradient: Tensor) -> None:
            tensor = this()
            if tensor is not None:
                before = tensor.grad
                tensor.grad = gradient if before is None else before + gradient

        self.register_hook(keep)

    def register_post_accumulate_grad_hook(
        self, hook: Callable[[Tensor], None]
    ) -> HookHandle:
        """Call `hook(tensor)` after a gradient was added to this leaf's `.grad`."""
        if self._after_hooks is None:
            self._after_hooks = OrderedDict()
            hold(self)
        return HookHandle(self._after_hooks, hook)

    # In place

    def _become(self, new: Tensor) -> None:
        """Let this handle stand for what `new` stands for."""
        if recorder.trace.function is not None:
            before_change(self)
        self._leave_cohort()
        self._trace, self._node, self._value = new._trace, new._node, new._value
        self._history = new._history
        if self._value is None:
            self._trace.pending.append(ref(self))

    def _leave_cohort(self) -> None:
        """Enter traces alone from now on, as this tensor changes."""
        if self._cohort is not None:
            self._cohort.valid = False
            self._cohort = None

    def _assign(self, new: Tensor, op: str) -> None:
        """Replace the value of this tensor, as an in-place operation does.

        Raises:
            GradientError: a leaf that requires a gradient, outside `no_grad`.
            ShapeError, DTypeError: the new value does not fit.
        """
        leaf = self._requires_grad
        if leaf and recorder.grad_enabled:
            raise GradientError(
                f"[{op}] a leaf that requires a gradient is changed in place",
                fix="do it under plait.no_grad(), or compute a new tensor",
            )
        if new.shape != self.shape:
            raise ShapeError(
                f"[{op}] the result does not fit in place",
                got=f"{new.shape} for a tensor of shape {self.shape}",
            )
        if new.dtype is not self.dtype:
            if new.dtype.is_float and not self.dtype.is_float:
                raise DTypeError(
                    f"[{op}] the result does not fit in place",
                    got=f"{new.dtype.name} for a tensor of {self.dtype.name}",
                    fix="convert the tensor first, for example x = x.to(plait.float32)",
                )
            new = new.to(self.dtype)
        if self._hooks and not self.is_leaf:
            self._hooks = None  # they stay with what this tensor was
        self._become(new)
        if leaf:
            mark_variable(self)

    def copy_(self, values: Any) -> Tensor:
        """Set all elements to those of `values`, broadcast and cast; return this
        tensor.
        """
        self._assign(_like(values, self), "copy_")
        return self

    def fill_(self, value: Any) -> Tensor:
        """Set all elements to `value`; return this tensor."""
        self._assign(_full_like(self, value), "fill_")
        return self

    def zero_(self) -> Tensor:
        """Set all elements to 0; return this tensor."""
        return self.fill_(0)

    def __getitem__(self, key: Key) -> Tensor:
        spec, operands = indexing.parse_index(_plain_key(key), self.shape)
        return record(_get_index, [self, *operands], (spec,))  # type: ignore[no-any-return]

    def __setitem__(self, key: Key, value: Any) -> None:
        spec, operands = indexing.parse_index(_plain_key(key), self.shape)
        self._assign(record(_set_index, [self, value, *operands], (spec,)), "setitem")

    # Shapes

    @property
    def T(self) -> Tensor:
        """The transpose of a matrix."""
        if self.ndim != 2:
            raise ShapeError(
                "[T] only a matrix has a transpose",
                got=f"shape {self.shape}",
                fix="use .mT for stacks of matrices, or permute",
            )
        return _matrix_transpose(self)  # type: ignore[no-any-return]

    @property
    def mT(self) -> Tensor:
        """Each matrix transposed: the last two axes exchanged."""
        return _matrix_transpose(self)  # type: ignore[no-any-return]

    def reshape(self, *shape: Any) -> Tensor:
        """Return the elements in row-major order in another shape; one size may be
        -1.
        """
        return _reshape(self, _sizes(shape))  # type: ignore[no-any-return]

    view = reshape

    def permute(self, *axes: Any) -> Tensor:
        """Return this tensor with its axes in another order."""
        return _permute(self, _sizes(axes))  # type: ignore[no-any-return]

    def expand(self, *shape: Any) -> Tensor:
        """Return this tensor broadcast to `shape`; -1 keeps a size."""
        sizes = _sizes(shape)
        lead = len(sizes) - self.ndim
        sizes = tuple(
            self.shape[i - lead] if n == -1 and i >= lead else n
            for i, n in enumerate(sizes)
        )
        return _broadcast_to(self, sizes)  # type: ignore[no-any-return]

    def repeat(self, *sizes: Any) -> Tensor:
        """Return this tensor repeated `sizes[i]` times along axis i."""
        return _tile(self, _sizes(sizes))  # type: ignore[no-any-return]

    def unsqueeze(self, *axis: Any, **named: Any) -> Tensor:
        """Return this tensor with a new axis of size 1 at `axis`."""
        return _expand_dims(self, *axis, **named)  # type: ignore[no-any-return]

    def t(self) -> Tensor:
        """Return the transpose of a matrix."""
        return self.T

    def contiguous(self) -> Tensor:
        """Return this tensor; the compiler chooses how elements lie in memory."""
        return self

    def clone(self) -> Tensor:
        """Return a tensor of the same values; derivatives flow through."""
        return _clone(self)  # type: ignore[no-any-return]

    # Operators

    __add__ = lift_operator(elementwise.add)
    __radd__ = _swapped(elementwise.add)
    __iadd__ = _in_place(elementwise.add)
    __sub__ = lift_operator(elementwise.subtract)
    __rsub__ = _swapped(elementwise.subtract)
    __isub__ = _in_place(elementwise.subtract)
    __mul__ = lift_operator(elementwise.multiply)
    __rmul__ = _swapped(elementwise.multiply)
    __imul__ = _in_place(elementwise.multiply)
    __truediv__ = lift_operator(elementwise.divide)
    __rtruediv__ = _swapped(elementwise.divide)
    __itruediv__ = _in_place(elementwise.divide)
    __floordiv__ = lift_operator(elementwise.floor_divide)
    __rfloordiv__ = _swapped(elementwise.floor_divide)
    __ifloordiv__ = _in_place(elementwise.floor_divide)
    __mod__ = lift_operator(elementwise.remainder)
    __rmod__ = _swapped(elementwise.remainder)
    __imod__ = _in_place(elementwise.remainder)
    __rpow__ = _swapped(elementwise.pow)
    __matmul__ = lift_operator(contract.matmul)
    __rmatmul__ = _swapped(contract.matmul)
    __imatmul__ = _in_place(contract.matmul)
    __and__ = lift_operator(elementwise.bitwise_and)
    __rand__ = _swapped(elementwise.bitwise_and)
    __iand__ = _in_place(elementwise.bitwise_and)
    __or__ = lift_operator(elementwise.bitwise_or)
    __ror__ = _swapped(elementwise.bitwise_or)
    __ior__ = _in_place(elementwise.bitwise_or)
    __xor__ = lift_operator(elementwise.bitwise_xor)
    __rxor__ = _swapped(elementwise.bitwise_xor)
    __ixor__ = _in_place(elementwise.bitwise_xor)
    __lshift__ = lift_operator(elementwise.bitwise_left_shift)
    __rlshift__ = _swapped(elementwise.bitwise_left_shift)
    __ilshift__ = _in_place(elementwise.bitwise_left_shift)
    __rshift__ = lift_operator(elementwise.bitwise_right_shift)
    __rrshift__ = _swapped(elementwise.bitwise_right_shift)
    __irshift__ = _in_place(elementwise.bitwise_right_shift)
    __eq__ = lift_operator(elementwise.equal)
    __ne__ = lift_operator(elementwise.not_equal)
    __lt__ = lift_operator(elementwise.less)
    __le__ = lift_operator(elementwise.less_equal)
    __gt__ = lift_operator(elementwise.greater)
    __ge__ = lift_operator(elementwise.greater_equal)
    __neg__ = lift(elementwise.negative)
    __pos__ = lift(elementwise.positive)
    __abs__ = lift(elementwise.abs)
    __invert__ = lift(elementwise.bitwise_invert)

    def __pow__(self, exponent: Any) -> Tensor:
        if not is_operand(exponent):
            return NotImplemented
        # A small integer exponent is static: x ** 2 is then x * x.
        if exponent.__class__ is int and exponent in (1, 2):
            power: Tensor = _square(self) if exponent == 2 else _positive(self)
            return power
        return _power(self, exponent)  # type: ignore[no-any-return]

    def __ipow__(self, exponent: Any) -> Tensor:
        self._assign(self**exponent, "power")
        return self


def _same(x: Node) -> Node:
    return x


_clone = lift(_same)
_cast = lift(elementwise.cast)
_detach = lift(source.stop_gradient)
_positive = lift(elementwise.positive)
_square = lift(elementwise.square)
_power = lift(elementwise.pow)
_full_like = lift(source.full_like)
_matrix_transpose = lift(movement.matrix_transpose)
_reshape = lift(movement.reshape)
_permute = lift(movement.permute_dims)
_broadcast_to = lift(movement.broadcast_to)
_tile = lift(movement.tile)
_expand_dims = lift(movement.expand_dims)


class HookHandle:
    """What registering a hook returns; `remove()` takes the hook away."""

    __slots__ = ("_hooks", "_key")
    _made = 0

    def __init__(
        self, hooks: OrderedDict[int, Any], hook: Any, first: bool = False
    ) -> None:
        HookHandle._made += 1
        self._hooks = hooks
        self._key = HookHandle._made
        hooks[self._key] = hook
        if first:
            hooks.move_to_end(self._key, last=False)

    def remove(self) -> None:
        """Take the hook away."""
        self._hooks.pop(self._key, None)


def _sizes(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Accept sizes as one tuple or as several arguments."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(args[0])
    return tuple(int(n) if isinstance(n, Tensor) else n for n in args)


def _plain_key(key: Key) -> Key:
    """Return an index key in which bool masks are NumPy arrays, whose values count."""
    if isinstance(key, tuple):
        return tuple(_plain_key(item) for item in key)
    if isinstance(key, Tensor) and key.dtype.kind == "bool":
        return key.numpy()
    return key


def _like(values: Any, target: Tensor) -> Tensor:
    """Return `values` broadcast and cast to the type of `target`."""
    if not isinstance(values, Tensor):
        try:
            array = np.array(values, target.dtype.numpy)
        except (TypeError, ValueError) as error:
            raise ArgumentTypeError(
                "[copy_] this cannot be read as a tensor",
                got=f"a {type(values).__name__}: {error}",
            ) from None
        values = concrete(array, target.dtype)
    fitted: Tensor = _cast(_broadcast_to(values, target.shape), dtype=target.dtype)
    return fitted


def _get_index(x: Any, *rest: Any) -> Any:
    *indices, spec = rest
    return indexing.get_index(x, *indices, spec=spec)


def _set_index(x: Any, value: Any, *rest: Any) -> Any:
    *indices, spec = rest
    return indexing.set_index(x, value, *indices, spec=spec)


_prototypes: dict[TensorType, Any] = {}


def concrete(value: np.ndarray, dtype: DType, cls: type[Tensor] = Tensor) -> Tensor:
    """Return a tensor that holds `value`, which nobody may change from now on."""
    tensor = object.__new__(cls)
    type = TensorType(value.shape, dtype)
    node = _prototypes.get(type)
    if node is None:
        node = _prototypes.setdefault(type, make_input(type.shape, dtype))
    tensor._node = node
    tensor._value = value
    return tensor


def _restore(cls: Any, value: np.ndarray, dtype: str, requires_grad: Any) -> Tensor:
    tensor = concrete(value, as_dtype(dtype), cls)
    tensor._requires_grad = bool(requires_grad)
    return tensor


def _from_array(x: Any) -> Tensor:
    """Convert an operand that is no tensor: a NumPy array is copied."""
    if isinstance(x, (bool, int, float)):
        dtype = as_dtype(type(x))
        return concrete(np.asarray(x, dtype.numpy), dtype)
    if isinstance(x, np.ndarray):
        return concrete(np.array(x, order="C"), as_dtype(x.dtype))
    raise ArgumentTypeError(
        "an operand is neither a tensor nor a number",
        got=f"a {type(x).__name__}",
        fix="convert it with plait.asarray",
    )


install(Tensor, _from_array)

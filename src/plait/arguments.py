"""What arguments may be, as their annotations say, and errors for those that are not.

    class Linear(Module):  # a `Checked`
        def __init__(self, in_features: Size, bias: bool = True) -> None: ...

    nn.Linear(-1)  # [Linear] in_features must be an integer of at least 0. Got: -1.

An argument is looked at when an object is made, not when it is used, which may be
much later. Whoever fits pays for a look at its class.

Read first: `Checked`, `checked`, `kind_of`.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import os
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

import numpy as np

from .errors import ArgumentError, ArgumentTypeError, PlaitError
from .late import late

if TYPE_CHECKING:
    import difflib
else:  # needed for a name that is not there
    difflib = late("difflib")

Made = TypeVar("Made", bound=Callable[..., Any])


class Bounds(NamedTuple):
    """Between which numbers one must lie.

    Attributes:
        low, high: the bounds.
        open_low, open_high: whether it must differ from the bound.
    """

    low: float
    high: float = float("inf")
    open_low: bool = False
    open_high: bool = False

    def hold(self, x: Any) -> bool:
        """Return whether a number lies between them. nan does not."""
        above = x > self.low if self.open_low else x >= self.low
        below = x < self.high if self.open_high else x <= self.high
        return bool(above and below)

    def text(self) -> str:
        """Return them in words that stand behind "a number"."""
        low = f"above {self.low:g}" if self.open_low else f"of at least {self.low:g}"
        if self.high == float("inf"):
            return low
        if self.open_low or self.open_high:
            return f"{low} and below {self.high:g}"
        return f"from {self.low:g} to {self.high:g}"


class Arrays:
    """Marks numbers or tensors that may be given as any array, or as lists."""

    @staticmethod
    def hold(x: Any) -> bool:
        """Return whether a tensor can be made of something."""
        return isinstance(x, (list, tuple, np.generic)) or any(
            hasattr(x, name) for name in ("__array__", "__dlpack__")
        )


# Numbers that many arguments are.
Size = Annotated[int, Bounds(0)]
Count = Annotated[int, Bounds(1)]
# Of parts that are made one by one.
Depth = Annotated[int, Bounds(1, 10_000)]
Probability = Annotated[float, Bounds(0, 1)]
NotNegative = Annotated[float, Bounds(0)]
Positive = Annotated[float, Bounds(0, open_low=True)]
# How much of what was before is kept: it would stay for ever with 1.
Decay = Annotated[float, Bounds(0, 1, open_high=True)]
# One number for all axes, or one for each.
Sizes = Size | Sequence[Size]
Counts = Count | Sequence[Count]
Probabilities = Probability | Sequence[Probability]
Reduction = Literal["mean", "sum", "none"]


class Kind(NamedTuple):
    """What a value may be.

    Attributes:
        one, many: in words: "an integer", "integers".
        fits: whether a value is such a thing; with False, whether it would be if its
            size did not matter.
        classes: values of just these classes always fit.
    """

    one: str
    many: str
    fits: Callable[[Any, bool], bool]
    classes: frozenset[type] = frozenset()


def _of_class(one: str, many: str, kind: type, *others: type) -> Kind:
    return Kind(
        one, many, lambda x, _: isinstance(x, (kind, *others)), frozenset([kind])
    )


# Programs count in 64 bits.
_ENDLESS = 1 << 63


def _is_integer(x: Any, whole: bool) -> bool:
    # Most are `int`, and no bool, which is quickly seen.
    if type(x) is not int and (not isinstance(x, Integral) or isinstance(x, bool)):
        return False
    return not whole or -_ENDLESS < int(x) < _ENDLESS


def _is_endless(x: Any) -> bool:
    items = x if isinstance(x, (list, tuple)) else (x,)
    return any(_is_integer(y, False) and not _is_integer(y, True) for y in items)


def _is_number(x: Any, _: bool) -> bool:
    return isinstance(x, Real) and not isinstance(x, bool)


def _is_truth(x: Any, _: bool) -> bool:
    return isinstance(x, np.bool_) or (isinstance(x, int) and x in (0, 1))


ANYTHING = Kind("anything", "anything", lambda x, _: True)
_NONE = _of_class("None", "None", type(None))
_PLAIN: dict[Any, Kind] = {
    bool: Kind("True or False", "truth values", _is_truth, frozenset([bool])),
    int: Kind("an integer", "integers", _is_integer),
    float: Kind("a number", "numbers", _is_number, frozenset([float, int])),
    str: _of_class("a string", "strings", str),
    bytes: _of_class("bytes", "bytes", bytes, bytearray, memoryview),
    type(None): _NONE,
    None: _NONE,
    Any: ANYTHING,
    object: ANYTHING,
}
_TENSORS = ("a tensor", "a tensor or None")
_LISTS = (
    tuple,
    list,
    collections.abc.Sequence,
    collections.abc.Collection,
    collections.abc.Iterable,
)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def kind_of(hint: Any) -> Kind:
    """Return what an annotation says; `ANYTHING` for one that says nothing of use."""
    if isinstance(hint, collections.abc.Hashable) and hint in _PLAIN:
        return _PLAIN[hint]
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _bounded(kind_of(parts[0]), parts[1:])
    if origin in (Union, types.UnionType):
        return _either([kind_of(part) for part in parts])
    if origin is Literal:
        return _listed(parts)
    if (origin or hint) in _MAPPINGS:
        return _of_class("a dict", "dicts", collections.abc.Mapping)
    if (origin or hint) in _LISTS:
        return _row(origin or hint, parts)
    if (origin or hint) is collections.abc.Callable:
        return Kind("a function", "functions", lambda x, _: callable(x))
    if origin is type:
        return Kind("a class", "classes", lambda x, _: isinstance(x, type))
    if isinstance(origin or hint, type) and not getattr(hint, "_is_protocol", False):
        return _object(origin or hint)
    return ANYTHING


def _object(kind: type) -> Kind:
    name = kind.__name__
    if name == "Tensor":
        return _of_class("a tensor", "tensors", kind)
    article = "an" if name[0] in "AEIOU" else "a"
    return _of_class(f"{article} {name}", f"objects of class {name}", kind)


def _bounded(kind: Kind, marks: Sequence[Any]) -> Kind:
    if any(mark is Arrays for mark in marks):
        return kind._replace(fits=lambda x, w: kind.fits(x, w) or Arrays.hold(x))
    bounds = [mark for mark in marks if isinstance(mark, Bounds)]
    text = "".join(f" {one.text()}" for one in bounds)

    def fits(x: Any, whole: bool) -> bool:
        if not kind.fits(x, whole):
            return False
        return not whole or all(one.hold(x) for one in bounds)

    return Kind(kind.one + text, kind.many + text, fits)


def _either(kinds: Sequence[Kind]) -> Kind:
    if ANYTHING in kinds:
        return ANYTHING
    return Kind(
        _joined(kind.one for kind in kinds),
        _joined(kind.many for kind in kinds),
        lambda x, whole: any(kind.fits(x, whole) for kind in kinds),
        frozenset().union(*(kind.classes for kind in kinds)),
    )


def _joined(words: Iterable[str]) -> str:
    """Return words as a choice between them."""
    *first, last = dict.fromkeys(words)
    return f"{', '.join(first)} or {last}" if first else last


def _listed(values: Sequence[Any]) -> Kind:
    text = _joined(map(repr, values))
    classes = tuple({type(value) for value in values})

    def fits(x: Any, whole: bool) -> bool:
        return isinstance(x, classes) and (not whole or x in values)

    return Kind(text, text, fits)


def _row(row: Any, parts: Sequence[Any]) -> Kind:
    """Return what a sequence is, or something else to go through."""
    if row is not tuple or (len(parts) == 2 and parts[1] is Ellipsis):
        item = kind_of(parts[0]) if parts else ANYTHING
        return _uniform(row, item)
    items = [kind_of(part) for part in parts]

    def fits(x: Any, whole: bool) -> bool:
        if not isinstance(x, (list, tuple)) or (whole and len(x) != len(items)):
            return False
        return all(k.fits(y, whole) for k, y in zip(items, x, strict=False))

    alike = {item.many for item in items}
    inside = (
        f"{len(items)} {items[0].many}"
        if len(alike) == 1
        else ", ".join(item.one for item in items)
    )
    return Kind(f"a tuple of {inside}", f"tuples of {inside}", fits)


def _uniform(row: Any, item: Kind) -> Kind:
    # What can be gone through once alone is not looked into.
    least: Any = (list, collections.abc.Sequence, np.ndarray)
    if row in (collections.abc.Iterable, collections.abc.Collection):
        least = row

    def fits(x: Any, whole: bool) -> bool:
        if not isinstance(x, least):
            return False
        if item is ANYTHING:
            return True
        if isinstance(x, (str, bytes)):
            return False
        if not isinstance(x, (list, tuple, np.ndarray)):
            return True
        return all(item.fits(y, whole) for y in x)

    inside = "" if item is ANYTHING else f" of {item.many}"
    if row is collections.abc.Iterable:
        return Kind(f"an iterable{inside}", f"iterables{inside}", fits)
    return Kind(f"a list or tuple{inside}", f"lists or tuples{inside}", fits)


def shown(value: Any) -> str:
    """Return a value as an error shows it. What may be long is only described."""
    if isinstance(value, (str, int, float, type(None), range)) or (
        isinstance(value, (list, tuple))
        and all(isinstance(x, (str, int, float, type(None))) for x in value)
    ):
        text = repr(value)
        return text if len(text) <= 80 else f"{text[:77]}..."
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    room = type(value).__module__.partition(".")[0]
    if isinstance(value, np.ndarray):
        name = "array"
    elif room in ("torch", "tensorflow", "jax", "jaxlib"):
        name = f"{room}.{name}"  # which may have tensors of their own
    article = "an" if name[0] in "AEIOUaeiou" else "a"
    shape = getattr(value, "shape", None)
    return f"{article} {name}" + ("" if shape is None else f" of shape {tuple(shape)}")


def within_plait(error: BaseException) -> bool:
    """Return whether an error came up in plait's own code, and not in the user's."""
    trace = error.__traceback__
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_FOLDER):
            return False
        trace = trace.tb_next
    return True


class Parameters:
    """What the arguments of one function are to be.

    Attributes:
        signature: its signature, without `self`.
        kinds: what each argument must be, by name.
        positional: the same of those that can be given by their place, in order.
    """

    def __init__(self, function: Callable[..., Any], method: bool = False) -> None:
        signature = inspect.signature(function)
        found = list(signature.parameters.values())[method:]
        names = inspect.unwrap(function).__globals__
        self.signature = bare(signature.replace(parameters=found))
        self.kinds = {
            p.name: kind_of(_evaluated(p.annotation, names))
            for p in found
            if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        }
        self.positional = [
            self.kinds[p.name]
            for p in found
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]

    def check(self, name: str, args: Sequence[Any], named: Mapping[str, Any]) -> None:
        """Raise unless each argument is what it must be.

        Args:
            name: of the function or class, for messages.
            args, named: what it is called with.

        Raises:
            ArgumentTypeError: one is of another type.
            ArgumentError: one has a value that is out of range, or not on a list.
        """
        wrong = self.misfit(name, args, named)
        if wrong is not None:
            raise wrong

    def misfit(
        self, name: str, args: Sequence[Any], named: Mapping[str, Any]
    ) -> PlaitError | None:
        """Return what `check` would raise."""
        given = {**dict(zip(self.kinds, args, strict=False)), **named}
        for argument, value in given.items():
            kind = self.kinds.get(argument, ANYTHING)
            if kind.fits(value, True):
                continue
            error = ArgumentError if kind.fits(value, False) else ArgumentTypeError
            fault = f"must be {kind.one}"
            if error is ArgumentError and _is_endless(value):
                fault = "does not fit in 64 bits"
            return error(
                f"[{name}] {argument} {fault}",
                got=shown(value),
                fix="convert it with plait.asarray" if kind.one in _TENSORS else "",
            )
        return None

    def spelled(self, name: str, args: Sequence[Any], named: Mapping[str, Any]) -> str:
        """Return a call as it may stand in a program."""
        given = {**dict(zip(self.kinds, args, strict=False)), **named}
        inside = ", ".join(f"{key}={shown(value)}" for key, value in given.items())
        return f"{name}({inside})"


def bare(signature: inspect.Signature) -> inspect.Signature:
    """Return a signature without annotations, which would fill lines."""
    found = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return signature.replace(parameters=found)


def misbound(
    name: str, signature: inspect.Signature, args: Sequence[Any], named: Collection[str]
) -> PlaitError | None:
    """Return what is wrong if arguments are missing, unknown, too many or given twice.

    Args:
        name: of the function or class, for messages.
        signature: as it is to be shown.
        args, named: the arguments by place, and the names of the others.
    """
    parameters = signature.parameters
    kinds = {p.kind for p in parameters.values()}
    known = [p.name for p in parameters.values() if p.kind not in _OPEN]
    by_place = [n for n in known if parameters[n].kind is not _BY_NAME]
    unknown = [key for key in named if key not in known]
    given = [*by_place[: len(args)], *named]
    twice = [key for key in given if given.count(key) > 1]
    needed = [n for n in known if parameters[n].default is inspect.Parameter.empty]
    missing = [n for n in needed if n not in given]
    got = fix = ""
    if unknown and inspect.Parameter.VAR_KEYWORD not in kinds:
        what, fix = f"there is no argument {unknown[0]!r}", _advice(unknown[0], known)
    elif len(args) > len(by_place) and inspect.Parameter.VAR_POSITIONAL not in kinds:
        what, got = "too many positional arguments", str(len(args))
    elif twice:
        what = f"the argument {twice[0]!r} is given twice"
    elif missing:
        what, got = "an argument is missing", f"no {' and no '.join(missing)}"
    else:
        return None
    called = str(signature.replace(return_annotation=inspect.Signature.empty))
    return ArgumentTypeError(
        f"[{name}] {what}", got=got, expected=name + called, fix=fix
    )


_BY_NAME = inspect.Parameter.KEYWORD_ONLY
_OPEN = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _advice(unknown: str, known: Sequence[str]) -> str:
    ours = [name for name in _ELSEWHERE.get(unknown, ()) if name in known]
    near = ours or difflib.get_close_matches(unknown, known, 1)
    return f"did you mean {near[0]!r}?" if near else _ADVICE.get(unknown, "")


def _evaluated(annotation: Any, names: dict[str, Any]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, names)
    except (NameError, AttributeError, TypeError):
        return Any  # it is known to type checkers alone


# What other frameworks call arguments, and what they may be called here.
_ELSEWHERE: dict[str, tuple[str, ...]] = {
    "alpha": ("negative_slope", "alpha"),
    "axis": ("dim", "normalized_shape"),
    "beta_1": ("betas",),
    "beta_2": ("betas",),
    "batch": ("batch_size",),
    "callbacks": ("hooks",),
    "channels": ("num_channels", "in_channels"),
    "collate_fn": ("collate",),
    "dilation_rate": ("dilation",),
    "dim": ("axis",),
    "epsilon": ("eps",),
    "features": ("out_features", "num_features"),
    "filters": ("out_channels",),
    "input_dim": ("in_features", "num_embeddings", "input_size"),
    "key_dim": ("head_dim", "embed_dim"),
    "kernel_shape": ("kernel_size",),
    "learning_rate": ("lr",),
    "loss": ("loss_function",),
    "monitor": ("watch",),
    "num_units": ("out_features", "hidden_size"),
    "num_workers": ("prefetch",),
    "out_dim": ("out_features", "embedding_dim"),
    "output_dim": ("out_features", "embedding_dim"),
    "pool_size": ("kernel_size",),
    "rate": ("p",),
    "rho": ("alpha", "rho"),
    "save_best_only": ("best",),
    "strides": ("stride",),
    "units": ("out_features", "hidden_size"),
    "use_bias": ("bias",),
    "val_loader": ("evaluate_on",),
    "validation_data": ("evaluate_on",),
    "verbose": ("quiet",),
    "weight_decay_rate": ("weight_decay",),
    "window_shape": ("kernel_size",),
}
_ADVICE = dict.fromkeys(
    ("kernel_initializer", "bias_initializer", "weights", "kernel_init", "bias_init"),
    "set the parameters afterwards, with the functions of nn.init",
)
_ADVICE |= dict.fromkeys(
    ("kernel_regularizer", "bias_regularizer", "activity_regularizer"),
    "add a penalty to the loss with nn.RegularizedLoss",
)
_ADVICE |= dict.fromkeys(
    ("kernel_constraint", "bias_constraint"),
    "hold parameters to a constraint with train.Constrain",
)
_ADVICE |= {
    "activation": "put the activation behind the layer, in nn.Sequential",
    "clipnorm": "clip gradients with optim.clip_grad_norm_",
    "clipvalue": "clip gradients with optim.clip_grad_value_",
    "data_format": "axes of channels stand before spatial ones",
    "input_shape": "shapes are those of the input; nn.Lazy... layers find out sizes",
    "name": "what owns an object gives it its name",
    "pin_memory": "the processor's memory is all there is",
    "sampler": "choose samples with the methods of plait.data.Dataset",
    "pretrained": "give weights=PATH, a file of them",
    "seed": "call plait.manual_seed",
    "validation_split": "split the data with plait.data.Dataset.split",
}


def checked(function: Made) -> Made:
    """Have a function look at its arguments before it runs.

    An `__init__` may stand in any class: messages name the class of the object.
    """
    method = function.__name__ == "__init__"
    owner = function.__qualname__.split(".")[0]
    # Made at the first call: most functions are never called.
    known: list[Parameters] = []

    def name_of(args: Sequence[Any]) -> str:
        # What users derive is theirs to explain.
        if not method:
            return call.__name__
        kind = type(args[0])
        ours = kind.__module__.startswith(_PACKAGE) or kind.__init__ is call
        return kind.__name__ if ours else owner

    @functools.wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        if not known:
            known.append(Parameters(function, method))
        parameters = known[0]
        for kind, value in zip(parameters.positional, args[method:], strict=False):
            if value.__class__ not in kind.classes and not kind.fits(value, True):
                parameters.check(name_of(args), args[method:], {})
        if named:
            parameters.check(name_of(args), (), named)
        try:
            return function(*args, **named)
        except PlaitError as error:
            # Of what is made on the way, the user knows nothing.
            if not error.what.startswith(f"[{name_of(args)}]"):
                error.call = parameters.spelled(name_of(args), args[method:], named)
            raise
        except TypeError as error:
            # Only if it never began to run has the traceback an end here.
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            signature = parameters.signature
            wrong = misbound(name_of(args), signature, args[method:], named)
            if wrong is None:
                raise
        raise wrong

    return typing.cast(Made, call)


_PACKAGE = __name__.rpartition(".")[0] + "."
_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Checked:
    """A base of classes that look at what their objects are made with.

    Those that users derive look at what they hand on to ours, and at nothing else.
    """

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        if cls.__module__.startswith(_PACKAGE) and "__init__" in vars(cls):
            setattr(cls, "__init__", checked(vars(cls)["__init__"]))  # noqa: B010

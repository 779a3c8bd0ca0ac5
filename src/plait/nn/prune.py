"""Pruning: weights that are set to zero and stay so, by a mask.

    prune.l1_unstructured(layer, "weight", amount=0.3)     # the smallest three tenths
    prune.remove(layer, "weight")                          # for good

The layer's parameter becomes `weight_orig`, with a buffer `weight_mask` of ones and
zeros, and `layer.weight` their product, under PyTorch's names. Pruning once more takes
from what is left.

Read first: `l1_unstructured`, `custom_from_mask`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import plait
from plait import Tensor

from ..errors import ArgumentError, ArgumentTypeError, ShapeError
from .linear import axis_number
from .module import Module
from .parameter import Buffer, Parameter
from .parametrize import computed, restored

Array = NDArray[Any]


def identity(module: Module, name: str) -> Module:
    """Make a parameter one that is pruned, with nothing pruned yet.

    Args:
        module: the layer; it is changed.
        name: the parameter, such as "weight".

    Returns:
        The layer.
    """
    value = _value("identity", module, name)
    return _masked(module, name, np.ones(value.shape, bool))


def random_unstructured(module: Module, name: str, amount: float) -> Module:
    """Prune elements that are drawn at random.

    Args:
        module: the layer; it is changed.
        name: the parameter.
        amount: how many, an integer; or a fraction of what is left, from 0 to 1.

    Returns:
        The layer.

    Raises:
        ArgumentError: there are not as many, or the fraction is out of range.
        ArgumentTypeError: there is no such parameter.
    """
    kept = _left("random_unstructured", module, name)
    scores = plait.rand(*kept.shape).numpy()
    return _without_least("random_unstructured", module, name, amount, scores, kept)


def l1_unstructured(
    module: Module, name: str, amount: float, importance_scores: Any = None
) -> Module:
    """Prune the elements that are smallest, whatever their sign.

    Args:
        module: the layer; it is changed.
        name: the parameter.
        amount: how many, an integer; or a fraction of what is left, from 0 to 1.
        importance_scores: what is to be small, of the parameter's shape. Default: the
            parameter.

    Returns:
        The layer.

    Raises:
        ArgumentError: there are not as many, or the fraction is out of range.
        ArgumentTypeError: there is no such parameter.
        ShapeError: the scores are of another shape.
    """
    kept = _left("l1_unstructured", module, name)
    scores = _scores("l1_unstructured", module, name, importance_scores)
    return _without_least("l1_unstructured", module, name, amount, abs(scores), kept)


def random_structured(module: Module, name: str, amount: float, dim: int) -> Module:
    """Prune whole slices along an axis, such as channels, drawn at random.

    Args:
        module: the layer; it is changed.
        name: the parameter.
        amount: how many slices, an integer; or a fraction, from 0 to 1.
        dim: the axis.

    Returns:
        The layer.

    Raises:
        ArgumentError: there are not as many, or the fraction is out of range.
        AxisError: there is no such axis.
    """
    kept = _left("random_structured", module, name)
    count = kept.shape[axis_number("random_structured", dim, kept.shape)]
    scores = plait.rand(count).numpy()
    return _without_slices("random_structured", module, name, amount, scores, kept, dim)


def ln_structured(
    module: Module,
    name: str,
    amount: float,
    n: float,
    dim: int,
    importance_scores: Any = None,
) -> Module:
    """Prune whole slices along an axis, such as channels, those of the smallest norm.

    Args:
        module: the layer; it is changed.
        name: the parameter.
        amount: how many slices, an integer; or a fraction, from 0 to 1.
        n: the order of the norm.
        dim: the axis.
        importance_scores: whose norm is taken, of the parameter's shape. Default: the
            parameter.

    Returns:
        The layer.

    Raises:
        ArgumentError: there are not as many, or the fraction is out of range.
        AxisError: there is no such axis.
    """
    kept = _left("ln_structured", module, name)
    axis = axis_number("ln_structured", dim, kept.shape)
    scores = _scores("ln_structured", module, name, importance_scores)
    rows = np.moveaxis(scores, axis, 0).reshape(kept.shape[axis], -1)
    norms = np.linalg.norm(rows, ord=n, axis=1)
    return _without_slices("ln_structured", module, name, amount, norms, kept, dim)


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    amount: float,
    importance_scores: Any = None,
) -> None:
    """Prune the smallest elements of several parameters together.

    Args:
        parameters: pairs of a layer and the name of its parameter.
        amount: how many in all, an integer; or a fraction of what is left of all.
        importance_scores: by pair, what is to be small. Default: the parameters.

    Raises:
        ArgumentError: there are not as many, or the fraction is out of range.
    """
    op = "global_unstructured"
    pairs = list(parameters)
    given = importance_scores or {}
    kept = [_left(op, *pair) for pair in pairs]
    scores = [abs(_scores(op, *pair, given.get(pair))) for pair in pairs]
    flat = np.concatenate([x.ravel() for x in scores]) if pairs else np.zeros(0)
    left = np.concatenate([x.ravel() for x in kept]) if pairs else np.zeros(0, bool)
    mask = _least(op, amount, flat, left)
    start = 0
    for (module, name), part in zip(pairs, kept, strict=True):
        own = mask[start : start + part.size].reshape(part.shape)
        start += part.size
        _masked(module, name, own)


def custom_from_mask(module: Module, name: str, mask: Any) -> Module:
    """Prune what a mask says.

    Args:
        module: the layer; it is changed.
        name: the parameter.
        mask: ones where an element stays and zeros where not, of the parameter's shape.

    Returns:
        The layer.

    Raises:
        ShapeError: the mask has another shape.
    """
    kept = _left("custom_from_mask", module, name)
    given = np.asarray(mask) != 0
    if given.shape != kept.shape:
        raise ShapeError(
            "[custom_from_mask] the mask is not of the parameter's shape",
            got=str(given.shape),
            expected=str(kept.shape),
        )
    return _masked(module, name, given & kept)


def remove(module: Module, name: str) -> Module:
    """Make a parameter that is pruned an ordinary one, with zeros in it.

    Args:
        module: the layer; it is changed.
        name: the parameter.

    Returns:
        The layer.

    Raises:
        ArgumentError: the parameter is not pruned.
    """
    original = vars(module).get(f"{name}_orig")
    if original is None:
        raise ArgumentError(
            f"[remove] {name!r} of {type(module).__name__} is not pruned"
        )
    with plait.no_grad():
        value = getattr(module, name).detach()
    delattr(module, f"{name}_orig")
    delattr(module, f"{name}_mask")
    restored(module, name, Parameter(value, original.requires_grad))
    return module


def is_pruned(module: Module) -> bool:
    """Return whether a parameter of a module, or of one inside it, is pruned."""
    return any(
        name.endswith("_mask") and f"{name.removesuffix('_mask')}_orig" in vars(inner)
        for inner in module.modules()
        for name in vars(inner)
    )


def sparsity(module: Module) -> float:
    """Return the fraction of a module's pruned parameters that is zero.

    Returns:
        From 0 to 1; 0 if nothing is pruned.
    """
    total = zeros = 0
    for path, inner in module.named_modules():
        del path
        for name, value in vars(inner).items():
            if name.endswith("_mask") and isinstance(value, Buffer):
                mask = value.numpy()
                total += mask.size
                zeros += int((mask == 0).sum())
    return zeros / total if total else 0.0


def _value(op: str, module: Module, name: str) -> Tensor:
    value = vars(module).get(f"{name}_orig", vars(module).get(name))
    if not isinstance(value, Parameter):
        raise ArgumentTypeError(
            f"[{op}] {type(module).__name__} has no parameter {name!r}",
            got=type(value).__name__,
        )
    return value


def _left(op: str, module: Module, name: str) -> Array:
    """Return which elements are not pruned yet."""
    value = _value(op, module, name)
    mask = vars(module).get(f"{name}_mask")
    return np.ones(value.shape, bool) if mask is None else mask.numpy() != 0


def _scores(op: str, module: Module, name: str, given: Any) -> Array:
    value = _value(op, module, name)
    scores = np.asarray(value.detach().numpy() if given is None else given, np.float64)
    if scores.shape != value.shape:
        raise ShapeError(
            f"[{op}] the scores are not of the parameter's shape",
            got=str(scores.shape),
            expected=str(value.shape),
        )
    return scores


def _number(op: str, amount: float, size: int) -> int:
    """Return how many of `size` are to go."""
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        raise ArgumentTypeError(
            f"[{op}] amount must be a number", got=type(amount).__name__
        )
    if isinstance(amount, int):
        if not 0 <= amount <= size:
            raise ArgumentError(
                f"[{op}] there are not as many to prune",
                got=f"amount={amount} of {size}",
            )
        return amount
    if not 0 <= amount <= 1:
        raise ArgumentError(
            f"[{op}] a fraction lies in 0..1", got=f"amount={amount}",
            fix="pass an integer for a number of elements",
        )  # fmt: skip
    return round(amount * size)


def _least(op: str, amount: float, scores: Array, kept: Array) -> Array:
    """Return which elements stay: of those that do, the lowest scores go."""
    places = np.flatnonzero(kept)
    number = _number(op, amount, places.size)
    order = np.argsort(scores.ravel()[places], kind="stable")
    mask = kept.ravel().copy()
    mask[places[order[:number]]] = False
    return mask.reshape(kept.shape)


def _without_least(
    op: str, module: Module, name: str, amount: float, scores: Array, kept: Array
) -> Module:
    return _masked(module, name, _least(op, amount, scores, kept))


def _without_slices(
    op: str,
    module: Module,
    name: str,
    amount: float,
    scores: Array,
    kept: Array,
    dim: int,
) -> Module:
    axis = axis_number(op, dim, kept.shape)
    other = tuple(i for i in range(kept.ndim) if i != axis)
    some: Array = np.asarray(kept.any(axis=other))
    stays = _least(op, amount, scores, some)
    shape = [1] * kept.ndim
    shape[axis] = -1
    return _masked(module, name, kept & stays.reshape(shape))


def _masked(module: Module, name: str, mask: Array) -> Module:
    original = _value("prune", module, name)
    values = plait.tensor(mask, dtype=original.dtype)
    if f"{name}_mask" in vars(module):
        setattr(module, f"{name}_mask", values)
        return module
    computed(module, name, functools.partial(_product, name), prefix="Pruned")
    setattr(module, f"{name}_orig", original)
    module.register_buffer(f"{name}_mask", values)
    return module


def _product(name: str, module: Module) -> Tensor:
    product: Tensor = getattr(module, f"{name}_orig") * getattr(module, f"{name}_mask")
    return product

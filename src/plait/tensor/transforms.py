"""Functions of functions: derivatives, vectorisation, control flow, custom derivatives.

All of them compose with one another, to any order. Those that differentiate record in
the trace at hand, so Python branches on values work inside; those that need a function
for any values (`vmap`, `scan`, `cond`, `while_loop`, `recompute`, `custom_vjp`, `jit`)
record it once as a graph.

Read first: `value_and_grad`, `vmap`, `scan`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ArgumentError, GradientError, ShapeError
from ..ir.build import inline, make_input
from ..ir.graph import Graph, Node, TensorType, remembered
from ..ops import elementwise, movement, source
from ..shapes import normalize_axis
from ..transform import control, region
from ..transform.batch import batch_graph
from ..transform.scan import scan as scan_graph
from ..trees import flatten, unflatten
from . import autograd
from .create import asarray
from .lift import lift
from .record import Recorded, grad_mode, record, record_function
from .tensor import Tensor
from .trie import CONSTANT, LEAF

Function = Callable[..., Any]


def _tensors(tree: Any) -> tuple[list[Tensor], Any]:
    leaves, structure = flatten(tree)
    return [asarray(leaf) for leaf in leaves], structure


def _scalar_output(name: str, loss: Any) -> Tensor:
    if not isinstance(loss, Tensor) or loss.size != 1:
        raise GradientError(
            f"[{name}] the function must return a tensor of one element",
            got=f"shape {loss.shape}"
            if isinstance(loss, Tensor)
            else type(loss).__name__,
            fix="reduce it, for example with .sum(), or use plait.jacobian",
        )
    return loss


def _replaced(args: Sequence[Any], argnums: int | Sequence[int], op: str) -> Any:
    """Return the arguments with those to differentiate by as aliases, and what they
    were.

    Returns:
        New arguments, the leaves, their aliases, and the structure of the chosen ones.
    """
    chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for n in chosen:
        if not -len(args) <= n < len(args):
            raise ArgumentError(
                f"[{op}] there is no such argument",
                got=f"argnums={n} of {len(args)} positional arguments",
            )
    picked = tuple(args[n] for n in chosen)
    leaves, structure = _tensors(picked)
    aliases = autograd.aliases(leaves, op)
    new = list(args)
    for n, value in zip(chosen, unflatten(structure, aliases), strict=True):
        new[n] = value
    return new, list(zip(aliases, leaves, strict=True)), structure


def _released(tree: Any, pairs: Sequence[tuple[Tensor, Tensor]]) -> Any:
    leaves, structure = flatten(tree)
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    fresh = autograd.released([leaves[i] for i in places], pairs)
    for i, tensor in zip(places, fresh, strict=True):
        leaves[i] = tensor
    return unflatten(structure, leaves)


def value_and_grad(
    function: Function, argnums: int | Sequence[int] = 0, *, has_aux: bool = False
) -> Function:
    """Return a function giving `(value, gradient)` of a scalar function.

    Args:
        function: returns a tensor of one element, or `(value, aux)` with `has_aux`.
        argnums: positional arguments to differentiate by: trees of floating-point
            tensors. The gradient has their structure; a tuple of them for several.

    Raises:
        GradientError: the value has several elements.
    """

    @functools.wraps(function)
    def wrapped(*args: Any, **named: Any) -> Any:
        with grad_mode(True):
            new, pairs, structure = _replaced(args, argnums, "grad")
            result = function(*new, **named)
        value, aux = result if has_aux else (result, None)
        loss = _scalar_output("grad", value)
        found = autograd.gradients([loss], [None], pairs)
        gradients = unflatten(structure, found)
        gradients = gradients[0] if isinstance(argnums, int) else gradients
        value, aux = _released((value, aux), pairs)
        return ((value, aux) if has_aux else value), gradients

    return wrapped


def grad(
    function: Function, argnums: int | Sequence[int] = 0, *, has_aux: bool = False
) -> Function:
    """Return a function giving the gradient of a scalar function.

    Arguments as in `value_and_grad`. With `has_aux` it gives `(gradient, aux)`.
    """
    both = value_and_grad(function, argnums, has_aux=has_aux)

    @functools.wraps(function)
    def wrapped(*args: Any, **named: Any) -> Any:
        value, gradients = both(*args, **named)
        return (gradients, value[1]) if has_aux else gradients

    return wrapped


def vjp(function: Function, *primals: Any) -> tuple[Any, Function]:
    """Return `function(*primals)` and the function from cotangents to cotangents.

    Formula: the second maps a cotangent of the result, of its structure, to the tuple
    of cotangents of `primals`: c -> c @ J.
    """
    with grad_mode(True):
        new, pairs, structure = _replaced(primals, range(len(primals)), "vjp")
        result = function(*new)
    outputs, out_structure = _tensors(result)

    def pull(cotangent: Any) -> Any:
        seeds, seed_structure = _tensors(cotangent)
        if seed_structure != out_structure:
            raise ArgumentError(
                "[vjp] the cotangent has not the structure of the result",
                got=f"{len(seeds)} tensors for {len(outputs)} outputs",
            )
        for seed, output in zip(seeds, outputs, strict=True):
            if seed.shape != output.shape:
                raise ShapeError(
                    "[vjp] a cotangent differs in shape from its output",
                    got=f"{seed.shape} for an output of shape {output.shape}",
                )
        seeds = [s.to(o.dtype) for s, o in zip(seeds, outputs, strict=True)]
        return unflatten(structure, autograd.gradients(outputs, seeds, pairs))

    return _released(result, pairs), pull


def jvp(
    function: Function, primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Any, Any]:
    """Return `function(*primals)` and its derivative along `tangents`.

    Formula: J @ tangents, in forward mode, at the cost of a few evaluations.
    """
    with grad_mode(True):
        new, pairs, structure = _replaced(list(primals), range(len(primals)), "jvp")
    directions, given = _tensors(tuple(tangents))
    if given != structure:
        raise ArgumentError("[jvp] primals and tangents differ in structure")
    for direction, (_, leaf) in zip(directions, pairs, strict=True):
        if direction.shape != leaf.shape:
            raise ShapeError(
                "[jvp] a tangent differs in shape from its primal",
                got=f"{direction.shape} for {leaf.shape}",
            )
    directions = [
        d.to(leaf.dtype) for d, (_, leaf) in zip(directions, pairs, strict=True)
    ]
    with grad_mode(True):
        result = function(*new)
    outputs, out_structure = _tensors(result)
    found = autograd.tangents(outputs, pairs, directions)
    return _released(result, pairs), unflatten(out_structure, found)


def jacobian(function: Function, argnums: int | Sequence[int] = 0) -> Function:
    """Return a function giving the Jacobian: all derivatives of a tensor by a tensor.

    Args:
        function: from tensors, or trees of them, to tensors.
        argnums: by which of its arguments, counted from 0; one or several.

    Returns:
        For each output of shape s and argument of shape t, a tensor of shape s + t, in
        the structure of the outputs and, inside, of the arguments.
    """

    @functools.wraps(function)
    def wrapped(*args: Any, **named: Any) -> Any:
        with grad_mode(True):
            new, pairs, structure = _replaced(args, argnums, "jacobian")
            result = function(*new, **named)
        outputs, out_structure = _tensors(result)
        rows = []
        for output in outputs:
            found = autograd.jacobian_of(output, pairs)
            inner = unflatten(structure, found)
            rows.append(inner[0] if isinstance(argnums, int) else inner)
        return unflatten(out_structure, rows)

    return wrapped


def hessian(function: Function, argnums: int = 0) -> Function:
    """Return a function giving the matrix of second derivatives of a scalar function.

    Args:
        function: from tensors to a scalar.
        argnums: by which of its arguments, counted from 0.

    For an argument of shape s the result has shape s + s.
    """
    return jacobian(grad(function, argnums), argnums)


# Functions recorded as graphs


def _graph_of(
    name: str, function: Function, structure: Any, types: Sequence[TensorType]
) -> tuple[Recorded, Any]:
    """Record `function`, called with the tree of `structure`, and its result's
    structure.
    """
    found: list[Any] = []

    def flat(arguments: list[Tensor]) -> list[Tensor]:
        result = function(*unflatten(structure, arguments))
        leaves, out = flatten(result)
        found.append(out)
        return leaves

    kinds = [LEAF if type.dtype.is_float else CONSTANT for type in types]
    return record_function(name, flat, types, kinds), found[0]


def _types(tensors: Sequence[Tensor]) -> list[TensorType]:
    return [tensor._node.type for tensor in tensors]


def recompute(function: Function) -> Function:
    """Return `function` with its intermediate values recomputed for the derivative.

    They are not kept between the forward and the backward pass: memory is traded for
    time. The values are the same.

    Source: Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost.
    """

    @functools.wraps(function)
    def wrapped(*args: Any, **named: Any) -> Any:
        tensors, structure = _tensors((args, named))

        def call(args: Any, named: Any) -> Any:
            return function(*args, **named)

        recorded, out = _graph_of("recompute", call, structure, _types(tensors))
        operands = [*tensors, *recorded.captured]
        results = record(_recompute, operands, (recorded.graph,))
        return unflatten(out, results)

    return wrapped


def _strong(operands: Sequence[Node]) -> list[Node]:
    """Return operands of which none is weak: bodies of graphs fix their types."""
    return [elementwise.cast(x, x.dtype) if x.weak else x for x in operands]


def _recompute(*values: Any) -> Any:
    *operands, graph = values
    return region.recompute(_strong(operands), graph)


class custom_vjp:
    """A function with a reverse-mode derivative of its own.

    Use as a decorator, then give the rule with `defvjp(forward, backward)`:
    `forward(*args)` returns `(result, residuals)`, and `backward(residuals, cotangent)`
    returns one cotangent for each argument (None for none).

    Example:
        >>> import plait
        >>> @plait.custom_vjp
        ... def clip_gradient(x):
        ...     return x
        >>> clip_gradient.defvjp(lambda x: (x, None), lambda _, ct: (ct.clip(-1, 1),))
    """

    def __init__(self, function: Function) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._rule: tuple[Function, Function] | None = None

    def defvjp(self, forward: Function, backward: Function) -> None:
        """Give the rule."""
        self._rule = (forward, backward)

    def __call__(self, *args: Any) -> Any:
        if self._rule is None:
            raise GradientError(
                f"[custom_vjp] {self.__name__} has no rule yet",  # type: ignore[attr-defined]
                fix="call defvjp(forward, backward) after defining it",
            )
        forward, backward = self._rule
        tensors, structure = _tensors(args)
        types = _types(tensors)
        primal, out = _graph_of("custom_vjp", self._function, structure, types)
        shapes: dict[str, Any] = {}

        def with_residuals(*given: Any) -> Any:
            result, residuals = forward(*given)
            flat, shapes["result"] = flatten(result)
            saved, shapes["residuals"] = _tensors(residuals)
            shapes["count"] = len(saved)
            return [*flat, *saved]

        ahead, _ = _graph_of("custom_vjp", with_residuals, structure, types)
        outputs = ahead.graph.outputs
        residual_nodes = outputs[len(outputs) - shapes["count"] :]
        result_nodes = outputs[: len(outputs) - shapes["count"]]

        def pulled(arguments: list[Tensor]) -> list[Tensor]:
            residuals = unflatten(shapes["residuals"], arguments[: len(residual_nodes)])
            cotangent = unflatten(shapes["result"], arguments[len(residual_nodes) :])
            found = backward(residuals, cotangent)
            found = found if isinstance(found, tuple) else (found,)
            return _cotangents(found, args)

        nodes = [*residual_nodes, *result_nodes]
        kinds = [LEAF if node.dtype.is_float else CONSTANT for node in nodes]
        behind = record_function(
            "custom_vjp", pulled, [node.type for node in nodes], kinds
        )
        captured = [primal.captured, ahead.captured, behind.captured]
        results = record(
            _custom,
            [*(x for group in captured for x in group), *tensors],
            (
                tuple(len(group) for group in captured),
                (primal.graph, ahead.graph, behind.graph),
            ),
        )
        return unflatten(out, results)


def _custom(*values: Any) -> Any:
    *given, counts, graphs = values
    given = _strong(given)
    total = sum(counts)
    captured, operands = given[:total], given[total:]
    kinds = tuple([(x.type, x.differentiable) for x in captured])
    wrt = [i for i, x in enumerate(operands) if x.dtype.is_float]
    primal, ahead, behind = graphs
    regions = _regions(primal, ahead, behind, counts, kinds)
    return region.custom(captured, operands, *regions, wrt)


@remembered
def _regions(
    primal: Graph,
    ahead: Graph,
    behind: Graph,
    counts: tuple[int, int, int],
    kinds: tuple[tuple[TensorType, bool], ...],
) -> tuple[Graph, Graph, Graph]:
    """Return the graphs made to take what all three captured, before their operands.

    The backward graph, which takes residuals alone, gets its share as further
    residuals.
    """
    spare = [make_input(x.shape, x.dtype, differentiable=d) for x, d in kinds]
    first, second = counts[0], counts[0] + counts[1]
    n = len(primal.inputs) - first
    own = [*primal.inputs[n:], *spare[first:]]
    forward = Graph([*own, *primal.inputs[:n]], primal.outputs)
    own = [*spare[:first], *ahead.inputs[n:], *spare[second:]]
    with_residuals = Graph([*own, *ahead.inputs[:n]], [*ahead.outputs, *own[second:]])
    ins = behind.inputs
    last = len(ins) - counts[2]
    residuals = last - len(primal.outputs)
    backward = Graph(
        [*ins[:residuals], *ins[last:], *ins[residuals:last]], behind.outputs
    )
    return forward, with_residuals, backward


def _cotangents(found: tuple[Any, ...], args: Sequence[Any]) -> list[Tensor]:
    if len(found) != len(args):
        raise GradientError(
            "[custom_vjp] the rule must return one cotangent for each argument",
            got=f"{len(found)} for {len(args)} arguments",
        )
    result: list[Tensor] = []
    for one, arg in zip(found, args, strict=True):
        leaves, _ = _tensors(arg)
        leaves = [leaf for leaf in leaves if leaf.dtype.is_float]
        if one is None:
            result.extend(_zeros(leaf) for leaf in leaves)
            continue
        given, _ = _tensors(one)
        if not leaves:  # of integers there is no derivative
            continue
        if len(given) != len(leaves):
            raise GradientError(
                "[custom_vjp] the rule must return one cotangent for each tensor of "
                "floats",
                got=f"{len(given)} for {len(leaves)} in an argument",
            )
        for ct, leaf in zip(given, leaves, strict=True):
            if ct.shape != leaf.shape:
                raise ShapeError(
                    "[custom_vjp] a cotangent differs in shape from its argument",
                    got=f"{ct.shape} for an argument of shape {leaf.shape}",
                )
            result.append(ct.to(leaf.dtype))
    return result


def _zeros(x: Tensor) -> Tensor:
    return record(source.full, [], (x.shape, 0, x.dtype))  # type: ignore[no-any-return]


_moveaxis = lift(movement.moveaxis)


def vmap(function: Function, in_axes: Any = 0, out_axes: Any = 0) -> Function:
    """Return `function`, written for one example, for many at once.

    Args:
        in_axes: the axis of each argument along which the examples lie, or None for an
            argument shared by all; one for all, or one for each argument.
        out_axes: where the axis of the examples stands in the results.

    Raises:
        ShapeError: arguments with different numbers of examples.
        ArgumentError: no argument has examples.

    Random numbers drawn inside from the default generator are the same for all
    examples; pass one key for each to have them differ.
    """

    @functools.wraps(function)
    def wrapped(*args: Any) -> Any:
        axes = (
            tuple(in_axes)
            if isinstance(in_axes, (tuple, list))
            else (in_axes,) * len(args)
        )
        if len(axes) != len(args):
            raise ArgumentError(
                "[vmap] in_axes must name an axis for each argument",
                got=f"{len(axes)} axes for {len(args)} arguments",
            )
        leaves, structure = _tensors(tuple(args))
        each = [
            axis for axis, arg in zip(axes, args, strict=True) for _ in flatten(arg)[0]
        ]
        moved, types = [], []
        sizes: dict[int, None] = {}
        for leaf, axis in zip(leaves, each, strict=True):
            if axis is not None:
                at = normalize_axis("vmap", axis, leaf.ndim, "in_axes")
                sizes[leaf.shape[at]] = None
                leaf = _moveaxis(leaf, at, 0) if at else leaf
            moved.append(leaf)
            shape = leaf.shape if axis is None else leaf.shape[1:]
            types.append(TensorType(shape, leaf.dtype))
        if len(sizes) != 1:
            raise (ShapeError if sizes else ArgumentError)(
                "[vmap] the arguments must agree on the number of examples",
                got=" and ".join(map(str, sizes)) or "no argument with an axis",
            )
        recorded, out = _graph_of("vmap", function, structure, types)
        flags = tuple(axis is not None for axis in each)
        static = (recorded.graph, flags, next(iter(sizes)))
        results = list(record(_vmap, [*moved, *recorded.captured], static))
        return _placed(unflatten(out, results), out_axes)

    return wrapped


def _vmap(*values: Any) -> list[Node]:
    *operands, graph, flags, size = values
    flags = (*flags, *[False] * (len(operands) - len(flags)))
    wide, _ = batch_graph(graph, flags, size, True)
    return inline(wide, operands)


def _placed(tree: Any, out_axes: Any) -> Any:
    if isinstance(out_axes, int):
        leaves, structure = flatten(tree)
        if out_axes:
            leaves = [_moveaxis(leaf, 0, out_axes) for leaf in leaves]
        return unflatten(structure, leaves)
    placed = [_placed(part, axis) for part, axis in zip(tree, out_axes, strict=True)]
    return tuple(placed)


def cond(
    predicate: Any, true_function: Function, false_function: Function, *operands: Any
) -> Any:
    """Return `true_function(*operands)` if `predicate` is true, else
    `false_function`'s.

    Both are recorded, one is run. They must return tensors of equal types.

    Args:
        predicate: a bool tensor of one element.

    Raises:
        ShapeError, DTypeError: the results differ in structure, shape or dtype.
    """
    tensors, structure = _tensors(operands)
    types = _types(tensors)
    first, out = _graph_of("cond", true_function, structure, types)
    second, other = _graph_of("cond", false_function, structure, types)
    if out != other:
        raise ArgumentError("[cond] the branches return different structures")
    results = record(
        _cond,
        [asarray(predicate), *tensors, *first.captured, *second.captured],
        (len(tensors), len(first.captured), first.graph, second.graph),
    )
    return unflatten(out, results)


def _cond(predicate: Node, *values: Any) -> Any:
    *operands, count, captured, first, second = values
    operands = _strong(operands)
    types = tuple([x.type for x in operands[count:]])
    graphs = _branches(first, second, count, captured, types)
    return control.cond(predicate, operands, *graphs)


@remembered
def _branches(
    first: Graph,
    second: Graph,
    count: int,
    captured: int,
    types: tuple[TensorType, ...],
) -> tuple[Graph, Graph]:
    """Return both graphs made to take what either captured, after their operands."""
    spare = [make_input(x.shape, x.dtype, differentiable=True) for x in types]
    own = [*first.inputs, *spare[captured:]]
    true_graph = Graph(own, first.outputs)
    own = [*second.inputs[:count], *spare[:captured], *second.inputs[count:]]
    return true_graph, Graph(own, second.outputs)


def while_loop(condition: Function, body: Function, init: Any) -> Any:
    """Return the state after `state = body(state)` was repeated while
    `condition(state)`.

    Args:
        condition: from the state to a bool tensor of one element.
        body: from the state to the next, of equal types.
        init: the first state, a tree of tensors.

    Gradient: forward mode only; use `scan` for reverse mode.
    """
    tensors, structure = _tensors((init,))
    types = _types(tensors)
    test, _ = _graph_of("while_loop", condition, structure, types)
    step, out = _graph_of("while_loop", lambda state: (body(state),), structure, types)
    if out != structure:
        raise ArgumentError(
            "[while_loop] the body returns another structure than it takes"
        )
    captured = [*test.captured, *step.captured]
    static = (len(test.captured), len(captured), test.graph, step.graph)
    results = record(_while, [*captured, *tensors], static)
    return unflatten(structure, results)[0]


def _while(*values: Any) -> Any:
    *operands, first, captured, test, step = values
    operands = _strong(operands)
    outside, state = operands[:captured], operands[captured:]
    types = tuple([x.type for x in outside])
    return control.while_loop(outside, state, *_loop(test, step, first, types))


@remembered
def _loop(
    test: Graph, step: Graph, first: int, types: tuple[TensorType, ...]
) -> tuple[Graph, Graph]:
    """Return both graphs made to take what either captured, before the state."""
    spare = [make_input(x.shape, x.dtype, differentiable=True) for x in types]
    n = len(test.inputs) - first
    own = [*test.inputs[n:], *spare[first:], *test.inputs[:n]]
    condition = Graph(own, test.outputs)
    own = [*spare[:first], *step.inputs[n:], *step.inputs[:n]]
    return condition, Graph(own, step.outputs)


def scan(
    function: Function,
    init: Any,
    xs: Any = None,
    *,
    length: int | None = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """Return the last carry and the stacked results of a loop over slices.

    For each slice x of `xs` along the first axis: `carry, y = function(carry, x)`.

    Args:
        function: recorded once; its carry must keep its types.
        init: the first carry, a tree of tensors.
        xs: a tree of tensors to slice, or None.
        length: the number of steps, needed where `xs` is None.
        reverse: go from the last slice to the first.

    Raises:
        ShapeError, DTypeError: the carry changes type, or the sizes of `xs` differ.

    Gradient: a loop in the other direction; each step is computed again from its carry,
    but for products that take no more memory than what the steps read. Gradients of
    what `function` uses from outside are one product of all steps where they are sums
    of products.
    """
    carry, carry_structure = _tensors((init,))
    slices, slice_structure = _tensors((xs,))
    for x in slices:
        if x.ndim == 0:
            raise ShapeError("[scan] a scalar cannot be sliced", got="shape ()")
    types = _types(carry) + [TensorType(x.shape[1:], x.dtype) for x in slices]
    found: list[Any] = []

    def flat(arguments: list[Tensor]) -> list[Any]:
        state = unflatten(carry_structure, arguments[: len(carry)])[0]
        part = unflatten(slice_structure, arguments[len(carry) :])[0]
        new, y = function(state, part)
        new_leaves, new_structure = flatten((new,))
        if new_structure != carry_structure:
            raise ArgumentError("[scan] the carry changes its structure")
        leaves, out = flatten(y)
        found.append(out)
        return [*new_leaves, *leaves]

    kinds = [LEAF if type.dtype.is_float else CONSTANT for type in types]
    recorded = record_function("scan", flat, types, kinds)
    static = (len(recorded.captured), len(carry), length, reverse, recorded.graph)
    results = record(_scan, [*recorded.captured, *carry, *slices], static)
    last = unflatten(carry_structure, results[: len(carry)])[0]
    return last, unflatten(found[0], results[len(carry) :])


def _scan(*values: Any) -> Any:
    *operands, captured, carried, length, reverse, graph = values
    operands = _strong(operands)
    body = _body(graph, captured)
    outside, rest = operands[:captured], operands[captured:]
    init, xs = rest[:carried], rest[carried:]
    return scan_graph(outside, init, xs, body, length, reverse)


@remembered
def _body(graph: Graph, captured: int) -> Graph:
    """Return `graph` made to take what it captured before its operands."""
    n = len(graph.inputs) - captured
    return Graph([*graph.inputs[n:], *graph.inputs[:n]], graph.outputs)

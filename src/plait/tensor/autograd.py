"""Derivatives of what has been recorded: `backward()`, and gradients of given tensors.

Each is one step of the trie, so taking the same derivative again costs one look-up.

Read first: `backward`, `gradients`.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ArgumentTypeError, GradientError, ShapeError, TracingError
from ..ir.build import make_input, substitute
from ..ir.graph import Node
from ..ops import elementwise, movement, source
from ..transform.batch import batch
from ..transform.differentiate import dependents, linked_order, pull_back
from ..transform.push_forward import push_forward
from .adopt import adopt_all
from .execute import is_variable
from .record import distinct, enter, grad_mode, record
from .trie import SPENT, Step, Trace, all_pending, follow, pending, recorder

Tensor = Any


def backward(
    tensors: Sequence[Tensor],
    cotangents: Sequence[Tensor | None],
    retain_graph: bool,
    create_graph: bool,
    inputs: Sequence[Tensor] | None,
) -> None:
    """Add to `.grad` of every leaf that `tensors` depend on. See `Tensor.backward`."""
    retain_graph = retain_graph or create_graph
    changed: dict[int, Tensor] = {}  # gradients that hooks have seen, by the hooks
    while True:
        # Anew after each hook, as hooks may run the trace.
        trace = recorder.trace
        if trace.function is not None:
            raise TracingError(
                "[backward] nothing is accumulated while the function given to "
                f"{trace.function} is recorded",
                fix="use plait.grad or plait.vjp",
            )
        nodes = tuple([enter(trace, tensor) for tensor in tensors])
        seeds = tuple([None if ct is None else enter(trace, ct) for ct in cotangents])
        wanted = None if inputs is None else tuple([enter(trace, x) for x in inputs])
        if trace.historic:
            adopt_all(trace)
        overrides: list[tuple[Node, Node]] = []
        if not trace.hooked:
            break
        for node, seed in zip(nodes, seeds, strict=True):
            _check_seed(node, seed)
        overrides = [
            (node, enter(trace, changed[id(hooks)]))
            for node, hooks in trace.hooked.items()
            if id(hooks) in changed
        ]
        hooked = _next_hooked(trace, nodes, changed)
        if hooked is None:
            break
        _run_hooks(trace, nodes, seeds, hooked, overrides, create_graph, changed)
    key = (
        "backward", nodes, seeds, retain_graph, create_graph, wanted, tuple(overrides),
    )  # fmt: skip
    step = trace.step.next.get(key)
    if step is None:
        make = functools.partial(
            _backward_step,
            trace, nodes, seeds, retain_graph, create_graph, wanted, dict(overrides),
        )  # fmt: skip
        step = follow(trace, key, make)
    trace.step = step
    places, cotangent_nodes, spends = step.result
    histories = list(trace.adopted) if spends else []
    owners: list[Any] = trace.owners
    left = []
    parts = all_pending(trace, cotangent_nodes)
    for at, gradient in zip(places, parts, strict=True):
        if at.__class__ is not int:
            owner, computed = _owner(trace, inputs, at)
            if owner is not None:
                left.append((owner, computed, gradient))
            continue
        owner = owners[at]
        if (
            owner.grad is None
            and owner._requires_grad
            and owner._hooks is None
            and owner._after_hooks is None
        ):
            owner.grad = gradient
        else:
            left.append((owner, False, gradient))
    for place, spent in spends:
        histories[place].spend(spent)
    if left:
        _accumulate(left, create_graph)


def _accumulate(
    found: Sequence[tuple[Tensor, bool, Tensor]], create_graph: bool
) -> None:
    """Add gradients to those of their owners, and call hooks.

    Args:
        found: (owner, whether that was computed, gradient).
    """
    # A leaf has one gradient, though it may have entered with several values.
    parts: dict[int, list[Tensor]] = {}
    for owner, _, gradient in found:
        parts.setdefault(id(owner), []).append(gradient)
    for owner, computed, _ in found:
        own = parts.pop(id(owner), None)
        if own is None:
            continue
        with grad_mode(create_graph):
            gradient = functools.reduce(operator.add, own)
            if owner._hooks and not computed:
                gradient = _after_hooks(owner._hooks, gradient)
        if owner.requires_grad:  # it may have been switched off since
            before = owner.grad
            if before is not None:
                with grad_mode(create_graph):
                    gradient = before + gradient
            owner.grad = gradient
            if owner._after_hooks:
                for hook in list(owner._after_hooks.values()):
                    hook(owner)


def _owner(
    trace: Trace, inputs: Sequence[Tensor] | None, place: Any
) -> tuple[Tensor | None, bool]:
    """Return the tensor of a variable, None if nobody has that any more, or one of
    `inputs`; and whether it was computed.
    """
    if isinstance(place, Node):
        return trace.variables[place](), False
    assert inputs is not None
    return inputs[place[0]], True


def _check_seed(node: Node, seed: Node | None) -> None:
    if not node.differentiable:
        raise GradientError(
            "[backward] nothing that requires a gradient was used to compute this "
            "tensor",
            fix="pass requires_grad=True when making the tensors to differentiate by, "
            "and do not compute under plait.no_grad()",
        )
    if seed is None and node.size != 1:
        raise GradientError(
            "[backward] only a scalar has a gradient without further ado",
            got=f"a tensor of shape {node.shape}",
            fix="reduce it first, for example with .sum(), or pass gradient=",
        )
    if seed is not None and seed.shape != node.shape:
        raise ShapeError(
            "[backward] the gradient passed in differs in shape",
            got=f"{seed.shape} for a tensor of shape {node.shape}",
        )


def _seeded(node: Node, seed: Node | None) -> Node:
    if seed is None:
        return source.full_like(node, 1)
    return elementwise.cast(seed, node.dtype)


def _backward_step(
    trace: Trace,
    nodes: Sequence[Node],
    seeds: Sequence[Node | None],
    retain_graph: bool,
    create_graph: bool,
    wanted: tuple[Node, ...] | None,
    overrides: dict[Node, Node],
) -> Step:
    for node, seed in zip(nodes, seeds, strict=True):
        _check_seed(node, seed)
    links = trace.step.all_links()
    spent = trace.step.all_spent()
    places: dict[Node, Any] = {}
    for i, node in enumerate(trace.step.inputs()):
        if trace.origins.get(node) is SPENT:
            spent.add(node)
        elif node.differentiable and node not in links:
            places[node] = i
    places.update((node, node) for node in trace.variables)
    if wanted is not None:
        places = {
            node: places.get(node, (i,))
            for i, node in enumerate(wanted)
            if node.differentiable
        }
    path = dependents(nodes, [*places, *spent], links)
    if any(node in spent for node in path if node not in places):
        raise GradientError(
            "[backward] this graph was used up by an earlier backward()",
            fix="pass retain_graph=True to all but the last",
        )
    cotangents = pull_back(
        nodes,
        [_seeded(node, seed) for node, seed in zip(nodes, seeds, strict=True)],
        list(places),
        links,
        overrides,
    )
    reached = [
        (place, cotangent if create_graph else source.stop_gradient(cotangent))
        for place, cotangent in zip(places.values(), cotangents, strict=True)
        if cotangent is not None
    ]
    spends: list[tuple[int, list[int]]] = []
    result = ([place for place, _ in reached], [node for _, node in reached], spends)
    step = Step(trace.step, result, ())
    if not retain_graph:
        step.spent = frozenset(node for node in path if node not in places)
        for i, table in enumerate(trace.adopted.values()):
            used = [old for old, new in table.items() if new in step.spent]
            if used:
                spends.append((i, used))
    return step


def _next_hooked(
    trace: Trace, nodes: Sequence[Node], changed: dict[int, Tensor]
) -> Node | None:
    """Return the node with hooks to run next: none after it has any left."""
    left = {
        n for n, hooks in trace.hooked.items() if hooks and id(hooks) not in changed
    }
    if not left:
        return None
    order = dependents(nodes, left, trace.step.all_links())
    return next((node for node in reversed(order) if node in left), None)


def _run_hooks(
    trace: Trace,
    nodes: tuple[Node, ...],
    seeds: tuple[Node | None, ...],
    hooked: Node,
    overrides: list[tuple[Node, Node]],
    create_graph: bool,
    changed: dict[int, Tensor],
) -> None:
    """Let the hooks of a computed tensor see, and change, its gradient."""

    def make() -> Step:
        full = [_seeded(n, s) for n, s in zip(nodes, seeds, strict=True)]
        links = trace.step.all_links()
        (cotangent,) = pull_back(nodes, full, [hooked], links, dict(overrides))
        if cotangent is None:
            cotangent = source.full_like(hooked, 0)
        if not create_graph:
            cotangent = source.stop_gradient(cotangent)
        return Step(trace.step, cotangent, ())

    key = ("hook", nodes, seeds, hooked, tuple(overrides), create_graph)
    hooks = trace.hooked[hooked]
    gradient = pending(trace, follow(trace, key, make).result)
    with grad_mode(create_graph):
        changed[id(hooks)] = _after_hooks(hooks, gradient)


def _after_hooks(hooks: Any, gradient: Tensor) -> Tensor:
    for hook in list(hooks.values()):
        new = hook(gradient)
        if new is None:
            continue
        if new.shape != gradient.shape:
            raise ShapeError(
                "[backward] a hook returned a gradient of another shape",
                got=f"{new.shape} for a tensor of shape {gradient.shape}",
            )
        gradient = new.to(gradient.dtype)
    return gradient


# Gradients of functions


def aliases(tensors: Sequence[Tensor], op: str) -> list[Tensor]:
    """Return new tensors equal to `tensors`, to differentiate with respect to.

    Raises:
        ArgumentTypeError: one is not of a floating-point type.
    """
    result = []
    for tensor in tensors:
        if not tensor.dtype.is_float:
            raise ArgumentTypeError(
                f"[{op}] a derivative is taken with respect to floating-point tensors",
                got=f"a tensor of type {tensor.dtype.name}",
                fix="pass a float, or choose other arguments with argnums",
            )
        alias = record(_alias, [tensor])
        alias._requires_grad = True
        result.append(alias)
    return result


def _alias(x: Node) -> Node:
    return source.variable(x)


def _transformed(
    name: str,
    alias_of: Sequence[tuple[Tensor, Tensor]],
    outputs: Sequence[Tensor],
    extra: Sequence[Tensor | None],
    build: Callable[..., list[Node]],
) -> list[Tensor]:
    """Record a step whose nodes `build` makes from outputs, places and extra operands.

    In what it returns the aliases are replaced by what they stand for, so that the
    results depend on nothing that only this transform needed.
    """
    trace = recorder.trace
    nodes = tuple([enter(trace, x) for x in outputs])
    given = tuple([None if x is None else enter(trace, x) for x in extra])
    originals = tuple([enter(trace, x) for _, x in alias_of])
    adopt_all(trace)
    places = tuple([_place(trace, x) for x, _ in alias_of])

    def make() -> Step:
        links = trace.step.all_links()
        made = build(nodes, given, places, links)
        pairs = zip(places, originals, strict=True)
        table = {place: x for place, x in pairs if place is not None}
        step = Step(trace.step, None, ())
        # From now on derivatives go on through a place that was run.
        step.links = {
            place: x
            for place, x in table.items()
            if not place.operands and place not in links
        }
        table.update(_settled(links, table))
        results = substitute(made, table)
        if not trace.step.grad_enabled:
            results = [
                source.stop_gradient(x) if x.differentiable else x for x in results
            ]
        step.result = tuple(
            [x if x.operands and x not in originals else distinct(x) for x in results]
        )
        return step

    step = follow(trace, (name, nodes, given, places, originals), make)
    return all_pending(trace, step.result)


def _place(trace: Trace, alias: Tensor) -> Node | None:
    """Return the node of an alias, or None if nothing in `trace` depends on it."""
    if alias._trace is trace:
        node: Node = alias._node
        return node
    return trace.entered.get(alias._history)


def _settled(links: dict[Node, Node], table: dict[Node, Node]) -> dict[Node, Node]:
    """Return what takes the place of leaves that depend on no variable but aliases.

    Args:
        table: what aliases stand for.
    """
    varying: set[Node] = set()
    result: dict[Node, Node] = {}
    for node in linked_order(list(links), links, ()):
        if node in table:
            depends = table[node].differentiable
        elif node in links:
            depends = links[node] in varying
            if not depends:
                result[node] = source.stop_gradient(node)
        elif not node.operands or is_variable(node):
            depends = True
        else:
            depends = any(operand in varying for operand in node.operands)
        if depends:
            varying.add(node)
    return result


def gradients(
    outputs: Sequence[Tensor],
    cotangents: Sequence[Tensor | None],
    alias_of: Sequence[tuple[Tensor, Tensor]],
) -> list[Tensor]:
    """Return the cotangents of the aliases, zero where nothing depends on them."""

    def build(nodes: Any, seeds: Any, places: Any, links: Any) -> list[Node]:
        flat = [place for place in places if place is not None]
        active = [
            (n, _seeded(n, s))
            for n, s in zip(nodes, seeds, strict=True)
            if n.differentiable
        ]
        found = pull_back([n for n, _ in active], [s for _, s in active], flat, links)
        table = dict(zip(flat, found, strict=True))
        return [
            table.get(place) or source.full_like(alias._node, 0)
            for place, (alias, _) in zip(places, alias_of, strict=True)
        ]

    return _transformed("gradients", alias_of, outputs, cotangents, build)


def tangents(
    outputs: Sequence[Tensor],
    alias_of: Sequence[tuple[Tensor, Tensor]],
    directions: Sequence[Tensor],
) -> list[Tensor]:
    """Return the tangents of `outputs` when the aliases move along `directions`."""

    def build(nodes: Any, given: Any, places: Any, links: Any) -> list[Node]:
        pairs = zip(places, given, strict=True)
        table = {place: direction for place, direction in pairs if place is not None}
        found = push_forward(nodes, table, links)
        return [
            source.full_like(node, 0) if tangent is None else tangent
            for node, tangent in zip(nodes, found, strict=True)
        ]

    return _transformed("tangents", alias_of, outputs, directions, build)


def jacobian_of(
    output: Tensor, alias_of: Sequence[tuple[Tensor, Tensor]]
) -> list[Tensor]:
    """Return the derivatives of each element of `output` by each element of the
    aliases.
    """

    def build(nodes: Any, given: Any, places: Any, links: Any) -> list[Node]:
        (node,) = nodes
        seed = make_input(node.shape, node.dtype, differentiable=True)
        rows = node.size
        basis = elementwise.cast(movement.triangle((rows, rows), 0), node.dtype)
        above = elementwise.cast(movement.triangle((rows, rows), -1), node.dtype)
        basis = movement.reshape(
            elementwise.subtract(basis, above), (rows, *node.shape)
        )
        flat = [place for place in places if place is not None]
        found = pull_back(nodes, [seed], flat, links) if node.differentiable else []
        rows_of = dict(zip(flat, found, strict=False))
        result = []
        for place, (alias, _) in zip(places, alias_of, strict=True):
            shape = alias._node.shape
            wide = source.full((rows, *shape), 0, alias._node.dtype)
            one = rows_of.get(place)
            if one is not None:
                ((batched, varies),) = batch([one], {seed: basis})
                wide = batched if varies else wide
            result.append(movement.reshape(wide, (*node.shape, *shape)))
        return result

    return _transformed("jacobian", alias_of, [output], (), build)


def released(
    outputs: Sequence[Tensor], alias_of: Sequence[tuple[Tensor, Tensor]]
) -> list[Tensor]:
    """Return `outputs` with the aliases replaced by what they stand for."""
    return _transformed(
        "released",
        alias_of,
        outputs,
        (),
        lambda nodes, given, places, links: list(nodes),
    )

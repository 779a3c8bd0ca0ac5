"""Derivatives of what has been recorded: `backward()`, and gradients of given tensors.

Each is one step of the trie, so taking the same derivative again costs one look-up.

Read first: `backward`, `gradients`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ArgumentTypeError, GradientError, ShapeError
from ..ir.build import make_input, substitute
from ..ir.graph import Node
from ..ops import elementwise, movement, source
from ..transform.batch import batch
from ..transform.differentiate import dependents, pull_back
from ..transform.push_forward import push_forward
from .record import (
    SPENT,
    Step,
    Trace,
    adopt_all,
    enter,
    follow,
    grad_mode,
    pending,
    record,
    recorder,
)

Tensor = Any


def backward(
    tensors: Sequence[Tensor],
    cotangents: Sequence[Tensor | None],
    retain_graph: bool,
    create_graph: bool,
    inputs: Sequence[Tensor] | None,
) -> None:
    """Add to `.grad` of every leaf that `tensors` depend on. See `Tensor.backward`."""
    trace = recorder.trace
    nodes = [enter(trace, tensor) for tensor in tensors]
    seeds = [None if ct is None else enter(trace, ct) for ct in cotangents]
    wanted = None if inputs is None else tuple([enter(trace, x) for x in inputs])
    for node, seed in zip(nodes, seeds, strict=True):
        _check_seed(node, seed)
    historic = list(trace.historic)
    adopt_all(trace)
    overrides = _run_hooks(trace, nodes, seeds) if trace.hooked else ()
    key = (
        "backward", tuple(nodes), tuple(seeds), retain_graph, create_graph, wanted, overrides,
    )  # fmt: skip
    step = follow(
        trace, key,
        lambda: _backward_step(
            trace, nodes, seeds, retain_graph, create_graph, wanted, dict(overrides)
        ),
    )  # fmt: skip
    for place, node in step.result:
        owner = trace.variables[place] if isinstance(place, Node) else trace.owners[place]
        _deliver(owner, pending(trace, node))
    if not retain_graph:
        for tensor in historic:
            tensor._history = SPENT


def _check_seed(node: Node, seed: Node | None) -> None:
    if not node.differentiable:
        raise GradientError(
            "[backward] nothing that requires a gradient was used to compute this tensor",
            fix="pass requires_grad=True when making the tensors to differentiate by, and "
            "do not compute under plait.no_grad()",
        )
    if seed is None and node.shape != () and node.size != 1:
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
    return source.full_like(node, 1) if seed is None else seed


def _backward_step(
    trace: Trace,
    nodes: Sequence[Node],
    seeds: Sequence[Node | None],
    retain_graph: bool,
    create_graph: bool,
    wanted: tuple[Node, ...] | None,
    overrides: dict[Node, Node],
) -> Step:
    links = trace.step.all_links()
    inputs = trace.step.inputs()
    places: dict[Node, Any] = {}
    spent = trace.step.all_spent()
    for i, (node, owner) in enumerate(zip(inputs, trace.owners, strict=True)):
        if owner is not None and owner._history is SPENT:
            spent.add(node)
        elif node.differentiable and node not in links and owner is not None:
            places[node] = i
    places.update((node, node) for node in trace.variables)
    if wanted is not None:
        places = {node: places[node] for node in wanted if node in places}
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
    result = [
        (place, cotangent if create_graph else source.stop_gradient(cotangent))
        for place, cotangent in zip(places.values(), cotangents, strict=True)
        if cotangent is not None
    ]
    step = Step(trace.step, result, ())
    if not (retain_graph or create_graph):
        step.spent = frozenset(node for node in path if node not in places)
    return step


def _run_hooks(
    trace: Trace, nodes: Sequence[Node], seeds: Sequence[Node | None]
) -> tuple[tuple[Node, Node], ...]:
    """Let hooks of intermediate tensors change cotangents, the latest recorded first."""
    links = trace.step.all_links()
    hooked = [node for node in dependents(nodes, list(trace.hooked), links)][::-1]
    overrides: dict[Node, Node] = {}
    for node in hooked:
        tensor = trace.hooked.get(node)
        if tensor is None or tensor.is_leaf:
            continue
        done = dict(overrides)

        def make(node: Node = node, done: dict[Node, Node] = done) -> Step:
            full = [_seeded(n, s) for n, s in zip(nodes, seeds, strict=True)]
            (cotangent,) = pull_back(nodes, full, [node], links, done)
            assert cotangent is not None
            return Step(trace.step, source.stop_gradient(cotangent), ())

        key = ("hook", tuple(nodes), tuple(seeds), node, tuple(done.items()))
        step = follow(trace, key, make)
        gradient = _apply_hooks(tensor, pending(trace, step.result))
        overrides[node] = enter(trace, gradient)
    return tuple(overrides.items())


def _apply_hooks(tensor: Tensor, gradient: Tensor) -> Tensor:
    for hook in list(tensor._hooks.values()):
        changed = hook(gradient)
        if changed is not None:
            gradient = changed
    return gradient


def _deliver(owner: Tensor, gradient: Tensor) -> None:
    if owner._hooks:
        with grad_mode(False):
            gradient = _apply_hooks(owner, gradient)
    before = owner.grad
    if before is None:
        owner.grad = gradient
    else:
        with grad_mode(False):
            owner.grad = before + gradient
    for hook in list(owner._after_hooks.values()) if owner._after_hooks else ():
        hook(owner)


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


def _places(trace: Trace, alias: Tensor) -> tuple[Node, ...]:
    """Return the nodes of `trace` that stand for `alias`, also from before a flush."""
    nodes = {alias._node: None} if alias._trace is trace else {}
    for node, owner in zip(trace.step.inputs(), trace.owners, strict=True):
        if owner is alias:
            nodes[node] = None
    return tuple(nodes)


def _transformed(
    name: str,
    alias_of: Sequence[tuple[Tensor, Tensor]],
    outputs: Sequence[Tensor],
    extra: Sequence[Tensor | None],
    build: Callable[..., list[Node]],
    static: Any = (),
) -> list[Tensor]:
    """Record a step whose nodes `build` makes from outputs, places and extra operands.

    In what it returns the aliases are replaced by what they stand for, so that the
    results depend on nothing that only this transform needed.
    """
    trace = recorder.trace
    nodes = tuple([enter(trace, x) for x in outputs])
    given = tuple([None if x is None else enter(trace, x) for x in extra])
    adopt_all(trace)
    pairs = [(_places(trace, alias), enter(trace, x)) for alias, x in alias_of]
    places = tuple([nodes_of for nodes_of, _ in pairs])
    originals = tuple([x for _, x in pairs])

    def make() -> Step:
        links = trace.step.all_links()
        made = build(nodes, given, places, links)
        table = {
            node: original
            for group, original in zip(places, originals, strict=True)
            for node in group
        }
        return Step(trace.step, tuple(substitute(made, table)), ())

    step = follow(trace, (name, nodes, given, places, originals, static), make)
    return [pending(trace, node) for node in step.result]


def gradients(
    outputs: Sequence[Tensor],
    cotangents: Sequence[Tensor | None],
    alias_of: Sequence[tuple[Tensor, Tensor]],
) -> list[Tensor]:
    """Return the cotangents of the aliases, zero where nothing depends on them."""

    def build(nodes: Any, seeds: Any, places: Any, links: Any) -> list[Node]:
        flat = [node for group in places for node in group]
        active = [
            (n, _seeded(n, s))
            for n, s in zip(nodes, seeds, strict=True)
            if n.differentiable
        ]
        found = pull_back([n for n, _ in active], [s for _, s in active], flat, links)
        table = dict(zip(flat, found, strict=True))
        result = []
        for group, (alias, _) in zip(places, alias_of, strict=True):
            total = None
            for node in group:
                one = table[node]
                if one is not None:
                    total = one if total is None else elementwise.add(total, one)
            if total is None:
                total = source.full(alias._node.shape, 0, alias._node.dtype)
            result.append(total)
        return result

    return _transformed("gradients", alias_of, outputs, cotangents, build)


def tangents(
    outputs: Sequence[Tensor],
    alias_of: Sequence[tuple[Tensor, Tensor]],
    directions: Sequence[Tensor],
) -> list[Tensor]:
    """Return the tangents of `outputs` when the aliases move along `directions`."""

    def build(nodes: Any, given: Any, places: Any, links: Any) -> list[Node]:
        table = {
            node: direction
            for group, direction in zip(places, given, strict=True)
            for node in group
        }
        found = push_forward(nodes, table, links)
        return [
            source.full_like(node, 0) if tangent is None else tangent
            for node, tangent in zip(nodes, found, strict=True)
        ]

    return _transformed("tangents", alias_of, outputs, directions, build)


def jacobian_of(output: Tensor, alias_of: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """Return the derivatives of each element of `output` by each element of the aliases."""

    def build(nodes: Any, given: Any, places: Any, links: Any) -> list[Node]:
        (node,) = nodes
        seed = make_input(node.shape, node.dtype, differentiable=True)
        rows = node.size
        basis = elementwise.cast(movement.triangle((rows, rows), 0), node.dtype)
        above = elementwise.cast(movement.triangle((rows, rows), -1), node.dtype)
        basis = movement.reshape(elementwise.subtract(basis, above), (rows, *node.shape))
        result = []
        for group, (alias, _) in zip(places, alias_of, strict=True):
            shape = (rows, *alias._node.shape)
            total = source.full(shape, 0, alias._node.dtype)
            found = pull_back(nodes, [seed], group, links) if node.differentiable else []
            for one in found:
                if one is not None:
                    ((wide, batched),) = batch([one], {seed: basis})
                    total = wide if batched else total
            result.append(movement.reshape(total, (*node.shape, *alias._node.shape)))
        return result

    return _transformed("jacobian", alias_of, [output], (), build)


def released(
    outputs: Sequence[Tensor], alias_of: Sequence[tuple[Tensor, Tensor]]
) -> list[Tensor]:
    """Return `outputs` with the aliases replaced by what they stand for."""
    return _transformed(
        "released", alias_of, outputs, (), lambda nodes, given, places, links: list(nodes)
    )

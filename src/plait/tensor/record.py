"""Recording: an op does not run; it is a step along a trie of everything recorded
before.

A step's key is the op, the nodes of its operands and its static attributes. If the
child exists, shapes, dtypes and errors were all settled when it was made, and
recording costs one look-up. A concrete tensor enters as a step keyed by its type; a
Python number enters as a runtime input keyed by its Python type alone, so that changed
numbers record nothing new.

A trace is run ("flushed") when somebody looks at a value. What stays alive then,
together with the step reached, is the key of the program that is run.

This file knows tensors only as handles with `_node`, `_trace`, `_value` and `_history`.

Read first: `Step`, `Trace`, `record`, `flush`.
"""

from __future__ import annotations

import functools
import itertools
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..dtypes import as_dtype
from ..errors import GradientError, PlaitError, TracingError, user_line
from ..ir.build import INPUT, apply, make_input, rebuild
from ..ir.evaluate import Interpreted
from ..ir.graph import Graph, Node, TensorType, topological_order
from ..ir.primitive import Primitive
from ..ir.text import to_text
from ..ops import movement, source
from ..settings import settings
from ..transform.differentiate import pull_back
from ..transform.simplify import simplify

if TYPE_CHECKING:
    from .tensor import Tensor

_INT64 = range(-(2**63), 2**63)

# How a derivative sees a leaf. SPENT also stands for a history that was used up.
CONSTANT = "constant"
LEAF = "leaf"
COMPUTED = "computed"
SPENT = "spent"
NUMBER = "number"  # a Python number, as an argument of a function being recorded


class Step:
    """One node of the trie: what recording `key` after `parent` gave.

    Attributes:
        next: the steps recorded after this one.
        result: a Node, a tuple of Nodes, or what the step's maker put there.
        leaves: inputs that this step added, in the order of the trace's values.
        grad_enabled: whether ops recorded after this step are differentiable.
        spent: nodes whose derivative this step has used up.
        links: leaves that hold the value of an expression, by which they are
            differentiated.
        programs: the programs run from here, by the nodes they compute.
        graphs: the graphs closed here, by their output nodes.
    """

    __slots__ = (
        "next", "parent", "result", "leaves", "grad_enabled", "spent", "links", "depth",
        "programs", "graphs",
    )  # fmt: skip

    def __init__(
        self, parent: Step | None, result: Any, leaves: tuple[Node, ...]
    ) -> None:
        self.next: dict[Any, Step] = {}
        self.parent = parent
        self.result = result
        self.leaves = leaves
        self.grad_enabled: bool = True if parent is None else parent.grad_enabled
        self.spent: frozenset[Node] = frozenset()
        self.links: dict[Node, Node] = {}
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.programs: dict[tuple[Node, ...], Program] = {}
        self.graphs: dict[tuple[Node, ...], Graph] = {}

    def path(self) -> Iterator[Step]:
        """Yield this step and all before it, latest first."""
        step: Step | None = self
        while step is not None:
            yield step
            step = step.parent

    def inputs(self) -> list[Node]:
        """Return the leaves of the whole path, in the order of the trace's values."""
        groups = [step.leaves for step in self.path() if step.leaves]
        return [node for group in reversed(groups) for node in group]

    def all_links(self) -> dict[Node, Node]:
        """Return the links of the whole path."""
        found: dict[Node, Node] = {}
        for step in self.path():
            found.update(step.links)
        return found

    def all_spent(self) -> set[Node]:
        """Return the spent nodes of the whole path."""
        found: set[Node] = set()
        for step in self.path():
            found |= step.spent
        return found


class Trace:
    """One walk along the trie: where it is, and the values that entered on the way.

    Attributes:
        step: the step reached.
        values: the value of each leaf: an array or a Python number.
        owners: the tensor that each leaf came from; None for a number.
        pending: weak references to the tensors made on the way.
        variables: tensors that are places to differentiate at, by their node.
        origins: what leaves were computed from before a flush: (history, node), or
            SPENT.
        entered: the leaf of each origin.
        historic: leaves that `adopt_all` has not looked at yet.
        linked: leaves that hold the value of an expression, as in `Step.links`.
        adopted: what nodes of a history have become in this trace, by their places.
        hooked: gradient hooks of computed tensors, by their node.
        marks: tensors that keep hooked nodes alive.
        function: for a function being recorded, its name; None for a real trace.
        captured: in a function, outside tensors that entered, by identity.
        outer: the trace that was current when a function began.
        closed: nothing more will be recorded here.
    """

    __slots__ = (
        "step", "values", "owners", "pending", "variables", "origins", "entered",
        "historic",
        "linked", "adopted", "hooked", "marks", "function", "captured", "outer",
        "closed", "__weakref__",
    )  # fmt: skip

    def __init__(self, step: Step, function: str | None = None) -> None:
        self.step = step
        self.function = function
        self.outer: Trace | None = None
        self.closed = False
        self.clear()

    def held(self) -> Held:
        """Return what running this trace needs."""
        return Held(self.values, self.owners, self.origins, self.variables, self.hooked)

    def clear(self) -> None:
        """Let go of everything that entered."""
        self.values: list[Any] = []
        self.owners: list[Tensor | None] = []
        self.pending: list[weakref.ref[Tensor]] = []
        self.variables: dict[Node, Tensor] = {}
        self.origins: dict[Node, Any] = {}
        self.entered: dict[Any, Node] = {}
        self.historic: list[Node] = []
        self.linked: set[Node] = set()
        self.adopted: dict[History, dict[int, Node]] = {}
        self.hooked: dict[Node, Any] = {}
        self.marks: list[Tensor] = []
        self.captured: dict[int, tuple[Tensor, Node]] = {}


class Held(NamedTuple):
    """What a trace holds that running it needs; see `Trace`."""

    values: list[Any]
    owners: list[Tensor | None]
    origins: dict[Node, Any]
    variables: dict[Node, Tensor]
    hooked: dict[Node, Any]


class _Roots:
    """Where traces begin. Forgetting all is putting new roots here."""

    def __init__(self) -> None:
        self.count = 0
        self.renew()

    def renew(self) -> None:
        self.grad = Step(None, None, ())
        self.no_grad = Step(None, None, ())
        self.no_grad.grad_enabled = False
        self.forms: dict[Any, int] = {}  # of programs, see `Program.form`
        self.located: set[Any] = set()  # ops that may fail when they run
        self.count = 0


roots = _Roots()


class _Recorder(threading.local):
    """Each thread's current trace and gradient mode."""

    def __init__(self) -> None:
        self.grad_enabled = True
        self.trace = Trace(roots.grad)


recorder = _Recorder()


def _fresh_trace() -> Trace:
    if roots.count > settings.max_steps:
        roots.renew()
    return Trace(roots.grad if recorder.grad_enabled else roots.no_grad)


def follow(trace: Trace, key: Any, make: Callable[[], Step]) -> Step:
    """Advance `trace` along `key`, making the step if it is new."""
    step = trace.step.next.get(key)
    if step is None:
        step = trace.step.next.setdefault(key, make())
        roots.count += 1
    trace.step = step
    return step


# Operands


def enter(trace: Trace, tensor: Tensor) -> Node:
    """Return the node of `tensor` in `trace`, entering it as a leaf if it is new."""
    if tensor._trace is trace:
        return tensor._node  # type: ignore[no-any-return]
    if trace.function is not None:
        return _capture(trace, tensor)
    value = tensor._value
    if value is None:
        value = evaluate(tensor)
    kind = _kind(tensor)
    origin = tensor._history if kind is COMPUTED else None
    node = trace.entered.get(origin) if origin is not None else None
    if node is None:
        node = enter_value(trace, tensor._node.type, value, tensor, kind)
        if origin is not None:
            trace.origins[node] = origin
            trace.entered[origin] = node
            trace.historic.append(node)
            history, before = origin
            if before in history.hooks:
                trace.hooked[node] = history.hooks[before]
        elif kind is SPENT:
            trace.origins[node] = SPENT
    # In this order, as other threads may look.
    tensor._trace = trace
    tensor._node = node
    return node


def _kind(tensor: Tensor) -> str:
    """Return how derivatives see `tensor`, which has a value."""
    history = tensor._history
    if history is None:
        return LEAF if tensor._requires_grad else CONSTANT
    if history is SPENT or history[1] in history[0].spent:
        return SPENT
    return COMPUTED


def enter_value(
    trace: Trace, type: TensorType, value: Any, owner: Tensor | None, kind: str
) -> Node:
    """Enter a value as a leaf on behalf of `owner`, and return its node.

    Args:
        kind: how derivatives see it: CONSTANT, LEAF, COMPUTED (before a flush) or
            SPENT.
    """
    differentiable = kind is not CONSTANT and kind is not NUMBER
    key = (type, kind)
    step = trace.step.next.get(key)
    if step is None:
        node = make_input(
            type.shape, type.dtype, differentiable=differentiable, weak=kind is NUMBER
        )
        made = Step(trace.step, node, (node,))
        step = trace.step.next.setdefault(key, made)
        roots.count += 1
    # The step comes last: other threads take as many values as their step needs.
    trace.values.append(value)
    trace.owners.append(owner)
    trace.step = step
    result: Node = step.result
    return result


def _capture(trace: Trace, tensor: Tensor) -> Node:
    """Enter a tensor from outside into a function that is being recorded."""
    found = trace.captured.get(id(tensor))
    if found is not None:
        return found[1]
    home = tensor._trace
    if tensor._value is None and home is not None and home.function and home.closed:
        raise _leaked(home)
    kind = LEAF if tensor.requires_grad else CONSTANT
    node = enter_value(trace, tensor._node.type, None, tensor, kind)
    trace.captured[id(tensor)] = (tensor, node)
    return node


def _leaked(trace: Trace) -> TracingError:
    return TracingError(
        f"a tensor made inside the function given to {trace.function} was used "
        "after that function had returned",
        fix="return it from the function",
    )


def before_change(tensor: Tensor) -> None:
    """Keep what `tensor` stood for where a function being recorded captured it."""
    trace: Trace | None = recorder.trace
    while trace is not None and trace.function is not None:
        found = trace.captured.pop(id(tensor), None)
        if found is not None:
            place = next(i for i, x in enumerate(trace.owners) if x is tensor)
            trace.owners[place] = _same_as(tensor)
        trace = trace.outer


def _same_as(tensor: Tensor) -> Tensor:
    """Return another tensor that stands for what `tensor` stands for."""
    other: Tensor = object.__new__(handle)
    other._trace, other._node = tensor._trace, tensor._node
    other._value, other._history = tensor._value, tensor._history
    other._requires_grad = tensor._requires_grad
    if other._value is None:
        other._trace.pending.append(weakref.ref(other))
    return other


def evaluate(tensor: Tensor) -> np.ndarray:
    """Return the value of `tensor`, running what it needs."""
    value: np.ndarray | None = tensor._value
    if value is not None:
        return value
    node, trace = tensor._node, tensor._trace
    if trace is None:  # another thread has just run it
        return evaluate(tensor)
    if trace.function is not None:
        if trace.closed:
            raise _leaked(trace)
        raise TracingError(
            f"a value was looked at while the function given to {trace.function} was "
            "being recorded",
            got=f"a tensor of type {tensor._node.type!r} without a value",
            fix="use plait.where, plait.cond or plait.while_loop instead of a Python "
            "branch, and return what you need from the function",
        )
    if trace is recorder.trace:
        flush(trace)
    elif tensor._value is None:
        # Another thread's trace, or one around a function being recorded, or one that
        # failed: compute this one value and leave the trace as it is.
        held = trace.held()
        if tensor._value is None:  # else the other thread has let go of what was held
            _run(trace.step, held, {tensor: node})
    value = tensor._value
    assert value is not None
    return value


# Recording


def record(
    op: Callable[..., Any],
    operands: Sequence[Any],
    static: tuple[Any, ...] = (),
) -> Any:
    """Record `op` and return its result as tensors.

    Args:
        op: a function that takes nodes, and then the static values.
        operands: tensors, Python numbers, arrays, None, or lists of tensors.
        static: the other arguments; hashable.
    """
    trace = recorder.trace
    if trace.step.depth >= settings.max_trace and trace.function is None:
        flush(trace)
        trace = recorder.trace
    parts: list[Any] = [op]
    numbers: list[Any] = []
    for x in operands:
        if isinstance(x, (list, tuple)):
            parts.append(tuple(_part(x_i, numbers) for x_i in x))
        else:
            parts.append(_part(x, numbers))
    key = (*parts, static) if static else tuple(parts)
    step = trace.step.next.get(key)
    if step is None:
        step = _new_step(trace.step, key, op, parts[1:], static)
    if numbers:
        trace.values.extend(numbers)
        trace.owners.extend([None] * len(numbers))
    trace.step = step
    result = step.result
    if isinstance(result, Node):
        return pending(trace, result)
    return tuple([pending(trace, node) for node in result])


class _Exact:
    """An integer too large for a runtime input, which becomes a constant."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value

    def __hash__(self) -> int:
        return hash(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Exact) and other.value == self.value


def _part(x: Any, numbers: list[Any]) -> Any:
    """Return the part of a step's key that `x` makes."""
    kind = x.__class__
    if kind is float or kind is bool:
        numbers.append(x)
        return kind
    if kind is int:
        if x not in _INT64:
            return _Exact(x)
        numbers.append(x)
        return kind
    if x is None:
        return None
    if isinstance(x, np.generic):
        x = x.item()  # itself, if Python has no such number
        if x.__class__ in _NUMBER_DTYPES:
            return _part(x, numbers)
    elif isinstance(x, (int, float)):  # of a subclass
        return _part(int(x) if isinstance(x, int) else float(x), numbers)
    tensor = as_operand(x)
    trace = recorder.trace
    return tensor._node if tensor._trace is trace else enter(trace, tensor)


_NUMBER_DTYPES = {float: "float64", int: "int64", bool: "bool"}


def _new_step(
    parent: Step,
    key: Any,
    op: Callable[..., Any],
    parts: Sequence[Any],
    static: tuple[Any, ...],
) -> Step:
    """Return the step that an op makes, which is new but for its line.

    What may fail when it runs is a step for each line that records it, so that the
    error can name the line.
    """
    located = (op, static)
    if located in roots.located:
        key = (key, user_line())
        found = parent.next.get(key)
        if found is not None:
            return found
    made = _make(parent, op, parts, static)
    if located not in roots.located and _may_fail(made, parts):
        roots.located.add(located)
        key = (key, user_line())
    roots.count += 1
    return parent.next.setdefault(key, made)


def _may_fail(step: Step, parts: Sequence[Any]) -> bool:
    known = {part for part in _flat(parts) if isinstance(part, Node)}
    results = (step.result,) if isinstance(step.result, Node) else step.result
    made = topological_order(results, lambda node: node not in known)
    return any(_fails(node.primitive) for node in made)


@functools.cache
def _fails(primitive: Primitive) -> bool:
    """Return whether values, and not types alone, can make a primitive fail."""
    for failure in primitive.failures():
        types = [TensorType(x.shape, as_dtype(x.dtype)) for x in failure.operands]
        try:
            primitive.infer(*types, **failure.attributes)
        except PlaitError:
            continue
        return True
    return False


def _make(
    parent: Step,
    op: Callable[..., Any],
    parts: Sequence[Any],
    static: tuple[Any, ...],
) -> Step:
    """Run `op` on nodes and return the step that it makes."""
    leaves: list[Node] = []

    def operand(part: Any) -> Any:
        if isinstance(part, tuple):
            return [operand(item) for item in part]
        if isinstance(part, Node):
            if part.differentiable and not parent.grad_enabled:
                return source.stop_gradient(part)
            return part
        if part is None:
            return None
        if isinstance(part, _Exact):
            return part.value
        dtype = as_dtype(_NUMBER_DTYPES[part])
        leaves.append(make_input((), dtype, weak=True))
        return leaves[-1]

    arguments = [operand(part) for part in parts]
    result = op(*arguments, *static)
    given = set(_flat(arguments))
    if isinstance(result, Node):
        result = distinct(result) if result in given else result
    else:
        result = tuple([distinct(x) if x in given else x for x in result])
    return Step(parent, result, tuple(leaves))


def _flat(arguments: Sequence[Any]) -> Iterator[Any]:
    for argument in arguments:
        if isinstance(argument, (list, tuple)):
            yield from argument
        else:
            yield argument


def distinct(node: Node) -> Node:
    """Return a node of the value of `node` that is not itself a place or a leaf."""
    if not node.differentiable:
        return node
    return apply(movement.RESHAPE, node, shape=node.shape)


handle: Any = None  # the class of handles
_convert: Callable[[Any], Any] = lambda x: x  # noqa: E731


def install(tensor_class: Any, convert: Callable[[Any], Any]) -> None:
    """Tell which class handles are of, and how other objects become one.

    `tensor.py` calls this once: the handle's class needs the recorder to define its
    methods, so the recorder cannot import it.
    """
    global handle, _convert
    handle, _convert = tensor_class, convert


def as_operand(x: Any) -> Tensor:
    """Return `x` as a tensor if it is one or can be seen as one."""
    return x if isinstance(x, handle) else _convert(x)  # type: ignore[no-any-return]


def pending(trace: Trace, node: Node) -> Tensor:
    """Return a new tensor that stands for `node` of `trace`."""
    tensor: Tensor = object.__new__(handle)
    tensor._trace = trace
    tensor._node = node
    trace.pending.append(weakref.ref(tensor))
    return tensor


def mark_variable(tensor: Tensor) -> None:
    """Make a pending tensor a place that derivatives are taken with respect to."""
    trace = recorder.trace
    if tensor._trace is not trace:
        evaluate(tensor)
        tensor._trace = None  # enters as the leaf that it is
        return
    node = tensor._node
    key = ("variable", node)
    step = follow(trace, key, lambda: Step(trace.step, source.variable(node), ()))
    tensor._node = step.result
    trace.variables[step.result] = tensor


# Running


class Kept:
    """One value that a history keeps, and how it enters a later trace.

    Attributes:
        value: the array, or the Python number.
        kind: LEAF, CONSTANT, COMPUTED or SPENT.
        handle: a weak reference to a tensor that held the value, to enter that one, so
            that it enters once; or None.
        owner: the tensor that a LEAF's gradient goes to.
        origin: for a leaf COMPUTED before an earlier flush: (history, node).
    """

    __slots__ = ("value", "kind", "handle", "owner", "origin")

    def __init__(
        self,
        value: Any,
        kind: str,
        tensor: Tensor | None,
        owner: Tensor | None = None,
        origin: Any = None,
    ) -> None:
        self.value = value
        self.kind = kind
        self.handle = None if tensor is None else weakref.ref(tensor)
        self.owner = owner
        self.origin = origin


class History:
    """What a run trace keeps for derivatives taken later.

    It refers to no tensor that refers to it, so that it goes when the last of its
    tensors goes.

    Attributes:
        program: what was run.
        kept: the leaves, and the intermediate values that derivatives need, by node.
        spent: nodes whose derivative was used up.
        hooks: gradient hooks by node.
    """

    __slots__ = ("program", "kept", "spent", "hooks", "__weakref__")

    def __init__(self, program: Program) -> None:
        self.program = program
        self.kept: dict[Node, Kept] = {}
        self.spent: frozenset[Node] = program.spent
        self.hooks: dict[Node, Any] = {}

    def spend(self, places: Iterable[int]) -> None:
        """Use up derivatives, and let go of what only they needed.

        Args:
            places: in the order of the program's nodes.
        """
        program = self.program
        self.spent |= {program.order[i] for i in places}
        left = [node for node in program.roots if node not in self.spent]
        needed = {program.order[i] for node in left for i in program.cone(node)}
        for node in list(self.kept):
            # What is left may need the values of leaves, even of those used up.
            if node not in needed or (node in self.spent and node.operands):
                del self.kept[node]
                self.hooks.pop(node, None)


class Program:
    """A graph ready to be run, and what of it later derivatives need.

    Attributes:
        arity: how many leaves it takes.
        targets: the nodes asked for.
        histories: for each target, whether it needs a history, or SPENT.
        roots: the targets that need one.
        saved: further nodes whose values are kept for later derivatives.
        spent: nodes whose derivative was used up before.
        order: what the roots are differentiated by, operands before users. What cannot
            be differentiated is not looked into where its value is saved, nor are
            leaves that were computed.
        index: the place of each node in `order`.
        leaves: the leaves among them, and their places among all leaves.
        form: equal for programs whose `order` is the same but for its nodes.
    """

    __slots__ = (
        "arity", "targets", "histories", "roots", "saved", "spent", "order", "index",
        "leaves", "form", "_ends", "_cones", "_interpreted",
    )  # fmt: skip

    def __init__(self, step: Step, targets: tuple[Node, ...]) -> None:
        inputs = step.inputs()
        spent = step.all_spent()
        self.arity = len(inputs)
        self.targets = targets
        self.histories = [_needs_history(node, spent) for node in targets]
        self.roots = [
            n for n, h in zip(targets, self.histories, strict=True) if h is True
        ]
        self.spent = frozenset(spent) if self.roots else frozenset()
        self.saved = _residuals(self.roots, inputs, spent) if self.roots else []
        self._ends = {n for n in self.saved if not n.differentiable or is_variable(n)}
        self._cones: dict[tuple[Node, bool], list[int]] = {}
        self.order = _ordered(self.roots, self._ends)
        self.index = {node: i for i, node in enumerate(self.order)}
        self.leaves = [(i, x) for i, x in enumerate(inputs) if x in self.index]
        self.form = self._form()
        graph = Graph(inputs, tuple(dict.fromkeys((*targets, *self.saved))))
        simplified = simplify(graph)
        for stage, one in (("graph", graph), ("simplified", simplified)):
            if settings.shows(stage):
                print(f"# {stage}\n{to_text(one)}", file=sys.stderr)
        self._interpreted = Interpreted(simplified)

    def run(self, values: Sequence[Any]) -> list[np.ndarray]:
        """Return the values of targets and saved nodes, given those of the leaves."""
        return self._interpreted.run(values)

    def cone(self, node: Node, kept: bool = False) -> list[int]:
        """Return the places of what `node` is computed from, operands before users.

        Args:
            kept: only of what a history may have kept.
        """
        found = self._cones.get((node, kept))
        if found is None:
            cone = _ordered([node], self._ends)
            if kept:
                saved = {*self.saved, *(leaf for _, leaf in self.leaves)}
                cone = [one for one in cone if one in saved]
            found = self._cones[node, kept] = sorted(self.index[one] for one in cone)
        return found

    def _form(self) -> int:
        saved = set(self.saved)
        parts = tuple(
            (
                node.primitive,
                tuple(node.attributes.items()),
                node.type,
                node.differentiable,
                node.weak,
                node in saved,
                node not in self._ends
                and tuple([self.index[operand] for operand in node.operands]),
            )
            for node in self.order
        )
        return roots.forms.setdefault(parts, next(_count)) if parts else 0


_count = itertools.count(1)


def _ordered(nodes: Sequence[Node], ends: set[Node]) -> list[Node]:
    """Return `nodes` and what they need, operands before users, not beyond `ends`."""
    order: list[Node] = []
    done: set[Node] = set()
    stack = list(reversed(nodes))
    while stack:
        node = stack.pop()
        if node in done:
            continue
        waiting = (
            [x for x in node.operands if x not in done] if node not in ends else []
        )
        if waiting:
            stack.append(node)
            stack.extend(reversed(waiting))
        else:
            done.add(node)
            order.append(node)
    return order


def _program(step: Step, targets: tuple[Node, ...]) -> Program:
    program = step.programs.get(targets)
    if program is None:
        program = step.programs.setdefault(targets, Program(step, targets))
    return program


def is_variable(node: Node) -> bool:
    """Return whether `node` is a leaf, though its value was computed."""
    return node.primitive is source.VARIABLE and not node.operands[0].differentiable


def _needs_history(node: Node, spent: set[Node]) -> Any:
    if not node.differentiable or is_variable(node):
        return None
    return SPENT if node in spent else True


def _residuals(
    targets: Sequence[Node], inputs: Sequence[Node], spent: set[Node]
) -> list[Node]:
    """Return the nodes whose values a derivative of `targets` needs."""
    forward = topological_order(targets)
    marks = [n for n in forward if n.primitive is source.VARIABLE and n not in spent]
    wrt = [node for node in inputs if node.differentiable] + marks
    seeds = [
        make_input(node.shape, node.dtype, differentiable=True) for node in targets
    ]
    try:
        cotangents = pull_back(targets, seeds, wrt, fixed=spent)
    except GradientError:
        return marks  # the error belongs to whoever asks for the derivative
    known = {node for node in forward if node.operands}
    needed: dict[Node, None] = dict.fromkeys(marks)
    grown = [ct for ct in cotangents if ct is not None]
    for node in topological_order(grown, lambda node: node not in known):
        for operand in node.operands:
            if operand in known:
                needed[operand] = None
    return [node for node in needed if isinstance(node.type, TensorType)]


def flush(trace: Trace) -> None:
    """Run `trace`: give every tensor of it that is still alive its value."""
    live: dict[Tensor, Node] = {}
    for reference in trace.pending:
        tensor = reference()
        if tensor is not None:
            node = tensor._node
            if tensor._trace is trace:
                live[tensor] = node
    recorder.trace = _fresh_trace()
    trace.closed = True
    if live:
        try:
            _run(trace.step, trace.held(), live)
        except PlaitError:
            # The tensors stay in the closed trace, where looking at one again computes
            # it alone, or gives the same error. What entered may go.
            for owner in trace.owners:
                if owner is not None and owner._value is not None:
                    owner._trace = None
            raise
        for tensor in live:
            tensor._trace = None
    trace.clear()


def _run(step: Step, held: Held, live: dict[Tensor, Node]) -> None:
    """Give tensors their values, and what derivatives need."""
    targets = tuple(dict.fromkeys(live.values()))
    program = _program(step, targets)
    results = program.run(held.values[: program.arity])
    history = _keep(program, held, live, results) if program.roots else None
    found = dict(
        zip(targets, zip(results, program.histories, strict=False), strict=True)
    )
    for tensor, node in live.items():
        value, kind = found[node]
        if kind is not None:
            tensor._history = (history, node) if kind is True else SPENT
        tensor._value = value


def _keep(
    program: Program, held: Held, live: dict[Tensor, Node], results: list[np.ndarray]
) -> History:
    history = History(program)
    for i, node in program.leaves:
        owner = held.owners[i]
        origin = held.origins.get(node)
        kind = LEAF if node.differentiable else CONSTANT
        if origin is not None:
            kind = SPENT if origin is SPENT else COMPUTED
        kept = Kept(
            held.values[i], kind, owner, owner if kind is LEAF else None, origin
        )
        history.kept[node] = kept
    holders = {node: tensor for tensor, node in reversed(live.items())}
    nodes = dict.fromkeys((*program.targets, *program.saved))
    saved = set(program.saved)
    for node, value in zip(nodes, results, strict=True):
        hooks = held.hooked.get(node)
        if hooks is not None and node not in program.spent:
            history.hooks[node] = hooks
        elif node not in saved:
            continue
        holder = holders.get(node)
        if is_variable(node):
            owner = held.variables.get(node)
            holder = holder if owner is None else owner
            kind = CONSTANT if holder is None else LEAF
            history.kept[node] = Kept(value, kind, holder, owner)
        else:
            kind = COMPUTED if node.differentiable else CONSTANT
            history.kept[node] = Kept(value, kind, holder)
    return history


# Derivatives across a flush


def watch(tensor: Tensor, hooks: Any) -> None:
    """Have `hooks` called with the gradient of `tensor`, which was computed.

    Raises:
        TracingError: inside a function that is being recorded.
    """
    if recorder.trace.function is not None:
        raise TracingError(
            "[register_hook] a hook is never called while the function given to "
            f"{recorder.trace.function} is recorded",
            fix="use plait.custom_vjp",
        )
    origin = tensor._history
    if tensor._value is not None and origin is not None and origin is not SPENT:
        history, node = origin
        holder = history.kept.get(node)
        if holder is None and node not in history.spent:
            history.kept[node] = Kept(tensor._value, COMPUTED, tensor)
        history.hooks[node] = hooks
        # What was linked to this history without the hooks is linked anew.
        flush(recorder.trace)
    trace = recorder.trace
    node = enter(trace, tensor)
    trace.hooked[node] = hooks
    if node.operands:
        # A tensor may come to stand for another value. This one does not.
        trace.marks.append(pending(trace, node))


def adopt_all(trace: Trace) -> None:
    """Link every leaf that was computed before a flush to the expression it came
    from.
    """
    while trace.historic:
        leaf = trace.historic.pop()
        if leaf not in trace.linked:
            _adopt(trace, leaf)


def _adopt(trace: Trace, leaf: Node) -> None:
    history, node = trace.origins[leaf]
    program = history.program
    known = trace.adopted.setdefault(history, {})
    place = list(trace.adopted).index(history)
    trace.linked.add(leaf)
    at = program.index[node]
    entered: dict[int, Node] = {}
    linked: list[int] = []
    for i in program.cone(node, kept=not history.hooks):
        if i in known:
            continue
        one = program.order[i]
        kept = history.kept.get(one)
        if kept is not None:
            entered[i] = leaf if i == at else _restore(trace, history, one, kept)
            if one.operands and entered[i] in trace.origins:
                linked.append(i)
                trace.linked.add(entered[i])
        elif one.primitive is INPUT:
            # It was let go of, as all that was computed with it was used up.
            trace.origins[leaf] = SPENT
            return
    spent = [
        i
        for i in program.cone(node)
        if history.spent and program.order[i] in history.spent
    ]

    def make() -> Step:
        step = Step(trace.step, None, ())
        table = {**known, **entered}
        cone = [i for i in program.cone(node) if i not in known]
        for i in cone:
            if i in entered and i not in linked:
                continue
            one = program.order[i]
            operands = tuple([table[program.index[x]] for x in one.operands])
            if i in entered:
                step.links[entered[i]] = rebuild(one, operands)
            else:
                table[i] = rebuild(one, operands)
        if table[at] is not leaf:
            step.links[leaf] = table[at]
        step.result = {i: table[i] for i in cone}
        step.spent = frozenset(table[i] for i in spent)
        return step

    key = (
        "adopt", leaf, program.form, at, place, tuple(entered.items()), tuple(spent)
    )  # fmt: skip
    known.update(follow(trace, key, make).result)


def _restore(trace: Trace, history: History, node: Node, kept: Kept) -> Node:
    """Enter a value that `history` keeps, by the tensor that holds it if it still
    does.
    """
    if kept.kind is COMPUTED:
        origin = kept.origin or (history, node)
        return trace.entered.get(origin) or enter(
            trace, _stand_in(node, kept.value, origin)
        )
    tensor = None if kept.handle is None else kept.handle()
    if (
        tensor is not None
        and tensor._value is kept.value
        and _kind(tensor) is kept.kind
    ):
        return enter(trace, tensor)
    value = np.asarray(kept.value, node.dtype.numpy) if node.weak else kept.value
    # Of a leaf that is gone, as those of transforms are, nobody wants a gradient.
    gone = kept.kind is LEAF and kept.owner is None
    kind = CONSTANT if gone else kept.kind
    leaf = enter_value(trace, node.type, value, kept.owner, kind)
    if kind is SPENT:
        trace.origins[leaf] = SPENT
    return leaf


def _stand_in(node: Node, value: np.ndarray, origin: Any) -> Tensor:
    tensor: Tensor = object.__new__(handle)
    tensor._trace = None
    tensor._node = node
    tensor._value = value
    tensor._history = origin
    return tensor


# Gradient mode


@contextmanager
def grad_mode(enabled: bool) -> Iterator[None]:
    """Record with derivatives on or off inside a `with` block."""
    before = recorder.grad_enabled
    _set_grad_mode(enabled)
    try:
        yield
    finally:
        _set_grad_mode(before)


def _set_grad_mode(enabled: bool) -> None:
    recorder.grad_enabled = enabled
    trace = recorder.trace
    if trace.step.grad_enabled is enabled:
        return

    def make() -> Step:
        step = Step(trace.step, None, ())
        step.grad_enabled = enabled
        return step

    follow(trace, ("grad mode", enabled), make)


# Functions recorded as graphs


class Recorded:
    """A function recorded as a closed graph.

    Attributes:
        graph: its inputs are the arguments, then what was captured.
        captured: the outside tensors and Python numbers that the function used.
    """

    __slots__ = ("graph", "captured")

    def __init__(self, graph: Graph, captured: list[Any]) -> None:
        self.graph = graph
        self.captured = captured


def record_function(
    name: str,
    function: Callable[[list[Tensor]], Sequence[Any]],
    types: Sequence[TensorType],
    kinds: Sequence[str],
) -> Recorded:
    """Record `function` on arguments of `types` that have no values.

    Args:
        name: what it is recorded for, in errors.
        function: takes the list of tensors, returns a list of tensors or numbers.
        kinds: for each argument CONSTANT, LEAF if derivatives flow to it, or NUMBER.
    """
    outer = recorder.trace
    root = roots.grad if recorder.grad_enabled else roots.no_grad
    trace = Trace(root, name)
    trace.outer = outer
    recorder.trace = trace
    try:
        arguments = []
        for type, kind in zip(types, kinds, strict=True):
            node = enter_value(trace, type, None, None, kind)
            arguments.append(pending(trace, node))
        results = function(arguments)
        nodes = []
        for result in results:
            tensor = as_operand(result)
            nodes.append(enter(trace, tensor))
    finally:
        trace.closed = True
        recorder.trace = outer
        if outer.step.grad_enabled is not recorder.grad_enabled:
            _set_grad_mode(recorder.grad_enabled)
    key = tuple(nodes)
    graph = trace.step.graphs.get(key)
    if graph is None:
        graph = trace.step.graphs.setdefault(key, Graph(trace.step.inputs(), nodes))
    pairs = zip(trace.owners, trace.values, strict=True)
    captured = [value if owner is None else owner for owner, value in pairs]
    return Recorded(graph, captured[len(types) :])

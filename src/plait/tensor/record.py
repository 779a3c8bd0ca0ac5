"""Recording: an op does not run; it is a step along a trie of everything recorded before.

A step's key is the op, the nodes of its operands and its static attributes. If the child
exists, shapes, dtypes and errors were all settled when it was made, and recording costs
one look-up. A concrete tensor enters as a step keyed by its type; a Python number enters
as a runtime input keyed by its Python type alone, so that changed numbers record nothing
new.

A trace is run ("flushed") when somebody looks at a value. What stays alive then, together
with the step reached, is the key of the program that is run.

This file knows tensors only as handles with `_node`, `_trace`, `_value` and `_history`.

Read first: `Step`, `Trace`, `record`, `flush`.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import GradientError, TracingError
from ..ir.build import make_input, substitute
from ..ir.evaluate import Interpreted
from ..ir.graph import Graph, Node, TensorType, topological_order
from ..ir.text import to_text
from ..ops import source
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
        links: leaves that hold the value of an expression recorded earlier.
        programs: the programs run from here, by the nodes they compute.
        graphs: the graphs closed here, by their output nodes.
    """

    __slots__ = (
        "next", "parent", "result", "leaves", "grad_enabled", "spent", "links", "depth",
        "programs", "graphs",
    )  # fmt: skip

    def __init__(self, parent: Step | None, result: Any, leaves: tuple[Node, ...]) -> None:
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
        historic: tensors that entered and were computed differentiably before a flush.
        hooked: tensors with gradient hooks, by their node.
        function: for a function being recorded, its name; None for a real trace.
        captured: in a function, outside tensors that entered, by identity.
        outer: the trace that was current when a function began.
    """

    __slots__ = (
        "step", "values", "owners", "pending", "variables", "historic", "hooked",
        "function", "captured", "outer", "closed", "__weakref__",
    )  # fmt: skip

    def __init__(self, step: Step, function: str | None = None) -> None:
        self.step = step
        self.values: list[Any] = []
        self.owners: list[Tensor | None] = []
        self.pending: list[weakref.ref[Tensor]] = []
        self.variables: dict[Node, Tensor] = {}
        self.historic: list[Tensor] = []
        self.hooked: dict[Node, Tensor] = {}
        self.function = function
        self.captured: dict[int, tuple[Tensor, Node]] = {}
        self.outer: Trace | None = None
        self.closed = False


class _Roots:
    """Where traces begin. Forgetting all is putting new roots here."""

    def __init__(self) -> None:
        self.count = 0
        self.renew()

    def renew(self) -> None:
        self.grad = Step(None, None, ())
        self.no_grad = Step(None, None, ())
        self.no_grad.grad_enabled = False
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


def follow(
    trace: Trace, key: Any, make: Callable[[], Step], values: Sequence[Any] = ()
) -> Step:
    """Advance `trace` along `key`, making the step if it is new."""
    step = trace.step.next.get(key)
    if step is None:
        step = trace.step.next.setdefault(key, make())
        roots.count += 1
    trace.step = step
    if values:
        trace.values.extend(values)
        trace.owners.extend([None] * len(values))
    return step


# Operands


def enter(trace: Trace, tensor: Tensor) -> Node:
    """Return the node of `tensor` in `trace`, entering it as a leaf if it is new."""
    if tensor._trace is trace:
        return tensor._node
    if trace.function is not None:
        return _capture(trace, tensor)
    value = tensor._value
    if value is None:
        value = evaluate(tensor)
    history = tensor._history
    kind = CONSTANT if history is None else SPENT if history is SPENT else COMPUTED
    if kind is CONSTANT and tensor._requires_grad:
        kind = LEAF
    node = enter_value(trace, tensor._node.type, value, tensor, kind)
    tensor._trace = trace
    tensor._node = node
    if kind is COMPUTED:
        trace.historic.append(tensor)
    return node


def enter_value(
    trace: Trace, type: TensorType, value: Any, owner: Tensor | None, kind: str
) -> Node:
    """Enter a value as a leaf on behalf of `owner`, and return its node.

    Args:
        kind: how derivatives see it: CONSTANT, LEAF, COMPUTED (before a flush) or SPENT.
    """
    differentiable = kind is not CONSTANT and kind is not NUMBER
    key = (type, kind)
    step = trace.step.next.get(key)
    if step is None:
        node = make_input(
            type.shape, type.dtype, differentiable=differentiable, weak=kind is NUMBER
        )
        step = trace.step.next.setdefault(key, Step(trace.step, node, (node,)))
        roots.count += 1
    trace.step = step
    trace.values.append(value)
    trace.owners.append(owner)
    result: Node = step.result
    return result


def _capture(trace: Trace, tensor: Tensor) -> Node:
    """Enter a tensor from outside into a function that is being recorded."""
    found = trace.captured.get(id(tensor))
    if found is not None:
        return found[1]
    home = tensor._trace
    if tensor._value is None and home is not None and home.function and home.closed:
        raise TracingError(
            f"a tensor made inside the function given to {home.function} was used "
            "after that function had returned",
            fix="return it from the function",
        )
    kind = LEAF if tensor.requires_grad else CONSTANT
    node = enter_value(trace, tensor._node.type, None, tensor, kind)
    trace.captured[id(tensor)] = (tensor, node)
    return node


def evaluate(tensor: Tensor) -> np.ndarray:
    """Return the value of `tensor`, running what it needs."""
    value = tensor._value
    if value is not None:
        return value
    trace = tensor._trace
    assert trace is not None
    if trace.function is not None:
        what = "was looked at while" if not trace.closed else "was used after"
        raise TracingError(
            f"a value {what} the function given to {trace.function} was being recorded",
            got=f"a tensor of type {tensor._node.type!r} without a value",
            fix="use plait.where, plait.cond or plait.while_loop instead of a Python "
            "branch, and return what you need from the function",
        )
    if trace is recorder.trace:
        flush(trace)
    else:
        # Another thread's trace, or one around a function being recorded: compute this
        # one value and leave the trace as it is.
        program = _program(trace.step, (tensor._node,))
        (tensor._value,) = program.run(trace.values[: program.arity])
    result = tensor._value
    assert result is not None
    return result


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
        made = _make(trace.step, op, parts[1:], static)
        step = trace.step.next.setdefault(key, made)
        roots.count += 1
    trace.step = step
    if numbers:
        trace.values.extend(numbers)
        trace.owners.extend([None] * len(numbers))
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
        return _part(x.item(), numbers)
    tensor = as_operand(x)
    trace = recorder.trace
    return tensor._node if tensor._trace is trace else enter(trace, tensor)


_NUMBER_DTYPES = {float: "float64", int: "int64", bool: "bool"}


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
        dtype = source.as_dtype(_NUMBER_DTYPES[part])
        leaves.append(make_input((), dtype, weak=True))
        return leaves[-1]

    arguments = [operand(part) for part in parts]
    result = op(*arguments, *static)
    if not isinstance(result, Node):
        result = tuple(result)
    return Step(parent, result, tuple(leaves))


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
    tensor: Tensor = handle.__new__(handle)
    tensor._trace = trace
    tensor._node = node
    trace.pending.append(weakref.ref(tensor))
    return tensor


# Running


class History:
    """What a run trace keeps for derivatives taken later.

    Attributes:
        inputs, values, owners: the leaves.
        saved: tensors holding intermediate values that derivatives need, by node.
    """

    __slots__ = ("inputs", "values", "owners", "saved", "__weakref__")

    def __init__(
        self, inputs: list[Node], values: list[Any], owners: list[Tensor | None]
    ) -> None:
        self.inputs = inputs
        self.values = values
        self.owners = owners
        self.saved: dict[Node, Tensor] = {}


class Program:
    """A graph ready to be run, and what of it later derivatives need.

    Attributes:
        arity: how many leaves it takes.
        targets: how many of the outputs were asked for; the rest are saved.
        differentiable: for each target, whether it needs a history, or SPENT.
        saved: nodes whose values are kept for later derivatives.
    """

    __slots__ = ("arity", "inputs", "count", "histories", "saved", "_interpreted")

    def __init__(
        self,
        inputs: list[Node],
        targets: tuple[Node, ...],
        histories: list[Any],
        saved: list[Node],
    ) -> None:
        self.arity = len(inputs)
        self.inputs = inputs
        self.count = len(targets)
        self.histories = histories
        self.saved = saved
        graph = Graph(inputs, (*targets, *saved))
        simplified = simplify(graph)
        for stage, one in (("graph", graph), ("simplified", simplified)):
            if settings.shows(stage):
                print(f"# {stage}\n{to_text(one)}", file=sys.stderr)
        self._interpreted = Interpreted(simplified)

    def run(self, values: Sequence[Any]) -> list[np.ndarray]:
        return self._interpreted.run(values)


def _program(step: Step, targets: tuple[Node, ...]) -> Program:
    program = step.programs.get(targets)
    if program is None:
        inputs = step.inputs()
        spent = step.all_spent()
        histories = [_needs_history(node, spent) for node in targets]
        roots_ = [n for n, h in zip(targets, histories, strict=True) if h is True]
        saved = _residuals(roots_, inputs) if roots_ else []
        program = Program(inputs, targets, histories, saved)
        step.programs[targets] = program
    return program


def _needs_history(node: Node, spent: set[Node]) -> Any:
    if not node.differentiable:
        return None
    if node.primitive is source.VARIABLE and not node.operands[0].differentiable:
        return None  # a leaf, though its value was computed
    return SPENT if node in spent else True


def _residuals(targets: Sequence[Node], inputs: Sequence[Node]) -> list[Node]:
    """Return the nodes whose values a derivative of `targets` needs."""
    forward = topological_order(targets)
    marks = [n for n in forward if n.primitive is source.VARIABLE]
    wrt = [node for node in inputs if node.differentiable] + marks
    seeds = [make_input(node.shape, node.dtype, differentiable=True) for node in targets]
    try:
        cotangents = pull_back(targets, seeds, wrt)
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
    live = []
    for reference in trace.pending:
        tensor = reference()
        if tensor is not None and tensor._trace is trace:
            live.append(tensor)
    recorder.trace = _fresh_trace()
    trace.closed = True
    if not live:
        return
    targets = tuple([tensor._node for tensor in live])
    program = _program(trace.step, targets)
    # Should this fail, the tensors stay in the closed trace, where looking at one again
    # computes it alone and gives the same error.
    values = program.run(trace.values)
    history = None
    if program.saved or True in program.histories:
        history = History(program.inputs, trace.values, trace.owners)
        held = {tensor._node: tensor for tensor in live}
        for node, value in zip(program.saved, values[program.count :], strict=True):
            owner = held.get(node)
            history.saved[node] = (
                _saved(history, node, value) if owner is None else owner
            )
    for tensor, value, kind in zip(live, values, program.histories, strict=False):
        tensor._value = value
        tensor._trace = None
        if kind is True:
            tensor._history = (history, tensor._node)
        elif kind is not None:
            tensor._history = kind


def _saved(history: History, node: Node, value: np.ndarray) -> Tensor:
    tensor: Tensor = handle.__new__(handle)
    tensor._trace = None
    tensor._node = node
    tensor._value = value
    tensor._history = (history, node)
    return tensor


# Derivatives across a flush


def adopt_all(trace: Trace) -> None:
    """Link every leaf that was computed before a flush to the expression it came from."""
    while trace.historic:
        tensor = trace.historic.pop()
        if tensor._history is SPENT or tensor._trace is not trace:
            continue
        _adopt(trace, tensor)


def _adopt(trace: Trace, tensor: Tensor) -> None:
    history, node = tensor._history
    leaf = tensor._node
    cone = topological_order([node])
    replacements: list[Node] = []
    entered: list[Node] = []
    at = {node: i for i, node in enumerate(history.inputs)}
    for one in cone:
        if one in at:
            replacements.append(one)
            entered.append(_reenter(trace, history, at[one]))
        elif one in history.saved and one is not node:
            saved = history.saved[one]
            fresh = saved._trace is not trace
            entered.append(enter(trace, saved))
            replacements.append(one)
            if fresh and trace.historic and trace.historic[-1] is saved:
                trace.historic.pop()  # linked right below

    def make() -> Step:
        step = Step(trace.step, None, ())
        table = dict(zip(replacements, entered, strict=True))
        for one in cone:
            if one in table and one not in at and one.operands:
                step.links[table[one]] = _rebuilt(one, table)
        step.links[leaf] = table[node] if node in table else _rebuilt(node, table)
        return step

    follow(trace, ("adopt", leaf, node, tuple(replacements), tuple(entered)), make)


def _rebuilt(node: Node, table: dict[Node, Node]) -> Node:
    """Return `node` computed from the nearest nodes in `table`, not being itself one."""
    rest = {key: value for key, value in table.items() if key is not node}
    return substitute([node], rest)[0]


def _reenter(trace: Trace, history: History, index: int) -> Node:
    owner = history.owners[index]
    value = history.values[index]
    node = history.inputs[index]
    if owner is not None and owner._value is value:
        return enter(trace, owner)
    if node.weak:
        value = np.asarray(value, node.dtype.numpy)
    kind = LEAF if node.differentiable else CONSTANT
    return enter_value(trace, node.type, value, owner, kind)


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

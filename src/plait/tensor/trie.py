"""The trie of everything recorded before, and the traces that walk along it.

This file, and those that build on it, know tensors only as handles with `_node`,
`_trace`, `_value` and `_history`.

Read first: `Step`, `Trace`.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ..dtypes import DType
from ..ir.graph import Graph, Node
from ..settings import settings

if TYPE_CHECKING:
    from .execute import Program
    from .history import History
    from .tensor import Tensor

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
        autocast: the type of 16 bits that products recorded after this step are
            computed with, or None.
        spent: nodes whose derivative this step has used up.
        links: leaves that hold the value of an expression, by which they are
            differentiated.
        programs: the programs run from here, by the nodes they compute.
        graphs: the graphs closed here, by their output nodes.
        replaced: leaves whose tensors get other values when this step is run, and
            which: (leaf, node). None for other steps.
    """

    __slots__ = (
        "next", "parent", "result", "leaves", "grad_enabled", "spent", "links", "depth",
        "programs", "graphs", "replaced", "autocast",
    )  # fmt: skip

    def __init__(
        self, parent: Step | None, result: Any, leaves: tuple[Node, ...]
    ) -> None:
        self.next: dict[Any, Step] = {}
        self.parent = parent
        self.result = result
        self.leaves = leaves
        self.grad_enabled: bool = True if parent is None else parent.grad_enabled
        self.autocast: DType | None = None if parent is None else parent.autocast
        self.spent: frozenset[Node] = frozenset()
        self.links: dict[Node, Node] = {}
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.programs: dict[tuple[Node, ...], Program] = {}
        self.graphs: dict[tuple[Node, ...], Graph] = {}
        self.replaced: tuple[tuple[Node, Node], ...] | None = None

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
        variables: weak references to tensors that are places to differentiate at, by
            their node.
        origins: what leaves were computed from before a flush: (history, node), or
            SPENT.
        entered: the leaf of each origin.
        historic: leaves that `adopt_all` has not looked at yet.
        linked: leaves that hold the value of an expression, as in `Step.links`.
        adopted: what nodes of a history have become in this trace, by their places.
        hooked: gradient hooks of computed tensors, by their node.
        marks: tensors that hooks keep alive.
        function: for a function being recorded, its name; None for a real trace.
        captured: in a function, outside tensors that entered, by identity.
        outer: the trace that was current when a function began.
        closed: nothing more will be recorded here.
        lock: held while values that entered are taken away from their tensors.
    """

    __slots__ = (
        "step", "values", "owners", "pending", "variables", "origins", "entered",
        "historic", "linked", "adopted", "hooked", "marks", "function", "captured",
        "outer", "closed", "lock", "__weakref__",
    )  # fmt: skip

    def __init__(self, step: Step, function: str | None = None) -> None:
        self.step = step
        self.function = function
        self.outer: Trace | None = None
        self.closed = False
        self.lock = threading.RLock()
        self.values: list[Any] = []
        self.owners: list[Tensor | None] = []
        self.pending: list[weakref.ref[Tensor]] = []
        self.variables: dict[Node, weakref.ref[Tensor]] = {}
        self.origins: dict[Node, Any] = {}
        self.entered: dict[Any, Node] = {}
        self.historic: list[Node] = []
        self.linked: set[Node] = set()
        self.adopted: dict[History, dict[int, Node]] = {}
        self.hooked: dict[Node, Any] = {}
        self.marks: list[Tensor] = []
        self.captured: dict[int, tuple[Tensor, Node]] = {}

    def held(self) -> Held:
        """Return what running this trace needs, as it is now."""
        return Held(
            list(self.values), self.owners, self.origins, self.variables, self.hooked
        )

    def let_go(self) -> None:
        """Let go of everything that entered; nothing enters any more."""
        nothing: list[Any] = []
        none: dict[Any, Any] = {}
        self.values = self.owners = self.pending = self.historic = self.marks = nothing
        self.variables = self.origins = self.entered = self.adopted = none
        self.hooked = self.captured = none
        self.linked = set()


class Held(NamedTuple):
    """What a trace holds that running it needs; see `Trace`."""

    values: list[Any]
    owners: list[Tensor | None]
    origins: dict[Node, Any]
    variables: dict[Node, weakref.ref[Tensor]]
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
    """Each thread's current trace, and how it records: see `Step`."""

    def __init__(self) -> None:
        self.grad_enabled = True
        self.autocast: DType | None = None
        self.trace = Trace(roots.grad)


recorder = _Recorder()


def fresh_trace() -> Trace:
    """Return a trace at the beginning of the trie."""
    if roots.count > settings.max_steps:
        roots.renew()
    return begun()


def begun(function: str | None = None) -> Trace:
    """Return a trace at the beginning, in the modes of this thread.

    Args:
        function: see `Trace`.
    """
    root = roots.grad if recorder.grad_enabled else roots.no_grad
    trace = Trace(root, function)
    if recorder.autocast is not None:
        set_modes(trace)
    return trace


def set_modes(trace: Trace) -> None:
    """Have `trace` go on in the modes of this thread."""
    grad, autocast = recorder.grad_enabled, recorder.autocast
    if trace.step.grad_enabled is grad and trace.step.autocast is autocast:
        return

    def make() -> Step:
        step = Step(trace.step, None, ())
        step.grad_enabled, step.autocast = grad, autocast
        return step

    follow(trace, ("modes", grad, autocast), make)


def follow(trace: Trace, key: Any, make: Callable[[], Step]) -> Step:
    """Advance `trace` along `key`, making the step if it is new."""
    step = trace.step.next.get(key)
    if step is None:
        step = trace.step.next.setdefault(key, make())
        roots.count += 1
    trace.step = step
    return step


# Handles

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


def all_pending(trace: Trace, nodes: Iterable[Node]) -> list[Tensor]:
    """Return new tensors that stand for `nodes` of `trace`."""
    # What `pending` does, written out: there are many gradients in a step.
    new, ref, cls = object.__new__, weakref.ref, handle
    found: list[Tensor] = []
    references = trace.pending
    for node in nodes:
        tensor: Tensor = new(cls)
        tensor._trace = trace
        tensor._node = node
        references.append(ref(tensor))
        found.append(tensor)
    return found

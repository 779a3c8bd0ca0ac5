"""The functions of an export as graphs: all that they use comes in, all they change
goes out.

Read first: `Function`, `functions_of`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

import plait
from plait import Tensor, nn

from ..dtypes import float64
from ..errors import ArgumentError, ArgumentTypeError
from ..ir.build import substitute
from ..ir.evaluate import Interpreted
from ..ir.graph import Graph, Node, TensorType, topological_order
from ..ops import source
from ..tensor.record import record_function
from ..tensor.trie import CONSTANT
from ..train.step import KEY, STEP, Outcome, TrainStep
from ..trees import flatten, unflatten
from .example import Example, example_of, labels_of

# Tensors from outside, in bytes, that become part of programs; larger ones lie with the
# weights.
_SMALL = 4096


class Entry(NamedTuple):
    """One tensor of the state.

    Attributes:
        value: at first.
        role: "parameter", "buffer", "optimizer", "step", "key", or "constant" for what
            a function uses from outside.
    """

    value: Tensor
    role: str


class Port(NamedTuple):
    """A tensor that a function takes or returns.

    Attributes:
        name: of the state if `kind` is "state".
        type: shape and dtype.
        kind: "state", "data", or "hyperparameter".
        default: of a hyperparameter.
    """

    name: str
    type: TensorType
    kind: str = "data"
    default: float | None = None


class Function(NamedTuple):
    """A function of an export.

    Attributes:
        name: by which it is called.
        symbol: tells it from the same function for other numbers of rows.
        graph: its inputs and outputs are the ports.
        inputs, outputs: a state among the outputs is a new value of it.
        rows: each row of the outputs is of that row of the inputs alone.
    """

    name: str
    symbol: str
    graph: Graph
    inputs: Sequence[Port]
    outputs: Sequence[Port]
    rows: bool = False


# What is exported


def functions_of(
    what: Any, inputs: Any, target: Any, rows: Sequence[int], evaluate: bool = False
) -> tuple[list[Function], dict[str, Entry]]:
    """Return the functions of an export, and the state that they share.

    Args:
        what, inputs, target, evaluate: as for `export`.
        rows: none for as many as the inputs have.
    """
    if isinstance(what, TrainStep):
        return _of_step(what, inputs, target, rows, evaluate)
    if target is not None or evaluate:
        given = "takes a target" if target is not None else "has a loss to evaluate"
        raise ArgumentError(
            f"[export] only a training step {given}",
            got=f"a {type(what).__name__}",
            fix="export a plait.train.TrainStep",
        )
    if isinstance(what, nn.Module):
        example = example_of(inputs, what.forward)
        state = _state_of(what)
        made = _predictions(what, example, state, rows)
        _drop_unused(made, state, {KEY})
        return made, state
    if not callable(what):
        raise ArgumentTypeError(
            "[export] this cannot be exported",
            got=f"a {type(what).__name__}",
            expected="a Module, a TrainStep, or a function of tensors",
        )
    example = example_of(inputs, what)
    state = {KEY: _key_entry()}

    def call(_: Mapping[str, Tensor], args: Any, named: Any) -> Any:
        return what(*args, **named)

    name = getattr(what, "__name__", "call").strip("<>")
    made = _for_rows(name, call, example, state, rows)
    _drop_unused(made, state, {KEY})
    return made, state


def _of_step(
    step: TrainStep, inputs: Any, target: Any, rows: Sequence[int], evaluate: bool
) -> tuple[list[Function], dict[str, Entry]]:
    if target is None:
        raise ArgumentError(
            "[export] a training step needs an example of its target",
            fix="pass target=, such as plait.zeros(64, dtype=plait.int64)",
        )
    if isinstance(inputs, dict):
        raise ArgumentError(
            "[export] a training step takes its inputs by position",
            got=f"a dict of {', '.join(inputs)}",
        )
    model = step.model
    example = example_of(inputs, model.forward)
    state = _state_of(model)
    key = state.pop(KEY)
    own = model.state_dict()
    for name, value in step.state().items():
        if name not in own:
            state[name] = Entry(value, "step" if name == STEP else "optimizer")
    state[KEY] = key
    both = _with_target(example, target)
    trained = _training(step, both, state)
    made = [*_predictions(model, example, state, rows), trained]
    return [*made, _evaluation(step, both, state)] if evaluate else made, state


def _with_target(example: Example, target: Any) -> Example:
    """Return an example of inputs and a target; the structure is that of both."""
    goal = example_of([target], None)
    names = [n if len(goal.names) > 1 else "target" for n in goal.names]
    return Example(
        [*example.names, *names], [*example.types, *goal.types],
        (example.structure, goal.structure),
    )  # fmt: skip


def _parts(both: Example, data: Sequence[Tensor]) -> tuple[Sequence[Any], Any]:
    """Return the inputs of a model, and the target."""
    given, goal = both.structure
    rest = iter(data)
    args, _ = unflatten(given, rest)
    (wanted,), _ = unflatten(goal, rest)
    return args, wanted


def _training(step: TrainStep, both: Example, state: dict[str, Entry]) -> Function:
    taken = step.hyperparameters()
    left_out: list[str] = []

    def call(own: Mapping[str, Tensor], data: Sequence[Tensor], numbers: Any) -> Any:
        args, wanted = _parts(both, data)
        found: Outcome = step.pure(own, [*args, wanted], numbers, left_out)
        return {"loss": found.loss, **_named(found.output, "output")}, found.state

    def record() -> Function:
        with plait.enable_grad():
            return recorded("train_step", "train_step", call, both, state, taken)

    made = record()
    # A loop by hand leaves parameters alone that have no gradient, while here they
    # would have one of zeros.
    unused = _without_effect(made)
    left_out += [name for name in _parameters(state) if name in unused]
    return record() if left_out else made


def _evaluation(step: TrainStep, both: Example, state: dict[str, Entry]) -> Function:
    own = _of_model(state)

    def call(values: Mapping[str, Tensor], data: Sequence[Tensor], _: Any) -> Any:
        args, wanted = _parts(both, data)
        with plait.random.keyed(values[KEY]) as keys:
            tensors = {name: values[name] for name in own}
            output = nn.functional_call(step.model, tensors, tuple(args))
            loss = step.loss_function(output, wanted)
            named = {"loss": loss, **_named(output, "output")}
            return named, {**values, KEY: keys.following()}

    with _evaluating(step.model), plait.no_grad():
        return recorded("evaluate", "evaluate", call, both, state)


def _without_effect(made: Function) -> set[str]:
    """Return the states that the loss does not depend on."""
    loss = made.graph.outputs[:1]
    stop = source.STOP_GRADIENT
    seen = set(topological_order(loss, lambda node: node.primitive is not stop))
    return {
        port.name
        for port, node in zip(made.inputs, made.graph.inputs, strict=True)
        if port.kind == "state" and node not in seen
    }


def _parameters(state: Mapping[str, Entry]) -> Iterator[str]:
    return (name for name, entry in state.items() if entry.role == "parameter")


def _of_model(state: Mapping[str, Entry]) -> list[str]:
    """Return the names of what belongs to the model."""
    return [name for name, one in state.items() if one.role in ("parameter", "buffer")]


def _state_of(model: nn.Module) -> dict[str, Entry]:
    """Return parameters and buffers, each once, by name, and a random key."""
    parameters = dict(model.named_parameters())
    state = {
        name: Entry(x.detach(), "parameter" if name in parameters else "buffer")
        for name, x in (*parameters.items(), *model.named_buffers())
    }
    order = [name for name in model.state_dict() if name in state]
    order += [name for name in state if name not in order]
    return {**{name: state[name] for name in order}, KEY: _key_entry()}


def _key_entry() -> Entry:
    return Entry(plait.asarray(plait.random.default_generator.following()), "key")


def _predictions(
    model: nn.Module, example: Example, state: dict[str, Entry], rows: Sequence[int]
) -> list[Function]:
    own = _of_model(state)

    def call(values: Mapping[str, Tensor], args: Any, named: Any) -> Any:
        tensors = {name: values[name] for name in own}
        return nn.functional_call(model, tensors, tuple(args), named)

    with _evaluating(model):
        return _for_rows("predict", call, example, state, rows)


def _for_rows(
    name: str,
    call: Callable[..., Any],
    example: Example,
    state: dict[str, Entry],
    rows: Sequence[int],
) -> list[Function]:
    """Record a function that only looks at the state, for some numbers of rows."""
    if rows and not all(x.shape for x in example.types):
        raise ArgumentError(
            "[export] an input has no rows", got="a scalar", fix="leave out rows="
        )
    made = []
    counts: list[int | None] = [*rows] or [None]
    for count in counts:
        one = example if count is None else example.with_rows(count)

        def flat(own: Mapping[str, Tensor], data: Any, _: Any, one: Any = one) -> Any:
            args, named = unflatten(one.structure, data)
            with plait.random.keyed(own[KEY]) as keys:
                outputs = _named(call(own, args, named), "output")
                return outputs, {**own, KEY: keys.following()}

        symbol = _symbol(name) if len(rows) < 2 else f"{_symbol(name)}_{count}"
        with plait.no_grad():
            function = recorded(name, symbol, flat, one, state)
        if count is not None:
            _check_rows(function, count)
        made.append(function._replace(rows=count is not None))
        if count is not None and count == max(rows):
            with plait.no_grad():
                two = recorded(name, symbol, flat, one.with_rows(2), state)
            _check_apart(two, state)
    return made


def _symbol(name: str) -> str:
    """Return what a function is called inside of modules, where names are taken."""
    if name == "predict":
        return name
    return "call_" + re.sub(r"\W", "_", name, flags=re.ASCII)


def _check_rows(function: Function, rows: int) -> None:
    for port in function.outputs:
        if port.kind == "data" and port.type.shape[:1] != (rows,):
            raise ArgumentError(
                f"[export] {function.name} does not return a row for each row of its "
                "inputs",
                got=f"{port.name} of shape {port.type.shape} for {rows} rows",
                fix="leave out rows=",
            )


def _check_apart(function: Function, state: Mapping[str, Entry]) -> None:
    """Refuse a function of two rows of which the first depends on the second."""
    rng = np.random.default_rng(0)
    values = {name: entry.value.detach().numpy() for name, entry in state.items()}
    found = []
    first: dict[str, Any] = {}
    for _ in range(2):
        given = []
        for port in function.inputs:
            if port.kind == "state":
                given.append(values[port.name])
                continue
            # Numbers that may be indices must be small.
            x = rng.random(port.type.shape) * (1 if port.type.dtype.is_float else 2)
            array = x.astype(port.type.dtype.numpy)
            array[:1] = first.setdefault(port.name, array[:1].copy())
            given.append(array)
        found.append(Interpreted(function.graph).run(given))
    for port, *pair in zip(function.outputs, *found, strict=True):
        if port.kind == "state":
            continue
        one, other = (np.asarray(x[:1], np.float64) for x in pair)
        if not np.allclose(one, other, 1e-4, 1e-5, equal_nan=True):
            raise ArgumentError(
                f"[export] the rows of {function.name} are not independent: the first "
                "row of its output changes with the second row of its input",
                got=port.name,
                fix="leave out rows=",
            )


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _drop_unused(
    functions: Sequence[Function], state: dict[str, Entry], names: set[str]
) -> None:
    used = {port.name for one in functions for port in (*one.inputs, *one.outputs)}
    for name in names - used:
        del state[name]


# Recording


def recorded(
    name: str,
    symbol: str,
    function: Callable[..., tuple[Mapping[str, Tensor], Mapping[str, Tensor]]],
    example: Example,
    state: dict[str, Entry],
    numbers: Mapping[str, float] | None = None,
) -> Function:
    """Record a function.

    Args:
        function: takes the state by name, the data as a list, the hyperparameters by
            name; returns its outputs and the new state by name.
        state: gets what the function uses from outside and is large.
        numbers: the hyperparameters.
    """
    numbers = numbers or {}
    names = list(state)
    ports = [Port(n, _type(state[n].value), "state") for n in names]
    ports += [Port(n, t) for n, t in zip(example.names, example.types, strict=True)]
    scalar = TensorType((), float64)
    ports += [Port(n, scalar, "hyperparameter", x) for n, x in numbers.items()]
    _refuse_twice(name, ports)
    labels: list[str] = []

    def flat(arguments: list[Tensor]) -> list[Tensor]:
        own = dict(zip(names, arguments[: len(names)], strict=True))
        data = arguments[len(names) : len(ports) - len(numbers)]
        rest = arguments[len(ports) - len(numbers) :]
        outputs, new = function(own, data, dict(zip(numbers, rest, strict=True)))
        labels.extend(outputs)
        return [*outputs.values(), *(new[n] for n in names)]

    types = [port.type for port in ports]
    record: Any = record_function  # of tensors as stubs have them
    found = record("export", flat, types, [CONSTANT] * len(ports))
    graph = _closed(found.graph, found.captured, ports, state)
    count = len(labels)
    results = [
        Port(n, _node_type(x))
        for n, x in zip(labels, graph.outputs[:count], strict=True)
    ]
    outputs = list(graph.outputs[:count])
    for port, before, after in zip(
        ports[: len(names)], graph.inputs[: len(names)], graph.outputs[count:],
        strict=True,
    ):  # fmt: skip
        if after is before:
            continue
        if _node_type(after) is not port.type:
            raise ArgumentError(
                f"[export] {name} changes the type of {port.name}",
                got=repr(after.type),
                expected=repr(port.type),
            )
        results.append(port)
        outputs.append(after)
    used = set(topological_order(outputs))
    pairs = [
        (port, node)
        for port, node in zip(ports, graph.inputs, strict=True)
        if node in used or port.kind != "state"
    ]
    kept = Graph([node for _, node in pairs], outputs)
    return Function(name, symbol, kept, [port for port, _ in pairs], results)


def _refuse_twice(name: str, ports: Sequence[Port]) -> None:
    names = [port.name for port in ports if port.kind != "state"]
    twice = [one for one in names if names.count(one) > 1]
    if twice:
        raise ArgumentError(
            f"[export] two inputs of {name} have one name", got=repr(twice[0])
        )


def _closed(
    graph: Graph, captured: Sequence[Any], ports: list[Port], state: dict[str, Entry]
) -> Graph:
    """Return a graph that takes nothing but the ports.

    Numbers and small tensors from outside become constants in it. Large ones become
    ports, and part of the state, if the results depend on them.
    """
    count = len(ports)
    inputs = list(graph.inputs[:count])
    constants: dict[Node, Node] = {}
    needed = set(topological_order(graph.outputs))
    for node, value in zip(graph.inputs[count:], captured, strict=True):
        if node not in needed:
            continue
        if isinstance(value, Tensor) and node.type.nbytes > _SMALL:
            ports.append(Port(_outside(value, state), node.type, "state"))
            inputs.append(node)
        else:
            array = value.detach().numpy() if isinstance(value, Tensor) else value
            constants[node] = source.constant(array, node.dtype)
    outputs = substitute(graph.outputs, constants)
    return Graph(inputs, outputs)


def _outside(tensor: Tensor, state: dict[str, Entry]) -> str:
    """Return the name of a tensor from outside in the state, where it is put."""
    for name, entry in state.items():
        if entry.role == "constant" and entry.value is tensor:
            return name
    name = f"constant.{sum(x.role == 'constant' for x in state.values())}"
    state[name] = Entry(tensor, "constant")
    return name


def _named(tree: Any, label: str) -> dict[str, Any]:
    """Return the tensors of what a function returned, by name."""
    if isinstance(tree, dict):
        pairs = [(str(name), x) for name, x in tree.items()]
    elif isinstance(tree, (list, tuple)):
        pairs = [(f"{label}_{i}" if i else label, x) for i, x in enumerate(tree)]
    else:
        pairs = [(label, tree)]
    found: dict[str, Any] = {}
    for name, part in pairs:
        leaves, _ = flatten(part)
        found.update(zip(labels_of(name, len(leaves)), leaves, strict=True))
    for x in found.values():
        if not isinstance(x, (Tensor, int, float)):
            raise ArgumentTypeError(
                "[export] a function to be exported returns something else than "
                "tensors",
                got=f"a {type(x).__name__}",
            )
    return found


def _type(tensor: Tensor) -> TensorType:
    return TensorType(tensor.shape, tensor.dtype)


def _node_type(node: Node) -> TensorType:
    return TensorType(node.shape, node.dtype)

"""A table of what a module holds and makes of its inputs, found without running.

Read first: `summary`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import checked
from ..errors import ArgumentTypeError, TracingError
from .module import Module
from .stateless import replaced


@dataclass(frozen=True)
class Row:
    """One call of one module.

    Attributes:
        name: the path of the module; "" for the outermost.
        depth: how many calls enclose it.
        layer: its class.
        shapes: of the tensors that it returned, in order.
        parameters: how many numbers its own parameters hold, without those of modules
            inside; 0 from the second call on.
    """

    name: str
    depth: int
    layer: str
    shapes: tuple[tuple[int, ...], ...]
    parameters: int


@dataclass(frozen=True)
class Summary:
    """What `summary` finds; its text is a table.

    Attributes:
        rows: the calls, in the order in which they began.
        parameters, trainable: how many numbers all parameters hold, and those of them
            that require a gradient; every parameter once.
        buffers: how many numbers all buffers hold.
        state_bytes: size of parameters and buffers.
        output_bytes: size of what the modules without modules inside returned.
    """

    rows: tuple[Row, ...]
    parameters: int
    trainable: int
    buffers: int
    state_bytes: int
    output_bytes: int

    def __str__(self) -> str:
        heads = ("Layer", "Output shape", "Parameters")
        cells = [
            (
                "  " * row.depth + (f"{row.name.rpartition('.')[2]}: " if row.name else
                "") + row.layer, ", ".join(map(str, row.shapes)) or "-",
                f"{row.parameters:,}" if row.parameters else "-",
            )
            for row in self.rows
        ]  # fmt: skip
        widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        rule = "-" * (sum(widths) + 4)

        def line(cell: tuple[str, ...]) -> str:
            a, b, c = cell
            return f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}"

        totals = [
            f"Parameters: {self.parameters:,} ({self.trainable:,} trainable)",
            f"Buffers: {self.buffers:,}",
            f"Parameters and buffers: {_readable(self.state_bytes)}",
            f"Outputs of layers: {_readable(self.output_bytes)}",
        ]
        return "\n".join([line(heads), rule, *map(line, cells), rule, *totals])


def _readable(size: int) -> str:
    """Return a number of bytes in the unit that suits it."""
    amount, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"


@checked
def summary(module: Module, *inputs: Any, dtype: Any = None) -> Summary:
    """Return a table of a module's layers: names, output shapes, parameters, totals.

    The module is called in evaluation mode while its ops are only recorded: nothing is
    computed, and nothing in the module changes.

    Args:
        inputs: for each argument a shape, as a tuple of integers, or an example: a
            tensor or an array.
        dtype: of the arguments given as shapes. Default: float32.

    Raises:
        ArgumentTypeError: an input is neither a shape nor an example.
        TracingError: the module looks at values.

    Example:
        >>> from plait import nn
        >>> print(nn.summary(nn.Sequential(nn.Linear(4, 2), nn.ReLU()), (1, 4)))
        Layer        Output shape  Parameters
        -------------------------------------
        Sequential   (1, 2)                 -
          0: Linear  (1, 2)                10
          1: ReLU    (1, 2)                 -
        -------------------------------------
        Parameters: 10 (10 trainable)
        Buffers: 0
        Parameters and buffers: 40 B
        Outputs of layers: 16 B
    """
    types = [_type_of(one, dtype) for one in inputs]
    owned = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    state = {name: (tensor.shape, tensor.dtype) for name, tensor in owned.items()}
    recorder = _Rows(module)

    @plait.recompute
    def record() -> Any:
        fresh = {
            name: plait.zeros(shape, dtype=kind)
            for name, (shape, kind) in state.items()
        }
        with replaced(module, fresh), plait.no_grad():
            module(*[plait.zeros(shape, dtype=kind) for shape, kind in types])
        # To leave by an exception is to leave no trace.
        raise _Done

    with _evaluating(module), _same_draws(), recorder.hooked():
        try:
            record()
        except _Done:
            pass
        except TracingError as error:
            raise TracingError(
                "[summary] the module looks at values, which are not computed",
                got=str(error),
            ) from None
    parameters = list(module.parameters())
    buffers = list(module.buffers())
    return Summary(
        tuple(recorder.rows()),
        sum(p.size for p in parameters),
        sum(p.size for p in parameters if p.requires_grad),
        sum(b.size for b in buffers),
        sum(tensor.nbytes for tensor in (*parameters, *buffers)),
        recorder.output_bytes,
    )


class _Done(Exception):
    """All is recorded that is wanted."""


def _type_of(given: Any, dtype: Any) -> tuple[tuple[int, ...], Any]:
    if isinstance(given, (Tensor, np.ndarray)):
        example = plait.asarray(given)
        return example.shape, example.dtype
    if isinstance(given, (tuple, list)) and all(isinstance(n, int) for n in given):
        return tuple(given), plait.float32 if dtype is None else dtype
    raise ArgumentTypeError(
        "[summary] an input must be a shape or an example",
        got=repr(given),
        expected="a tuple of integers, a tensor or an array",
    )


class _Rows:
    """Takes down the calls of a module and of those inside."""

    def __init__(self, module: Module) -> None:
        self.names = {id(inner): name for name, inner in module.named_modules()}
        self.modules = list(module.modules())
        self.own = {
            id(inner): sum(p.size for p in inner.parameters(recurse=False))
            for inner in self.modules
        }
        self.depth = 0
        self.calls: list[Any] = []
        self.open: list[int] = []
        self.output_bytes = 0

    def begin(self, module: Module, _: Any) -> None:
        self.open.append(len(self.calls))
        self.calls.append((module, len(self.open) - 1, ()))

    def end(self, module: Module, _: Any, result: Any) -> None:
        at = self.open.pop()
        tensors = list(_tensors(result))
        shapes = tuple(x.shape for x in tensors)
        self.calls[at] = (module, self.calls[at][1], shapes)
        if not any(module.children()):
            self.output_bytes += sum(x.nbytes for x in tensors)

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Take down calls inside a `with` block."""
        handles = []
        for module in self.modules:
            handles.append(module.register_forward_pre_hook(self.begin, prepend=True))
            handles.append(module.register_forward_hook(self.end))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def rows(self) -> Iterator[Row]:
        """Yield one row for each call."""
        left = dict(self.own)
        for module, depth, shapes in self.calls:
            name = self.names[id(module)]
            own = left.pop(id(module), 0)
            yield Row(name, depth, type(module).__name__, shapes, own)


def _tensors(result: Any) -> Iterator[Tensor]:
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, (list, tuple)):
        for item in result:
            yield from _tensors(item)
    elif isinstance(result, dict):
        yield from _tensors(list(result.values()))


@contextmanager
def _evaluating(module: Module) -> Iterator[None]:
    """Put a module in evaluation mode inside a `with` block."""
    modes = [(inner, inner.training) for inner in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for inner, mode in modes:
            inner.training = mode


@contextmanager
def _same_draws() -> Iterator[None]:
    """Let the default generator go on as if nothing was drawn in a `with` block."""
    generator = plait.random.default_generator
    state = generator.state_dict()
    try:
        yield
    finally:
        generator.load_state_dict(state)

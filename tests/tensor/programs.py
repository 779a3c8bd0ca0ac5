"""Random imperative programs, run by plait with flushes at any place, and by PyTorch.

A program is a list of instructions over numbered slots that hold tensors. What it logs
must not depend on where plait runs its trace, and must be what PyTorch logs.

Read first: `random_program`, `run`.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import numpy as np

import plait
from plait.errors import GradientError

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

SHAPES = ((), (3,), (3, 3))
UNARY = ("tanh", "sin", "sigmoid", "square", "relu", "exp", "neg", "clone", "flip")
BINARY = ("add", "sub", "mul", "div", "minimum", "where")


class Instruction(NamedTuple):
    """An operation, the slots that it reads, and what else it needs."""

    op: str
    slots: tuple[int, ...] = ()
    value: Any = None


class _Writer:
    """Writes a program: knows the shape and the kind of each slot, but no values."""

    def __init__(self, seed: int, length: int) -> None:
        self.draw = random.Random(seed)
        self.shapes: list[tuple[int, ...]] = []
        self.leaves: list[int] = []
        self.gone: set[int] = set()
        self.hooks = 0
        self.program: list[Instruction] = []
        for _ in range(2):
            self.leaf()
        self.constant()
        kinds = (
            [self.unary] * 5 + [self.binary] * 9 + [self.number] * 3 + [self.reduce] * 3
            + [self.index] * 3 + [self.matmul] * 2 + [self.in_place] * 3
            + [self.assign] * 2 + [self.detach] + [self.branch] * 2 + [self.look] * 2
            + [self.backward] * 5 + [self.second_order] + [self.zero] + [self.step] * 2
            + [self.leaf, self.constant, self.hook, self.hook, self.unhook]
            + [self.forget] * 2 + [self.freeze, self.off]
        )  # fmt: skip
        while len(self.program) < length:
            self.draw.choice(kinds)()

    def add(self, op: str, *slots: int, value: Any = None, shape: Any = None) -> None:
        self.program.append(Instruction(op, slots, value))
        if shape is not None:
            self.shapes.append(shape)

    def any(self) -> int:
        alive = [i for i in range(len(self.shapes)) if i not in self.gone]
        # The latest are the likeliest, so that graphs grow deep.
        return alive[-1 - min(int(self.draw.expovariate(0.4)), len(alive) - 1)]

    def computed(self) -> int | None:
        alive = [
            i
            for i in range(len(self.shapes))
            if i not in self.gone and i not in self.leaves
        ]
        return self.draw.choice(alive) if alive else None

    def array(self, shape: tuple[int, ...]) -> np.ndarray:
        values = [self.draw.uniform(-1, 1) for _ in range(int(np.prod(shape)))]
        return np.array(values).reshape(shape)

    def leaf(self) -> None:
        shape = self.draw.choice(SHAPES)
        self.leaves.append(len(self.shapes))
        if self.draw.random() < 0.3:
            self.add("ones_leaf", value=shape, shape=shape)
        else:
            self.add("leaf", value=self.array(shape), shape=shape)

    def constant(self) -> None:
        shape = self.draw.choice(SHAPES)
        self.add("constant", value=self.array(shape), shape=shape)

    def unary(self) -> None:
        i = self.any()
        self.add("unary", i, value=self.draw.choice(UNARY), shape=self.shapes[i])

    def binary(self) -> None:
        i, j = self.any(), self.any()
        shape = np.broadcast_shapes(self.shapes[i], self.shapes[j])
        self.add("binary", i, j, value=self.draw.choice(BINARY), shape=shape)

    def number(self) -> None:
        i = self.any()
        self.add("number", i, value=self.draw.uniform(-1, 1), shape=self.shapes[i])

    def reduce(self) -> None:
        i = self.any()
        shape = self.shapes[i]
        if not shape or self.draw.random() < 0.3:
            self.add("reduce", i, value=("mean", None), shape=())
        else:
            axis = self.draw.randrange(len(shape))
            name = self.draw.choice(("sum", "mean"))
            left = shape[:axis] + shape[axis + 1 :]
            if left in SHAPES:
                self.add("reduce", i, value=(name, axis), shape=left)

    def index(self) -> None:
        i = self.any()
        if len(self.shapes[i]) == 2:
            self.add("row", i, value=self.draw.randrange(2), shape=self.shapes[i][1:])
        elif self.shapes[i]:
            self.add(
                "take", i, value=[self.draw.randrange(3) for _ in "xyz"], shape=(3,)
            )

    def matmul(self) -> None:
        i, j = self.any(), self.any()
        shapes = self.shapes[i], self.shapes[j]
        if shapes in (((3, 3), (3, 3)), ((3, 3), (3,))):
            self.add("matmul", i, j, shape=shapes[0][:-1] + shapes[1][1:])

    def in_place(self) -> None:
        i, j = self.computed(), self.any()
        if i is not None and len(self.shapes[j]) == 0:
            self.add("in_place", i, j, value=self.draw.choice(("add", "mul")))

    def assign(self) -> None:
        i, j = self.computed(), self.any()
        if i is not None and self.shapes[i] and not self.shapes[j]:
            self.add("assign", i, j, value=self.draw.randrange(2))

    def detach(self) -> None:
        i = self.any()
        self.add("detach", i, shape=self.shapes[i])

    def branch(self) -> None:
        i, j = self.any(), self.any()
        shape = np.broadcast_shapes(self.shapes[i], self.shapes[j])
        self.add("branch", i, j, shape=shape)

    def look(self) -> None:
        self.add("look", self.any())

    def backward(self) -> None:
        self.add("backward", self.any(), value=self.draw.random() < 0.8)

    def second_order(self) -> None:
        self.add("second_order", self.any(), self.draw.choice(self.leaves))

    def zero(self) -> None:
        self.add("zero", self.draw.choice(self.leaves))

    def step(self) -> None:
        self.add("step", self.draw.choice(self.leaves), value=self.draw.uniform(0, 0.2))

    def hook(self) -> None:
        kind = self.draw.choice(("double", "log"))
        self.add("hook", self.any(), value=(self.hooks, kind))
        self.hooks += 1

    def unhook(self) -> None:
        if self.hooks:
            self.add("unhook", value=self.draw.randrange(self.hooks))

    def forget(self) -> None:
        i = self.computed()
        if i is not None and len(self.shapes) - len(self.gone) > 6:
            self.gone.add(i)
            self.add("forget", i)

    def freeze(self) -> None:
        self.add("freeze", self.draw.choice(self.leaves))

    def off(self) -> None:
        i = self.any()
        self.add("off", i, value=self.draw.uniform(-1, 1), shape=self.shapes[i])


def random_program(seed: int, length: int = 40) -> list[Instruction]:
    """Return the program of a seed."""
    return _Writer(seed, length).program


class Plait:
    """What programs need that plait and PyTorch spell differently."""

    errors = (GradientError,)
    no_grad = staticmethod(plait.no_grad)
    where = staticmethod(plait.where)
    minimum = staticmethod(plait.minimum)

    def tensor(self, value: Any, requires_grad: bool = False) -> Any:
        return plait.tensor(value, dtype=plait.float64, requires_grad=requires_grad)

    def ones(self, shape: Any) -> Any:
        return plait.ones(shape, dtype=plait.float64, requires_grad=True)

    def flip(self, x: Any) -> Any:
        return plait.flip(x)

    def row(self, x: Any, i: int) -> Any:
        return x[i]

    def take(self, x: Any, places: list[int]) -> Any:
        return x[plait.tensor(places)]

    def array(self, x: Any) -> np.ndarray:
        return np.array(x.numpy())

    def detach(self, x: Any) -> Any:
        return x.detach()

    def in_place(self, slots: list[Any], i: int, y: Any, op: str) -> None:
        if op == "add":
            slots[i] += y
        else:
            slots[i] *= y

    def assign(self, slots: list[Any], i: int, y: Any, at: int) -> None:
        slots[i][at] = y


class Torch:
    """The same for PyTorch, without any sharing of memory."""

    errors = (RuntimeError,)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def tensor(self, value: Any, requires_grad: bool = False) -> Any:
        return torch.tensor(value, dtype=torch.float64, requires_grad=requires_grad)

    def ones(self, shape: Any) -> Any:
        return torch.ones(shape, dtype=torch.float64, requires_grad=True)

    def flip(self, x: Any) -> Any:
        return torch.flip(x, tuple(range(x.ndim)))

    def row(self, x: Any, i: int) -> Any:
        return x[i].clone()

    def take(self, x: Any, places: list[int]) -> Any:
        return x[torch.tensor(places)]

    def array(self, x: Any) -> np.ndarray:
        return x.detach().numpy().copy()

    def detach(self, x: Any) -> Any:
        return x.detach().clone()

    # In-place operations are out of place, so that PyTorch allows them everywhere.

    def in_place(self, slots: list[Any], i: int, y: Any, op: str) -> None:
        slots[i] = slots[i] + y if op == "add" else slots[i] * y

    def assign(self, slots: list[Any], i: int, y: Any, at: int) -> None:
        slots[i] = slots[i].clone()
        slots[i][at] = y


class _Run:
    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.slots: list[Any] = []
        self.leaves: list[Any] = []
        self.handles: dict[int, Any] = {}
        self.log: list[Any] = []

    def do(self, instruction: Instruction) -> None:
        op, slots, value = instruction
        getattr(self, f"do_{op}")(*slots, *(() if value is None else (value,)))

    def do_leaf(self, value: Any) -> None:
        self.leaves.append(self.backend.tensor(value, True))
        self.slots.append(self.leaves[-1])

    def do_ones_leaf(self, shape: Any) -> None:
        self.leaves.append(self.backend.ones(shape))
        self.slots.append(self.leaves[-1])

    def do_constant(self, value: Any) -> None:
        self.slots.append(self.backend.tensor(value))

    def do_unary(self, i: int, name: str) -> None:
        x = self.slots[i]
        special = {
            "neg": lambda: -x,
            "square": lambda: (x**2) * 0.3,
            "exp": lambda: (x.sin()).exp(),
            "flip": lambda: self.backend.flip(x),
        }
        self.slots.append(special[name]() if name in special else getattr(x, name)())

    def do_binary(self, i: int, j: int, name: str) -> None:
        x, y = self.slots[i], self.slots[j]
        made = {
            "add": lambda: x + y,
            "sub": lambda: x - y,
            "mul": lambda: x * y,
            "div": lambda: x / (y * y + 1.5),
            "minimum": lambda: self.backend.minimum(x + 0.01, y),
            "where": lambda: self.backend.where(x > y, x * 0.5, y),
        }[name]()
        self.slots.append(made)

    def do_number(self, i: int, value: float) -> None:
        self.slots.append(value - self.slots[i] * value)

    def do_reduce(self, i: int, how: Any) -> None:
        name, axis = how
        x = self.slots[i]
        done = getattr(x, name)() if axis is None else getattr(x, name)(axis)
        self.slots.append(done)

    def do_row(self, i: int, at: int) -> None:
        self.slots.append(self.backend.row(self.slots[i], at))

    def do_take(self, i: int, places: list[int]) -> None:
        self.slots.append(self.backend.take(self.slots[i], places))

    def do_matmul(self, i: int, j: int) -> None:
        self.slots.append((self.slots[i] @ self.slots[j]).tanh())

    def do_in_place(self, i: int, j: int, op: str) -> None:
        self.backend.in_place(self.slots, i, self.slots[j], op)

    def do_assign(self, i: int, j: int, at: int) -> None:
        self.backend.assign(self.slots, i, self.slots[j], at)

    def do_detach(self, i: int) -> None:
        self.slots.append(self.backend.detach(self.slots[i]))

    def do_branch(self, i: int, j: int) -> None:
        x, y = self.slots[i], self.slots[j]
        self.slots.append(x - y if x.sum() > 0.1 else y * 0.7 + x)

    def do_look(self, i: int) -> None:
        self.log.append(("value", self.backend.array(self.slots[i])))

    def do_backward(self, i: int, retain: bool) -> None:
        if self.slots[i].requires_grad:
            self.slots[i].sum().backward(retain_graph=retain)

    def do_second_order(self, i: int, leaf: int) -> None:
        x = self.slots[i]
        # What hooks see of second derivatives depends on how a formula is written.
        while self.handles:
            self.handles.popitem()[1].remove()
        for one in self.leaves:
            one.grad = None
        if x.requires_grad:
            (x * x).sum().backward(create_graph=True)
        gradients = [one.grad for one in self.leaves]
        for one in self.leaves:
            one.grad = None
        for gradient in gradients:
            if gradient is not None:
                self.log.append(("gradient", self.backend.array(gradient)))
        ids = [id(one) for one in self.leaves]
        one = gradients[ids.index(id(self.slots[leaf]))]
        if one is not None and one.requires_grad:
            (one.sin() * one).sum().backward(retain_graph=True)

    def do_zero(self, leaf: int) -> None:
        self.slots[leaf].grad = None

    def do_step(self, leaf: int, rate: float) -> None:
        tensor = self.slots[leaf]
        if tensor.grad is not None:
            with self.backend.no_grad():
                tensor -= rate * tensor.grad.tanh()

    def do_hook(self, i: int, how: Any) -> None:
        number, kind = how
        if not self.slots[i].requires_grad:
            return

        def hook(gradient: Any) -> Any:
            if kind == "double":
                return gradient * 2
            self.log.append((f"hook {number}", self.backend.array(gradient)))
            return None

        self.handles[number] = self.slots[i].register_hook(hook)

    def do_unhook(self, number: int) -> None:
        if number in self.handles:
            self.handles.pop(number).remove()

    def do_forget(self, i: int) -> None:
        self.slots[i] = None

    def do_freeze(self, leaf: int) -> None:
        # Not on again: PyTorch then differentiates formulas by what was constant in
        # them.
        self.slots[leaf].requires_grad_(False)

    def do_off(self, i: int, value: float) -> None:
        with self.backend.no_grad():
            self.slots.append(self.slots[i] * value)

    def end(self) -> None:
        for i, one in enumerate(self.slots):
            if one is not None:
                self.log.append((f"slot {i}", self.backend.array(one)))
        for i, one in enumerate(self.leaves):
            grad = None if one.grad is None else self.backend.array(one.grad)
            self.log.append((f"grad {i}", grad))


def run(
    program: list[Instruction], backend: Any, flushes: Any = ()
) -> tuple[list[Any], str]:
    """Return what the program logs, and the error that ended it, or "".

    Args:
        flushes: numbers of instructions before which plait runs its trace.
    """
    state = _Run(backend)
    for number, instruction in enumerate(program):
        if number in flushes:
            plait.flush()
        try:
            state.do(instruction)
        except backend.errors as error:
            return state.log, f"{number} {instruction.op}: {error}".splitlines()[0]
    state.end()
    return state.log, ""


def difference(one: list[Any], other: list[Any], tolerance: float = 1e-9) -> str:
    """Return how two logs differ, or ""."""
    one, other = _in_order(one), _in_order(other)
    if [name for name, _ in one] != [name for name, _ in other]:
        return f"{[name for name, _ in one]} and {[name for name, _ in other]}"
    for (name, x), (_, y) in zip(one, other, strict=True):
        if (x is None) != (y is None):
            return f"{name}: {x} and {y}"
        if x is not None and not np.allclose(
            x, y, tolerance, tolerance, equal_nan=True
        ):
            return f"{name}: {x} and {y}"
    return ""


def _in_order(log: list[Any]) -> list[Any]:
    """Return the log with calls of hooks that follow one another in order of number."""
    result: list[Any] = []
    hooks: list[Any] = []
    for entry in [*log, ("", None)]:
        if entry[0].startswith("hook"):
            hooks.append(entry)
        else:
            result += sorted(hooks, key=lambda entry: entry[0])
            result.append(entry)
            hooks = []
    return result

"""What running a program will need and cost, found before it runs.

Read first: `Plan`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import layer_of
from ..ir.graph import TensorType
from ..late import late
from ..program import Clear, Copy, Host, Launch, Parts, Program, Work
from ..worth import turns_of

if TYPE_CHECKING:
    from ..runtime import instructions, memory, runner
    from . import limits
else:
    instructions = late("plait.runtime.instructions")
    memory = late("plait.runtime.memory")
    runner = late("plait.runtime.runner")
    limits = late("plait.tensor.limits")

# What a launch takes besides its work, in seconds.
_LAUNCHING = 2e-8


@dataclass
class Line:
    """What comes from one line of the user's, and one layer that ran there.

    Attributes:
        where: the line, or "".
        layer: the path of the layer, or "".
        kernels: how many launches and calls it makes.
        flops, nbytes: what they do together.
        seconds: about how long they take together.
    """

    where: str
    layer: str = ""
    kernels: int = 0
    flops: int = 0
    nbytes: int = 0
    seconds: float = 0.0

    def add(self, work: Work, shared: bool) -> None:
        """Count an instruction."""
        self.kernels += 1
        self.flops += work.flops
        self.nbytes += work.nbytes
        bound = limits.limits(shared)
        self.seconds += _LAUNCHING + bound.seconds(work.flops, work.nbytes)


@dataclass(frozen=True)
class Plan:
    """What running a program will need and cost; printed, it is a table.

    Attributes:
        inputs, outputs, constants: bytes of each.
        replaceable: bytes of outputs that may take the place of an input, where
            nobody else holds that.
        workspace: bytes for all values in between.
        flops, nbytes: floating-point operations, and bytes read and written.
        seconds: about how long a run takes, if each kernel is as fast as this machine
            allows: a lower bound where caches do not help.
        lines: the same for each line of the user's that recorded something, and each
            layer that did there.
    """

    inputs: int
    outputs: int
    replaceable: int
    workspace: int
    constants: int
    flops: int
    nbytes: int
    seconds: float
    lines: tuple[Line, ...]

    @property
    def peak(self) -> int:
        """The most bytes that are in use at once while it runs."""
        return self.inputs + self.outputs + self.workspace + self.constants

    def __str__(self) -> str:
        return "\n".join(self._text())

    def _text(self) -> Iterator[str]:
        yield f"{'line, layer':<36}{'kernels':>8}{'FLOP':>10}{'bytes':>12}{'time':>12}"
        yield "-" * 78
        for line in self.lines:
            yield _row(short_line(line.where, 35, line.layer), line)
        yield "-" * 78
        kernels = sum(x.kernels for x in self.lines)
        total = Line("", "", kernels, self.flops, self.nbytes, self.seconds)
        yield _row("all", total)
        yield (
            f"memory: {size(self.peak)} at most: inputs {size(self.inputs)}, outputs "
            f"{size(self.outputs)},"
        )
        yield (
            f"        in between {size(self.workspace)}, constants "
            f"{size(self.constants)}"
        )
        if self.replaceable:
            yield (
                f"        of outputs, {size(self.replaceable)} may take the place of "
                "inputs nobody holds"
            )


def _row(name: str, line: Line) -> str:
    return (
        f"{name:<36}{line.kernels:>8}{amount(line.flops):>10}{size(line.nbytes):>12}"
        f"{duration(line.seconds):>12}"
    )


def short_line(where: str, width: int, layer: str = "") -> str:
    """Return the end of `folder/file.py:12` and a layer, in at most `width` letters."""
    name = os.path.basename(where) or "(no line)"
    name += f" {layer}" if layer else ""
    return name if len(name) <= width else f"..{name[2 - width :]}"


def amount(number: float) -> str:
    """Return a number in three digits, with k, M, G or T."""
    for unit in ("", " k", " M", " G", " T"):
        if abs(number) < 999.5 or unit == " T":
            break
        number /= 1000
    digits = ".1f" if unit and number < 99.95 else ".0f"
    return f"{number:{digits}}{unit}"


def size(nbytes: float) -> str:
    """Return a number of bytes in the unit that suits it."""
    unit = "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if nbytes < 1024 or unit == "TiB":
            break
        nbytes /= 1024
    return f"{nbytes:.0f} B" if unit == "B" else f"{nbytes:.1f} {unit}"


def duration(seconds: float) -> str:
    """Return a time in us, ms or s."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.1f} us"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def plan_of(program: Program) -> Plan:
    """Return what running a program will need and cost."""
    lines: dict[tuple[str, str], Line] = {}
    for work, shared, where in _work(program):
        key = str(where), layer_of(where)
        lines.setdefault(key, Line(*key)).add(work, shared)
    found = sorted(lines.values(), key=lambda line: -line.seconds)
    taken = program.donations.values()
    return Plan(
        inputs=_held(program.inputs),
        outputs=_held(program.outputs),
        replaceable=_held([program.outputs[i] for i in taken]),
        workspace=memory.allocated(runner.workspace_bytes(program)),
        constants=program.constants.nbytes,
        flops=sum(line.flops for line in found),
        nbytes=sum(line.nbytes for line in found),
        seconds=sum(line.seconds for line in found),
        lines=tuple(found),
    )


def _held(types: Sequence[TensorType]) -> int:
    return sum(memory.allocated(type.nbytes) for type in types)


def _work(program: Program) -> Iterator[tuple[Work, bool, str]]:
    counts = turns_of(program)
    within = 0  # up to here, instructions are those of parts
    for at, (one, turns) in enumerate(zip(program.instructions, counts, strict=True)):
        match one:
            case Parts(_, target, _):
                within = target
            case Launch(kernel, _, where):
                code = program.kernels[kernel]
                shared = at < within or instructions.is_shared(program, code)
                work = Work(turns * code.work.flops, turns * code.work.nbytes)
                yield work, shared, where
            case Host(_, operands, results, where):
                nbytes = sum(type.nbytes for _, type in (*operands, *results))
                yield Work(0, nbytes), False, where
            case Copy(_, _, nbytes):
                yield Work(0, 2 * nbytes), False, ""
            case Clear(_, nbytes):
                yield Work(0, nbytes), False, ""

"""A program's instructions as a native function, `i32 symbol()`.

Memory is static: where the program's slots begin is known, but for those that
instructions set, which are variables of the function. So a launch is a call with
constant addresses, and loops and branches of the program are loops and branches of
the function. It returns 0 at the end, or 1 + the number of the alarm that ended it.

Read first: `Driver`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ...errors import ArgumentError
from ...program import (
    Advance,
    Alarm,
    Clear,
    Code,
    Copy,
    Count,
    Host,
    Instruction,
    Jump,
    Launch,
    Parts,
    Place,
    Program,
    Repeat,
    SetSlot,
    Settled,
    Shift,
    Swap,
    Unless,
)
from ...worth import ALONE, WAKE, microseconds, sharing, sharing_of, together, turns_of
from ..llvm.target import Target
from .threads import Regions


@dataclass
class Kernels:
    """The kernels of a module; equal ones are one.

    Attributes:
        target: what they are made for.
        texts: the definition of each.
    """

    target: Target
    texts: list[str] = field(default_factory=list)
    _symbols: dict[str, str] = field(default_factory=dict)
    _divided: set[str] = field(default_factory=set)

    def divide(self, program: Program) -> None:
        """Note the kernels whose chunks threads share, before any of them is called."""
        time = together(program, turns_of(program))
        self._divided |= {
            code.key for code in program.kernels if sharing_of(code, time) != ALONE
        }

    def call(self, code: Code, places: Sequence[str], chunks: str, scratch: str) -> str:
        """Return a call of a kernel.

        Args:
            places: the addresses of its buffers.
            chunks: which of them to run, if it is given that; or "" for all.
            scratch: the address of the thread's scratch memory.
        """
        word = self.target.index_type
        arguments = [f"ptr {place}" for place in places]
        if code.key in self._divided:
            arguments.append(chunks or f"{word} 0, {word} {code.chunks}")
        if code.scratch:
            arguments.append(f"ptr {scratch}")
        return f"call void @{self._symbol(code)}({', '.join(arguments)})"

    def _symbol(self, code: Code) -> str:
        found = self._symbols.get(code.key)
        if found is None:
            found = self._symbols[code.key] = f"kernel.{len(self.texts)}"
            assert code.define is not None
            self.texts.append(code.define(found, code.key in self._divided))
        return found


@dataclass
class Ground:
    """Where things lie.

    Attributes:
        spell: says an address in LLVM's text.
        slots: where each of a program's slots begins that no instruction sets.
        scratch: scratch memory for kernels, of the first thread.
        frame: where variables lie that other functions shall see: a word for each.
        kept: addresses of flags that last; other flags are up in each run.
        lowered: addresses of flags that are lowered at the end.
        raised: addresses of flags that are raised at the end.
        copies: at the end: to, from, and how many bytes.
    """

    spell: Callable[[int], str]
    slots: Mapping[int, int]
    scratch: int
    frame: int
    kept: frozenset[int] = frozenset()
    lowered: Sequence[int] = ()
    raised: Sequence[int] = ()
    copies: Sequence[tuple[int, int, int]] = ()


# Bytes of a variable in the frame.
WORD = 8
# Microseconds of work in a function from which its launches wake threads up, which
# takes a page 10 to 20 of them. For less, threads help if they are awake, as they are
# where one call follows another.
_WORTH_WAKING = 300.0


class Driver:
    """Writes the function of one program, and those of its parts.

    Args:
        symbol: the function's name.
        program: it.
        ground: where its memory is.
        kernels: the kernels of the module.
        regions: what threads share; None if there is one thread.

    Attributes:
        turns: how often each instruction runs.
        together: about how many microseconds all launches take.
        alarms: the user's line of each alarm.
    """

    def __init__(
        self,
        symbol: str,
        program: Program,
        ground: Ground,
        kernels: Kernels,
        regions: Regions | None = None,
    ) -> None:
        self.symbol = symbol
        self.regions = regions
        self.turns = turns_of(program)
        self.together = together(program, self.turns)
        self.program = program
        self.ground = ground
        self.kernels = kernels
        self.alarms: list[str] = []
        self.texts: list[str] = []
        self._counters = {
            one.slot for one in program.instructions if isinstance(one, Count)
        }
        moving = (SetSlot, Advance, Shift)
        slots = {one.slot for one in program.instructions if isinstance(one, moving)}
        for one in program.instructions:
            if isinstance(one, Swap):
                slots |= {one.first, one.second}
        self._moving = sorted(slots)

    def text(self) -> str:
        """Return the functions in LLVM's text."""
        body = _Body(self, self.ground.spell(self.ground.scratch))
        body.write(range(len(self.program.instructions)))
        spell = self.ground.spell
        for to, source, nbytes in self.ground.copies:
            body.copy(spell(to), spell(source), nbytes)
        for flags, value in ((self.ground.lowered, 0), (self.ground.raised, 1)):
            for flag in flags:
                body.line(f"store i8 {value}, ptr {spell(flag)}")
        lines = "\n".join([*self._variables(), *body.lines])
        self.texts.append(
            f"define i32 @{self.symbol}() nounwind {{\n{lines}\n  ret i32 0\n}}\n"
        )
        return "\n".join(self.texts)

    def _variables(self) -> Iterator[str]:
        word = self.kernels.target.index_type
        yield from (f"  %n{slot} = alloca {word}" for slot in sorted(self._counters))
        yield from (f"  %s{slot} = alloca ptr" for slot in self._moving)

    def frame_of(self, slot: int) -> str:
        """Return where others find a variable."""
        at = self.ground.frame + WORD * self._moving.index(slot)
        return self.ground.spell(at)

    def moving(self, which: range) -> list[int]:
        """Return the variables that some instructions use."""
        used: set[int] = set()
        for at in which:
            used |= set(_slots_of(self.program.instructions[at]))
        return [slot for slot in self._moving if slot in used]

    def wakes(self, share: int) -> bool:
        """Return whether a launch, or parts, wake threads up that sleep."""
        return share == WAKE and self.together >= _WORTH_WAKING

    def part(self, at: int, one: Parts) -> str:
        """Write a function that runs some parts: `void (start, stop, scratch)`."""
        word = self.kernels.target.index_type
        name = f"{self.symbol}.parts{at}"
        inside = range(at + 1, one.target)
        body = _Body(self, "%scratch", in_part=True)
        body.lines.append("  br label %part\npart:")
        for slot in self.moving(inside):
            value = body.value(f"load ptr, ptr {self.frame_of(slot)}")
            body.line(f"store ptr {value}, ptr %s{slot}")
        body.write(inside)
        lines = "\n".join([*self._variables(), *body.lines])
        self.texts.append(
            f"define internal void @{name}({word} %start, {word} %stop, ptr %scratch) "
            f"nounwind {{\n  %n = alloca {word}\n  store {word} %start, ptr %n\n"
            f"{lines}\n  %n.old = load {word}, ptr %n\n"
            f"  %n.new = add {word} %n.old, 1\n  store {word} %n.new, ptr %n\n"
            f"  %more = icmp slt {word} %n.new, %stop\n"
            "  br i1 %more, label %part, label %out\nout:\n  ret void\n}\n"
        )
        return name

    def launch(self, at: int, one: Launch) -> str:
        """Write a function that runs chunks of a launch, and return its name."""
        word = self.kernels.target.index_type
        name = f"{self.symbol}.launch{at}"
        body = _Body(self, "%scratch", framed=True)
        listed = [body.place(place) for place in one.places]
        chunks = f"{word} %start, {word} %stop"
        code = self.program.kernels[one.kernel]
        body.line(self.kernels.call(code, listed, chunks, "%scratch"))
        lines = "\n".join(body.lines)
        self.texts.append(
            f"define internal void @{name}({word} %start, {word} %stop, ptr %scratch) "
            f"nounwind {{\n{lines}\n  ret void\n}}\n"
        )
        return name


def _slots_of(one: Instruction) -> Iterator[int]:
    """Yield the slots that an instruction has to do with."""
    match one:
        case Launch(_, places, _):
            yield from (place.slot for place in places)
        case Copy(target, source, _):
            yield from (target.slot, source.slot)
        case Clear(place, _) | Unless(place, _) | Alarm(place):
            yield place.slot
        case SetSlot(slot, place):
            yield from (slot, place.slot)
        case Advance(slot, _) | Shift(slot, _):
            yield slot
        case Swap(first, second):
            yield from (first, second)


class _Body:
    """Writes instructions into a function.

    Args:
        driver: of the program.
        scratch: the address of scratch memory.
        framed: variables are those of another function, in the frame.
        in_part: it is a part of a program, which one thread runs.
    """

    def __init__(
        self,
        driver: Driver,
        scratch: str,
        framed: bool = False,
        in_part: bool = False,
    ) -> None:
        self.driver = driver
        self.scratch = scratch
        self.framed = framed
        self.in_part = in_part
        self.lines: list[str] = []
        self._count = 0
        self._word = driver.kernels.target.index_type

    def line(self, text: str) -> None:
        """Write an instruction of LLVM's."""
        self.lines.append(f"  {text}")

    def value(self, text: str) -> str:
        """Write an instruction that gives something; return its name."""
        self._count += 1
        self.line(f"%v{self._count} = {text}")
        return f"%v{self._count}"

    def write(self, which: range) -> None:
        """Write some instructions; jumps may go to them, and to the end."""
        program = self.driver.program
        labels = set(_targets(program, which))
        at = which.start
        while at < which.stop:
            if at in labels:
                self._label(at)
            one = program.instructions[at]
            self._one(at, one)
            at = one.target if isinstance(one, Parts) else at + 1
        if at in labels:
            self._label(at)

    def copy(self, to: str, source: str, nbytes: int) -> None:
        """Write a copy of memory."""
        word = self._word
        if to != source and nbytes:
            self.line(
                f"call void @llvm.memcpy.p0.p0.{word}("
                f"ptr {to}, ptr {source}, {word} {nbytes}, i1 false)"
            )

    def _label(self, at: int) -> None:
        self.line(f"br label %at{at}")
        self.lines.append(f"at{at}:")

    def _branch(self, condition: str, target: int) -> None:
        """Go to an instruction if a condition holds."""
        self._count += 1
        label = f"on{self._count}"
        self.line(f"br i1 {condition}, label %at{target}, label %{label}")
        self.lines.append(f"{label}:")

    def place(self, place: Place) -> str:
        """Return the address of a place."""
        ground = self.driver.ground
        begin = ground.slots.get(place.slot)
        if begin is not None:
            return ground.spell(begin + place.offset)
        where = f"%s{place.slot}"
        if self.framed:
            where = self.driver.frame_of(place.slot)
        variable = self.value(f"load ptr, ptr {where}")
        if not place.offset:
            return variable
        return self._further(variable, f"{place.offset}")

    def _further(self, address: str, nbytes: str) -> str:
        return self.value(f"getelementptr i8, ptr {address}, {self._word} {nbytes}")

    def _move(self, slot: int, nbytes: str) -> None:
        old = self.value(f"load ptr, ptr %s{slot}")
        self.line(f"store ptr {self._further(old, nbytes)}, ptr %s{slot}")

    def _flag(self, place: Place, condition: str) -> str:
        byte = self.value(f"load i8, ptr {self.place(place)}")
        return self.value(f"icmp {condition} i8 {byte}, 0")

    def _one(self, at: int, one: Instruction) -> None:
        driver, word = self.driver, self._word
        match one:
            case Launch():
                self._launch(at, one)
            case Copy(target, source, nbytes):
                self.copy(self.place(target), self.place(source), nbytes)
            case Clear(target, nbytes):
                self.line(
                    f"call void @llvm.memset.p0.{word}("
                    f"ptr {self.place(target)}, i8 0, {word} {nbytes}, i1 false)"
                )
            case SetSlot(slot, place):
                self.line(f"store ptr {self.place(place)}, ptr %s{slot}")
            case Advance(slot, nbytes):
                self._move(slot, f"{nbytes}")
            case Shift(slot, nbytes):
                part = self.value(f"load {word}, ptr %n")
                self._move(slot, self.value(f"mul {word} {part}, {nbytes}"))
            case Swap(first, second):
                x = self.value(f"load ptr, ptr %s{first}")
                y = self.value(f"load ptr, ptr %s{second}")
                self.line(f"store ptr {y}, ptr %s{first}")
                self.line(f"store ptr {x}, ptr %s{second}")
            case Count(slot, times):
                self.line(f"store {word} {times}, ptr %n{slot}")
            case Repeat(slot, to):
                old = self.value(f"load {word}, ptr %n{slot}")
                left = self.value(f"sub {word} {old}, 1")
                self.line(f"store {word} {left}, ptr %n{slot}")
                self._branch(self.value(f"icmp sgt {word} {left}, 0"), to)
            case Jump(to):
                self.line(f"br label %at{to}")
                self._count += 1
                self.lines.append(f"on{self._count}:")  # which nobody goes to
            case Unless(place, to):
                if self._may_be_down(place):
                    self._branch(self._flag(place, "eq"), to)
            case Alarm(place):
                raised = self._flag(place, "ne")
                self._count += 1
                name = f"alarm{self._count}"
                self.line(f"br i1 {raised}, label %{name}, label %{name}.off")
                driver.alarms.append(_line_before(driver.program, at))
                self.lines.append(f"{name}:\n  ret i32 {len(driver.alarms)}")
                self.lines.append(f"{name}.off:")
            case Parts():
                self._parts(at, one)
            case Host():
                raise _host_error(one)
            case Settled():
                pass

    def _launch(self, at: int, one: Launch) -> None:
        driver = self.driver
        code = driver.program.kernels[one.kernel]
        share = sharing_of(code, driver.together)
        if driver.regions and share != ALONE and not self.in_part:
            self._hand_over(range(at, at + 1))
            name = driver.launch(at, one)
            wake = driver.wakes(share)
            self.line(driver.regions.post(name, code.chunks, wake))
        elif code.chunks:
            listed = [self.place(place) for place in one.places]
            self.line(driver.kernels.call(code, listed, "", self.scratch))

    def _parts(self, at: int, one: Parts) -> None:
        driver, word = self.driver, self._word
        inside = range(at + 1, one.target)
        time = microseconds(driver.program, driver.turns, inside)
        share = sharing(one.number, time, driver.together)
        self._hand_over(inside)
        name = driver.part(at, one)
        if driver.regions and share != ALONE:
            wake = driver.wakes(share)
            self.line(driver.regions.post(name, one.number, wake))
        else:
            chunks = f"{word} 0, {word} {one.number}"
            self.line(f"call void @{name}({chunks}, ptr {self.scratch})")

    def _hand_over(self, which: range) -> None:
        """Put the variables of some instructions where other functions find them."""
        for slot in self.driver.moving(which):
            value = self.value(f"load ptr, ptr %s{slot}")
            self.line(f"store ptr {value}, ptr {self.driver.frame_of(slot)}")

    def _may_be_down(self, place: Place) -> bool:
        """Return whether a bool may be false: a flag that does not last is true."""
        program, ground = self.driver.program, self.driver.ground
        if place.slot != program.lasting_slot:
            return True
        return ground.slots[place.slot] + place.offset in ground.kept


def _targets(program: Program, which: range) -> Iterator[int]:
    """Yield where jumps of some instructions go."""
    for at in which:
        one = program.instructions[at]
        if isinstance(one, Repeat | Jump | Unless):
            yield one.target


def _line_before(program: Program, at: int) -> str:
    """Return the user's line of the launch before an instruction."""
    for one in reversed(program.instructions[:at]):
        if isinstance(one, Launch | Parts) and one.where:
            return str(one.where)
    return ""


def _host_error(one: Host) -> ArgumentError:
    function = getattr(one.function, "primitive", one.function)
    name = getattr(function, "name", getattr(function, "__name__", "host"))
    return ArgumentError(
        f"[export] {name} runs in Python, which is not there where the program shall "
        "run",
        fix="compute this part before, or leave it out of what is exported",
        where=str(one.where),
    )

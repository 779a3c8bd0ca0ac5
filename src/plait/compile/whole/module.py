"""Programs as one module: a native function for each, and static memory.

    address 0       not used
            ...     what the caller has laid out: state, inputs and outputs
            start   constants
                    what lasts from run to run, of each program
                    the arena, which functions share, as one runs at a time
                    scratch memory

Read first: `build_wasm`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ...errors import ArgumentError
from ...program import Parts, Program
from ..llvm.assemble import assemble
from ..llvm.emit import in_module
from ..llvm.target import Target
from ..schedule.arena import ALIGNMENT, aligned
from . import webassembly
from .driver import WORD, Driver, Ground, Kernels
from .threads import FEATURES, NBYTES, Regions

# Bytes of memory that each browser allows, and that code reaches on all machines.
_MOST = (1 << 31) - webassembly.PAGE


class Function(NamedTuple):
    """A program that shall be a function of the module.

    Attributes:
        symbol: the function's name.
        program: compiled for the module's target.
        inputs, outputs: the address of each, a multiple of 64. An output may have the
            address of an input of as many bytes, and otherwise overlaps with none.
    """

    symbol: str
    program: Program
    inputs: Sequence[int]
    outputs: Sequence[int]


class Built(NamedTuple):
    """A module.

    Attributes:
        code: its bytes.
        memory: how many bytes of memory it needs.
        alarms: for each function the user's lines that may end it: it returns 1 + the
            number of the line then.
        lasting: addresses of bytes. They must be set to 1 when state is written. For
            objects there are none.
        scratch: bytes of memory that each thread but the first one needs.
    """

    code: bytes
    memory: int
    alarms: Mapping[str, list[str]]
    lasting: list[int]
    scratch: int = 0


def build_wasm(
    functions: Sequence[Function],
    target: Target,
    start: int,
    *,
    state_end: int = 0,
    threads: bool = False,
) -> Built:
    """Return a module of WebAssembly.

    It exports for each function one without arguments that returns 0, or 1 + the number
    of the alarm that ended it. Without threads it has no imports, and exports its
    memory as "memory".

    With threads it imports "env.memory", which is shared. Thread 0 calls the functions.
    Others, in workers, instantiate the module on the same memory, and call `work(1)`,
    `work(2)` and so on, which does not return. Memory for n threads has `Built.memory`
    + (n - 1) * `Built.scratch` bytes. Results do not depend on how many there are.
    `sharing(0)` makes thread 0 do everything, from the next call on, until
    `sharing(1)`; it returns how many launches there were that threads may share.

    Args:
        functions: of the module.
        target: "wasm" or "wasm-relaxed".
        start: the first address that is free: inputs and outputs lie before it.
        state_end: inputs before this address change only by functions of the module,
            or when the flags of `Built.lasting` are raised.
        threads: several of them may share the work.

    Raises:
        ArgumentError: a program has a part that runs in Python, all of it needs more
            than 2 GiB of memory, or a function has a name that cannot be.
    """
    _check_names(functions)
    layout = _Layout(functions, start, state_end, threads)
    if threads:
        target = replace(target, features=f"{target.features},{FEATURES}")
    texts = _Texts(layout, target, "memory", threads)
    text = "@memory = external global [0 x i8], align 64\n\n" + texts.text
    data = assemble(in_module(text, target), target, variables=True)
    exports = [one.symbol for one in functions]
    code = webassembly.finish(
        data,
        [*exports, "work", "sharing"] if threads else exports,
        layout.end,
        addresses={"memory": 0},
        contents=[(at, blob) for blob, at in layout.constants.items()],
        worker=webassembly.Worker("work", layout.stride) if threads else None,
    )
    memory = webassembly.memory_bytes(data, layout.end)
    own = layout.stride if threads else 0
    return Built(code, memory, texts.alarms, sorted(layout.kept), own)


def build_object(
    functions: Sequence[Function],
    target: Target,
    start: int,
    *,
    state_end: int = 0,
    name: str = "plait",
    contents: Sequence[tuple[int, bytes]] = (),
) -> Built:
    """Return an object file for programs in C and other languages.

    It defines for each function one of C, `int symbol(void)`, which returns 0, or 1 +
    the number of the alarm that ended it. `NAME_memory` is an array of bytes with what
    lies before `start`: addresses are offsets in it. `void NAME_written(void)` must be
    called when state is written there. The object needs `memcpy` and `memset`, and
    nothing else but the machine's own support of its compilers.

    Args:
        functions, start, state_end: see `build_wasm`.
        target: such as "avx2" or "neon".
        name: begins the names of the memory, and of what belongs to it.
        contents: what lies in the memory at the beginning: addresses, and bytes.

    Raises:
        ArgumentError: a program has a part that runs in Python, all of it needs more
            than 2 GiB of memory, or the target is one with tiles, which a process must
            ask its system for.
    """
    if target.amx:
        raise ArgumentError(
            "[export] code with tiles runs only where a process has asked for them",
            got=target.name,
            fix="make it for avx512bf16",
            where="",
        )
    _check_names(functions)
    layout = _Layout(functions, start, state_end)
    memory = f"{name}_memory"
    texts = _Texts(layout, target, memory)
    outer = bytearray(layout.start)
    for at, content in contents:
        outer[at : at + len(content)] = content
    constants = bytearray(layout.constants_end - layout.start)
    for content, at in layout.constants.items():
        at -= layout.start
        constants[at : at + len(content)] = content
    raised = bytearray(b"\1" * len(layout.kept))
    inner = layout.end - layout.constants_end
    fresh = "".join(
        f"  store i8 1, ptr {texts.spell(flag)}\n" for flag in sorted(layout.kept)
    )
    text = (
        f"@{memory} = hidden global {_array(outer)}, align 64\n"
        f"@{memory}.constants = internal constant {_array(constants)}, align 64\n"
        f"@{memory}.flags = internal global {_array(raised)}\n"
        f"@{memory}.inner = internal global [{inner} x i8] zeroinitializer, align 64\n"
        f"\n{texts.text}\n"
        f"define void @{name}_written() nounwind {{\n{fresh}  ret void\n}}\n"
    )
    code = assemble(in_module(text, target), target, variables=True)
    return Built(code, layout.end, texts.alarms, [])


def _check_names(functions: Sequence[Function]) -> None:
    taken = {"memory", "work", "sharing"}
    for one in functions:
        plain = one.symbol.isascii() and one.symbol.isidentifier()
        if one.symbol in taken or not plain:
            raise ArgumentError(
                "[export] a function of a module cannot have this name",
                got=repr(one.symbol),
                expected="letters, digits and _; not memory, work or sharing; "
                "each name once",
                where="",
            )
        taken.add(one.symbol)


def _array(content: bytearray) -> str:
    """Return an array of bytes in LLVM's text, with its type."""
    text = "\\" + content.hex("\\") if any(content) else ""
    return f"[{len(content)} x i8] " + (f'c"{text}"' if text else "zeroinitializer")


class _Texts:
    """All functions of a module in LLVM's text.

    Args:
        layout: where everything lies.
        target: what they are made for.
        memory: its name. In an object its parts have names of their own.
        threads: several of them share the work.

    Attributes:
        text: the functions, kernels first.
        alarms: for each function the user's line of each alarm.
    """

    def __init__(
        self, layout: _Layout, target: Target, memory: str, threads: bool = False
    ) -> None:
        self.alarms: dict[str, list[str]] = {}
        self._layout, self._memory, self._target = layout, memory, target
        spell = self.spell
        kernels, regions = Kernels(target), None
        if threads:
            regions = Regions(spell, layout.control, layout.scratch, layout.stride)
            for one in layout.functions:
                kernels.divide(one.program)
        drivers = []
        for number, one in enumerate(layout.functions):
            ground = layout.ground(number, spell)
            driver = Driver(one.symbol, one.program, ground, kernels, regions)
            drivers.append(driver.text())
            self.alarms[one.symbol] = driver.alarms
        shared = [regions.text()] if regions else []
        self.text = "\n".join([*kernels.texts, *drivers, *shared])

    def spell(self, address: int) -> str:
        """Return an address in LLVM's text."""
        layout, symbol, at = self._layout, self._memory, address
        if self._target.address_bits == 64:
            if address in layout.kept:
                symbol, at = f"{symbol}.flags", sorted(layout.kept).index(address)
            elif address >= layout.constants_end:
                symbol, at = f"{symbol}.inner", address - layout.constants_end
            elif address >= layout.start:
                symbol, at = f"{symbol}.constants", address - layout.start
        return f"getelementptr (i8, ptr @{symbol}, {self._target.index_type} {at})"


class _Layout:
    """Where everything lies.

    Attributes:
        start: the first address that was free.
        constants: bytes of constants, and where they lie.
        constants_end: the first address after them.
        kept: flags of what lasts.
        control: where the words lie that threads share.
        scratch: where the first thread's scratch memory begins.
        stride: bytes that each further thread has for itself.
        end: the first address that is free.
    """

    def __init__(
        self,
        functions: Sequence[Function],
        start: int,
        state_end: int,
        threads: bool = False,
    ) -> None:
        self.functions = functions
        self.constants: dict[bytes, int] = {}
        self.start = at = aligned(start)
        blobs = {one.program.constants.tobytes() for one in functions}
        for blob in sorted(blobs, key=lambda x: (-len(x), x)):
            if blob and self._constant(blob) is None:
                self.constants[blob] = at
                at += aligned(len(blob))
        self.constants_end = at
        self._lasting: list[int] = []
        # Address of the flag -> the ranges of addresses that its contents are made of.
        self.kept: dict[int, list[range]] = {}
        self._own_flags: list[list[int]] = []
        for one in functions:
            self._lasting.append(at)
            flags = dict(_kept(one, at, state_end))
            self.kept |= flags
            self._own_flags.append(sorted(flags))
            at += aligned(one.program.lasting)
        self._arena = at
        self._copies = [list(_temporary(one)) for one in functions]
        at += max(
            [
                aligned(one.program.arena) + sum(aligned(n) for _, n in copies)
                for one, copies in zip(functions, self._copies, strict=True)
            ],
            default=0,
        )
        self._frame = at
        slots = max([one.program.slots for one in functions], default=0)
        if threads or any(map(_has_parts, functions)):
            at += aligned(WORD * slots)
        self.control = at
        at += NBYTES if threads else 0
        self.scratch = at
        codes = [code for one in functions for code in one.program.kernels]
        own = max([aligned(code.scratch) for code in codes], default=0)
        self.end = at + own
        if self.end > _MOST:
            raise ArgumentError(
                "[export] the program needs more memory than there is",
                got=f"{self.end >> 20} MiB",
                expected=f"at most {_MOST >> 20} MiB",
                fix="make it for a smaller batch",
                where="",
            )
        self.stride = own + webassembly.STACK

    def _constant(self, wanted: bytes) -> int | None:
        """Return where bytes lie, maybe as a part of others; None if they do not."""
        for blob, at in self.constants.items():
            for offset in range(0, len(blob) - len(wanted) + 1, ALIGNMENT):
                if blob.startswith(wanted, offset):
                    return at + offset
        return None

    def ground(self, number: int, spell: Callable[[int], str]) -> Ground:
        """Return where the memory of a function is."""
        one, program = self.functions[number], self.functions[number].program
        count = len(program.inputs)
        slots = dict(enumerate([*one.inputs, *one.outputs]))
        slots[program.arena_slot] = self._arena
        constants = self._constant(program.constants.tobytes())
        slots[program.constants_slot] = constants or 0
        if program.lasting:
            slots[program.lasting_slot] = self._lasting[number]
        at = self._arena + aligned(program.arena)
        copies = []
        for j, nbytes in self._copies[number]:
            slots[count + j] = at
            copies.append((one.outputs[j], at, nbytes))
            at += aligned(nbytes)
        raised = list(self._raised(one))
        own = self._own_flags[number]
        return Ground(
            spell,
            slots,
            self.scratch,
            self._frame,
            frozenset(own),
            [flag for flag in own if flag not in raised],
            raised,
            copies,
        )

    def _raised(self, one: Function) -> Iterator[int]:
        """Yield the flags of what is made of something that a function writes."""
        for flag, sources in self.kept.items():
            for at, type in zip(one.outputs, one.program.outputs, strict=True):
                if any(_overlap(range(at, at + type.nbytes), x) for x in sources):
                    yield flag
                    break


def _kept(one: Function, at: int, state_end: int) -> Iterator[tuple[int, list[range]]]:
    """Yield the flags of a program that last, and what is made of what."""
    for flag, inputs in one.program.lasts:
        if all(one.inputs[i] < state_end for i in inputs):
            yield (
                at + flag,
                [
                    range(one.inputs[i], one.inputs[i] + one.program.inputs[i].nbytes)
                    for i in inputs
                ],
            )


def _temporary(one: Function) -> Iterator[tuple[int, int]]:
    """Yield which outputs may not be computed where they shall lie, and their sizes.

    Something is still needed there, which the program may not write over.
    """
    program = one.program
    inputs = [
        range(at, at + type.nbytes)
        for at, type in zip(one.inputs, program.inputs, strict=True)
    ]
    for j, (at, type) in enumerate(zip(one.outputs, program.outputs, strict=True)):
        own = range(at, at + type.nbytes)
        for i, other in enumerate(inputs):
            given = program.donations.get(i) == j and own == other
            if _overlap(own, other) and not given:
                yield j, type.nbytes
                break


def _overlap(x: range, y: range) -> bool:
    return bool(x) and bool(y) and x.start < y.stop and y.start < x.stop


def _has_parts(one: Function) -> bool:
    return any(isinstance(x, Parts) for x in one.program.instructions)

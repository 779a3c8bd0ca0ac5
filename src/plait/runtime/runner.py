"""Runs a program natively.

The hot path is `Runner.run`: training a small network spends much of its time there.

Read first: `Runner`.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import struct
import threading
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from ..ahead import ahead, finish
from ..dtypes import bool_, float32, int8
from ..errors import PlaitError
from ..ir.graph import TensorType
from ..program import Host, Place, Program, WrongIndex
from ..unchanged import Look, changed, look_at
from . import binding, kernels, machine, memory, pool, sharing
from .instructions import Step, pack, scratch_bytes
from .timeline import Span, Timeline, run_timed

# A program that takes fewer microseconds keeps the GIL. Letting go of it costs little,
# but another thread may take it then, and keep it for milliseconds.
_KEEPS_GIL = 20.0
# A program that takes fewer is not worth handing to another thread.
_AHEAD = 8.0

_ALIGNMENT = 64

_Free = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
_Holding = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)

# How Python numbers are written. Of other types, and numbers that do not fit, NumPy
# decides what becomes of them.
_FORMATS = {
    "bool": "?", "int8": "b", "int16": "h", "int32": "i", "int64": "q", "uint8": "B",
    "uint16": "H", "uint32": "I", "uint64": "Q", "float32": "f", "float64": "d",
}  # fmt: skip


class Runner:
    """A program that is loaded and ready to run any number of times.

    Several threads may run it at the same time.
    """

    def __init__(self, program: Program) -> None:
        self._libraries = [kernels.load(code) for code in program.kernels]
        addresses = [library.addresses["kernel"] for library in self._libraries]
        packed = pack(program, addresses)
        self._packed = packed
        self._types = list(program.inputs)
        self._count = len(self._types)
        self._slots = program.slots
        self._constants = _aligned(program.constants)
        self._constants_slot = program.constants_slot
        self._arena_slot = program.arena_slot
        self._scratch = scratch_bytes(program)
        self._arena_offset = _rounded(self._scratch)
        self._need = workspace_bytes(program)
        self._parallel = packed.parallel
        own = kernels.own()
        self._bind = _Holding(own["bind"])
        self._reads_objects = _reads_objects()
        brief = packed.microseconds < _KEEPS_GIL and not packed.parallel
        kind = _Holding if brief else _Free
        self._go, self._assist = kind(own["run"]), kind(own["assist"])
        self._post, self._settle = _Holding(own["post"]), kind(own["settle"])
        self._hosts = {at: _HostCall(host) for at, host in packed.hosts.items()}
        self._alarms = packed.alarms
        self._runs_on = not packed.hosts
        # Words of a frame: those the machine knows, slots, arguments, a word for each
        # scalar input, and whether each input that may be overwritten was given away.
        self._arguments = machine.SLOTS + program.slots
        self._numbers: dict[int, int] = {}
        at = self._arguments + max(packed.arity, 1)
        for i, type in enumerate(self._types):
            if type.shape == ():
                self._numbers[i] = at
                at += 1
        self._given: dict[int, int] = {}
        donors = {out: i for i, out in program.donations.items()}
        self._outputs: list[tuple[int, int, bool, tuple[int, ...], np.dtype[Any]]] = []
        for j, type in enumerate(program.outputs):
            given, i = -1, donors.get(j, -1)
            if i >= 0 and _nbytes(self._types[i]) == _nbytes(type):
                given = self._given[i] = at
                at += 1
            same = i >= 0 and self._types[i] == type
            self._outputs.append((given, i, same, type.shape, type.dtype.numpy))
        self._words = at
        self._records = _records(self._types, self._given)
        self._packers = {
            i: struct.Struct("=" + _FORMATS[self._types[i].dtype.name]).pack_into
            for i in self._numbers
            if self._types[i].dtype.name in _FORMATS
        }
        # What lasts from run to run lies in each frame.
        self._lasting, self._lasting_slot = program.lasting, program.lasting_slot
        self._flags: dict[int, list[int]] = {}  # input -> flags of what it makes
        for flag, inputs in program.lasts:
            for i in inputs:
                self._flags.setdefault(i, []).append(flag)
        self._frames: list[_Frame] = []

    def run(
        self, values: Sequence[Any], timeline: Timeline | None = None
    ) -> list[np.ndarray]:
        """Return the values of the outputs, given those of the inputs.

        The caller hands the values over: a list is empty afterwards, also after an
        error. An input that nobody else holds may be overwritten and returned as an
        output, where the program says so (`Program.donations`). "Nobody else" means
        that the list has the only reference to the array, that the array owns its
        memory or is the only one that refers to who owns it, and that it may be
        written. Whatever still sees the memory prevents it: a variable, the same array
        or a view of it among the inputs, a memoryview, a DLPack capsule. From a
        sequence that is not a list, nothing is overwritten.

        Args:
            values: C-contiguous arrays of the inputs' types are used where they lie;
                others are copied. Scalars may also be Python numbers.
            timeline: gets when each instruction began and ended; the run is a little
                slower then.

        Raises:
            ValueError: there are too many or too few, or one has a wrong type.
            PlaitError: what a Python function refuses, naming the line of the user.
        """
        if type(values) is not list:
            values = list(values)  # whose sequence still holds them
        finish()
        frame, team, outputs = self._prepared(values, self._parallel)
        try:
            self._go_on(frame, team, self._begun(frame, timeline), timeline)
            frame.looks.update(frame.new)  # what was made of these is there
            return outputs
        except WrongIndex as wrong:
            # Nothing was overwritten: the caller may have them again.
            raise WrongIndex(list(values)) from wrong
        finally:
            self._release(frame, team)
            values.clear()

    def start(self, values: list[Any]) -> list[np.ndarray]:
        """Do as `run`, but perhaps return before the values are there.

        Another thread may run the program then, while the caller goes on: when nothing
        can go wrong any more. Until `ahead.finish` has returned, the results may not be
        looked at, and only `run` and `start` may be given them.

        Nobody else may change the inputs meanwhile. Where others could, as an input
        lies in memory that they hold too, the values are there at the return.
        """
        finish()
        worth = self._runs_on and self._packed.microseconds > _AHEAD
        worth = worth and not self._flags
        frame, team, outputs = self._prepared(values, worth or self._parallel)
        words = frame.words
        flight: _Flight | None = None
        try:
            if team is None or not worth or words[machine.SHARED_MEMORY]:
                at = self._go(frame.address)
            elif team.sleeps:
                team.wake()  # for the next time
                at = self._go(frame.address)
            else:
                words[machine.QUIET] = 1
                words[machine.IS_SETTLED] = 0
                self._post(frame.address)
                at = self._settle(frame.address)
                if at == sharing.UNDER_WAY:
                    flight = _Flight(self, frame, team, values[:], outputs)
                    ahead.wait = flight.finish
                    return outputs
                words[machine.QUIET] = 0
                if at == sharing.NOT_BEGUN:
                    at = self._go(frame.address)
            self._go_on(frame, team, at, None)
            frame.looks.update(frame.new)
            return outputs
        except WrongIndex as wrong:
            raise WrongIndex(list(values)) from wrong
        finally:
            if flight is None:
                self._release(frame, team)
            values.clear()

    def _prepared(
        self, values: list[Any], shares: bool
    ) -> tuple[_Frame, pool.Pool | None, list[np.ndarray]]:
        """Return a frame that is ready to go, the pool if it is to be had, and the
        outputs, which have no values yet. `_release` must follow.
        """
        if len(values) != self._count:
            count = len(values)
            values.clear()
            raise ValueError(f"{count} values for {self._count} inputs")
        try:
            frame = self._frames.pop()
        except IndexError:
            frame = _Frame(self)
        workspace = _leased(self._need)
        if workspace is not frame.workspace:
            frame.use(self, workspace)
        team = pool.lease(self._scratch) if shares else None
        try:
            words = frame.words
            words[machine.PC] = 0
            words[machine.POOL] = 0 if team is None else team.address
            words[machine.SHARED_MEMORY] = 0
            self._bind_inputs(frame, values)
            if self._flags:
                frame.look(self._flags, values)
            outputs = []
            for given, i, same, shape, dtype in self._outputs:
                if given >= 0 and words[given]:
                    array = values[i]
                    changed(array)
                    if not same:
                        array = np.ndarray(shape, dtype, array)
                    outputs.append(array)
                else:
                    outputs.append(memory.empty(shape, dtype))
            if self._reads_objects:
                words[machine.OUTPUTS] = id(outputs)
            else:
                words[machine.OUTPUTS] = 0
                first = machine.SLOTS + self._count
                for j, array in enumerate(outputs):
                    words[first + j] = memory.address(array)
            return frame, team, outputs
        except BaseException:
            self._release(frame, team)
            values.clear()
            raise

    def _release(self, frame: _Frame, team: pool.Pool | None) -> None:
        if team is not None:
            team.busy.release()
        _workspaces.append(frame.workspace)
        self._frames.append(frame)

    def _begun(self, frame: _Frame, timeline: Timeline | None) -> int:
        """Run the program from the beginning; return where it wants help, or -1."""
        if timeline is None:
            return self._go(frame.address)  # type: ignore[no-any-return]
        frame.words[machine.TIMELINE] = timeline.address
        return _Free(run_timed())(frame.address)  # type: ignore[no-any-return]

    def _go_on(
        self,
        frame: _Frame,
        team: pool.Pool | None,
        at: int,
        timeline: Timeline | None,
    ) -> None:
        """Give the help that is wanted at `at`, and run the rest of the program."""
        words = frame.words
        go = self._go if timeline is None else _Free(run_timed())
        while at >= 0:
            words[machine.OUTPUTS] = 0
            if at in self._alarms:
                raise WrongIndex
            host = self._hosts.get(at)
            if timeline is not None and timeline.is_full:
                timeline.drain()
                words[machine.PC] = at
            elif host is not None:
                begin = time.perf_counter_ns() if timeline is not None else 0
                host.call(words)
                if timeline is not None:
                    span = Span(at, begin, time.perf_counter_ns())
                    timeline.spans.append(span)
                words[machine.PC] = at + 1
            else:
                assert team is not None  # or the machine would not have asked
                team.wake()
                words[machine.PC] = at
                words[machine.WOKEN] = 1
            at = go(frame.address)
        if timeline is not None:
            timeline.drain()

    @property
    def steps(self) -> dict[int, Step]:
        """What lies where in the code, for those who read a timeline."""
        return self._packed.steps

    def _bind_inputs(self, frame: _Frame, values: list[Any]) -> None:
        """Put into slots where the inputs' memory begins, and note what was given."""
        words = frame.words
        if not self._reads_objects:
            for i in range(self._count):
                self._bind_slowly(frame, values, i)
            return
        words[machine.INPUTS] = id(values)
        words[machine.NEXT] = 0
        at = self._bind(frame.address)
        while at >= 0:
            self._bind_slowly(frame, values, at)
            words[machine.NEXT] = at + 1
            at = self._bind(frame.address)

    def _bind_slowly(self, frame: _Frame, values: list[Any], i: int) -> None:
        """Bind one input: a number, or an array that may need to be copied."""
        words, type, value = frame.words, self._types[i], values[i]
        given = self._given.get(i)
        if given is not None:
            words[given] = 0
        if not isinstance(value, np.ndarray):
            if type.shape != ():
                raise _wrong(i, type, value)
            at = self._numbers[i]
            words[machine.SLOTS + i] = frame.address + 8 * at
            pack_into = self._packers.get(i)
            if pack_into is not None:
                try:
                    pack_into(words, 8 * at, value)
                    return
                except (struct.error, OverflowError, TypeError):
                    pass
            with np.errstate(all="ignore"):
                array = np.asarray(value, type.dtype.numpy)
            if array.shape != ():
                raise _wrong(i, type, value)
            frame.store.view(np.uint8)[8 * at : 8 * at + array.nbytes] = np.frombuffer(
                array.tobytes(), np.uint8
            )
            return
        if value.shape != type.shape or value.dtype != type.dtype.numpy:
            raise _wrong(i, type, value)
        words[machine.SHARED_MEMORY] = 1  # it is not worth a closer look
        if not value.flags.c_contiguous or not isinstance(value, np.ndarray):
            values[i] = value = np.array(value, order="C")
            if given is not None and value.flags.owndata:
                words[given] = 1  # the copy is ours
        words[machine.SLOTS + i] = memory.address(value)


def _wrong(i: int, type: TensorType, value: Any) -> ValueError:
    got = f"{value.dtype}{value.shape}" if hasattr(value, "dtype") else repr(value)
    return ValueError(f"input {i} of a program is {got}, must be {type!r}")


class _Frame:
    """The words of one run at a time, and the memory that lasts until the next.

    Attributes:
        looks: at the inputs of which something was made that lies there.
        new: looks at those of which the run makes it.
    """

    __slots__ = (
        "address", "lasting", "looks", "new", "raised", "store", "words", "workspace",
    )  # fmt: skip

    def __init__(self, runner: Runner) -> None:
        self.store = np.zeros(runner._words, np.int64)
        self.words = self.store.data
        self.address = memory.address(self.store)
        self.workspace: Any = None
        words = self.words
        words[machine.CODE] = memory.address(runner._packed.words)
        words[machine.ARGUMENTS] = self.address + 8 * runner._arguments
        words[machine.TYPES] = memory.address(runner._records)
        words[machine.FIRST_OUTPUT] = runner._count
        words[machine.COUNT] = len(runner._outputs)
        words[machine.INPUT_COUNT] = runner._count
        words[machine.ARRAY_TYPE] = id(np.ndarray)
        words[machine.BLOCK_TYPE] = id(memory.BlockType)
        constants = memory.address(runner._constants)
        words[machine.SLOTS + runner._constants_slot] = constants
        self.looks: dict[int, Look] = {}
        self.new: dict[int, Look] = {}
        if runner._lasting:
            block = memory.take(runner._lasting)
            self.lasting = memoryview(block).cast("B")
            begin = ctypes.addressof(block)
            words[machine.SLOTS + runner._lasting_slot] = begin
            self.raised = {flag for flags in runner._flags.values() for flag in flags}

    def look(self, flags: dict[int, list[int]], values: list[Any]) -> None:
        """Raise the flags of what must be made again, and lower the others."""
        lasting, looks, raised = self.lasting, self.looks, self.raised
        for flag in raised:
            lasting[flag] = 0
        raised.clear()
        self.new.clear()
        for i, own in flags.items():
            value = values[i]
            look = looks.get(i)
            if look is not None:
                if look.holds and look.array() is value:
                    continue
                del looks[i]
            raised.update(own)
            if memory.is_own(value):
                self.new[i] = look_at(value)
        for flag in raised:
            lasting[flag] = 1

    def use(self, runner: Runner, workspace: Any) -> None:
        """Have scratch memory and arena lie in `workspace`."""
        self.workspace = workspace
        begin = ctypes.addressof(workspace)
        self.words[machine.SCRATCH] = begin
        arena = begin + runner._arena_offset
        self.words[machine.SLOTS + runner._arena_slot] = arena


class _Flight:
    """A run that another thread does while Python goes on.

    It holds on to all memory that the run may touch.
    """

    __slots__ = ("_frame", "_lock", "_memory", "_over", "_runner", "_team")

    def __init__(
        self,
        runner: Runner,
        frame: _Frame,
        team: pool.Pool,
        values: list[Any],
        outputs: list[np.ndarray],
    ) -> None:
        self._runner, self._frame, self._team = runner, frame, team
        self._memory = values, outputs
        self._lock = threading.Lock()
        self._over = False

    def finish(self) -> None:
        """Help with the run until it is over."""
        with self._lock:
            if self._over:  # another thread was first
                return
            at = self._runner._assist(self._frame.address)
            assert at < 0  # what wants help from Python is not run ahead
            self._over = True
            self._frame.words[machine.QUIET] = 0
            ahead.wait = None
            self._runner._release(self._frame, self._team)


# Blocks for scratch memory and arenas, which all programs share: as many as programs
# ran at the same time.
_workspaces: list[Any] = []


def _leased(need: int) -> Any:
    """Return a block of at least `need` bytes."""
    try:
        block = _workspaces.pop()
    except IndexError:
        return memory.take(need)
    if block._length_ < need:
        del block  # it is free before the larger one is taken
        return memory.take(need)
    return block


class _HostCall:
    """A Python function that is called in the middle of a program."""

    def __init__(self, host: Host) -> None:
        self._function = host.function
        self._operands = [_Window(*one) for one in host.operands]
        self._results = [_Window(*one) for one in host.results]
        self._where = host.where

    def call(self, words: Any) -> None:
        """Call it. It gets copies, for it may keep them; the memory is used again."""
        operands = [window.array(words).copy() for window in self._operands]
        try:
            with np.errstate(all="ignore"):
                values = self._function(*operands)
        except PlaitError as error:
            error.where = self._where or error.where
            raise
        if not isinstance(values, tuple):
            values = (values,)
        for window, value in zip(self._results, values, strict=True):
            window.set(words, np.asarray(value))


class _Window:
    """Looks at a place of the run's memory as an array."""

    def __init__(self, place: Place, type: TensorType) -> None:
        self._slot = machine.SLOTS + place.slot
        self._offset = place.offset
        self._shape, self._dtype = type.shape, type.dtype.numpy
        self._memory: Any = ctypes.c_char * _nbytes(type)

    def array(self, words: Any) -> np.ndarray:
        begin = words[self._slot] + self._offset
        return np.ndarray(self._shape, self._dtype, self._memory.from_address(begin))

    def set(self, words: Any, value: np.ndarray) -> None:
        if value.shape != self._shape:
            raise ValueError(f"a result has shape {value.shape}, not {self._shape}")
        np.copyto(self.array(words), value, casting="same_kind")


def _records(types: Sequence[TensorType], given: dict[int, int]) -> np.ndarray:
    """Return what `bind` needs to know of each input: addresses, then records."""
    lengths = [binding.DIMENSIONS + type.ndim for type in types]
    table = np.zeros(len(types) + sum(lengths), np.int64)
    at = len(types)
    for i, type in enumerate(types):
        table[i] = memory.address(table) + 8 * at
        head = (id(type.dtype.numpy), given.get(i, 0), type.ndim)
        table[at : at + lengths[i]] = (*head, *type.shape)
        at += lengths[i]
    return table


# A child process has no thread that would finish the run, nor has one that ends.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=finish)
atexit.register(finish)


@cache
def _reads_objects() -> bool:
    """Return whether `bind` understands this interpreter's lists and arrays."""
    if not binding.possible() or not memory.READABLE:
        return False
    types = [TensorType((2, 3), float32), TensorType((4,), int8), TensorType((), bool_)]
    frame = np.zeros(machine.SLOTS + 6, np.int64)
    records = _records(types, {i: machine.SLOTS + 3 + i for i in range(3)})
    arrays = [np.zeros(x.shape, x.dtype.numpy) for x in types]
    view = arrays[1][:]
    wanted = [memory.address(x) for x in arrays]
    frame[machine.INPUTS], frame[machine.INPUT_COUNT] = id(arrays), 3
    frame[machine.TYPES] = memory.address(records)
    frame[machine.ARRAY_TYPE] = id(np.ndarray)
    bind = _Holding(kernels.own()["bind"])
    found = bind(memory.address(frame))
    answers = frame[machine.SLOTS :].tolist()
    arrays[2] = np.zeros(1, np.float64)
    other = bind(memory.address(frame))
    return (found, other, answers) == (
        -1,
        2,
        [*wanted, 1, 0, 1],
    ) and view.base is not None


def _aligned(constants: np.ndarray) -> np.ndarray:
    """Return constants where they are aligned."""
    if memory.address(constants) % _ALIGNMENT == 0:
        return constants
    store = np.empty(constants.nbytes + _ALIGNMENT, np.uint8)
    skip = -memory.address(store) % _ALIGNMENT
    aligned = store[skip : skip + constants.nbytes]
    aligned[:] = np.frombuffer(constants.tobytes(), np.uint8)
    return aligned


def workspace_bytes(program: Program) -> int:
    """Return how much memory a run needs for scratch memory and arena together."""
    return _rounded(scratch_bytes(program)) + program.arena


def _rounded(nbytes: int) -> int:
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT


def _nbytes(type: TensorType) -> int:
    return type.size * type.dtype.itemsize

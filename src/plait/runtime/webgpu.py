"""Runs programs for WebGPU natively, through the package `wgpu`.

All memory of a program is one buffer of the device; each launch gets the places of its
buffers in it. `web/runtime/webgpu.js` does the same in a page.

Read first: `Runner`.
"""

from __future__ import annotations

import math
import struct
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from .. import program as plan
from ..errors import DeviceError, PlaitError, optional
from ..ir.graph import TensorType
from ..program import Code, Launch, Place, Program, WrongIndex
from ..web.gate import GATE

_ALIGNMENT = 256
# Workgroups of a dispatch in one direction, which any device runs.
_MOST_GROUPS = 65535
# Bytes of scratch memory that all workgroups of one dispatch have together, if one of
# them needs no more.
_SCRATCH = 16 << 20
# Words before the places of a launch.
_HEAD, _WORD = 4, 4
_HALF = "shader-f16"


def unavailable() -> str:
    """Return why there is no such device here; "" if there is one."""
    try:
        device()
    except PlaitError as error:
        return str(error)
    return ""


class Device:
    """An adapter, opened, with the shaders that it has compiled.

    Attributes:
        name: what it calls itself.
    """

    def __init__(self) -> None:
        wgpu = optional("wgpu", "webgpu", "run programs through WebGPU")
        try:
            adapter = wgpu.gpu.request_adapter_sync(power_preference="high-performance")
        except RuntimeError as error:
            raise DeviceError(
                "[webgpu] there is no adapter on this machine", got=str(error)
            ) from None
        if adapter is None:
            raise DeviceError("[webgpu] there is no adapter on this machine")
        limits = adapter.limits
        self.half = _HALF in adapter.features
        names = ("max-storage-buffer-binding-size", "max-buffer-size")
        self.most_bytes = min(limits[name] for name in names)
        self.device = adapter.request_device_sync(
            required_limits={name: limits[name] for name in names},
            required_features=[_HALF] if self.half else [],
        )
        self.name = str(adapter.info.get("device") or adapter.info.get("description"))
        self.usage = wgpu.BufferUsage
        stage = wgpu.ShaderStage.COMPUTE

        def layout(*buffers: dict[str, Any]) -> Any:
            entries = [
                {"binding": i, "visibility": stage, "buffer": one}
                for i, one in enumerate(buffers)
            ]
            return self.device.create_bind_group_layout(entries=entries)

        storage, told = (
            {"type": "storage"},
            {"type": "uniform", "has_dynamic_offset": True},
        )
        self.layout = layout(storage, told)
        self.gate_layout = layout(storage, told, storage)
        self._pipelines: dict[str, Any] = {}

    def pipeline(self, code: Code) -> Any:
        """Return a kernel, compiled once."""
        found = self._pipelines.get(code.key)
        if found is None:
            text = code.build().decode()
            if self.half and "wgsl half" in code.stages:
                text = code.stages["wgsl half"]()
            # Kernels may differ in what the launch says only.
            found = self._pipelines.get(text)
            if found is None:
                found = self._pipelines[text] = self._compiled(text, self.layout)
            self._pipelines[code.key] = found
        return found

    def gate(self) -> Any:
        """Return the kernel that stops what comes after a wrong index."""
        found = self._pipelines.get(GATE)
        if found is None:
            found = self._pipelines[GATE] = self._compiled(GATE, self.gate_layout)
        return found

    def _compiled(self, text: str, layout: Any) -> Any:
        return self.device.create_compute_pipeline(
            layout=self.device.create_pipeline_layout(bind_group_layouts=[layout]),
            compute={
                "module": self.device.create_shader_module(code=text),
                "entry_point": "kernel",
            },
        )


@cache
def device() -> Device:
    """Return the device of this process.

    Raises:
        MissingExtraError: the package `wgpu` is not installed.
        DeviceError: the machine has no adapter.
    """
    return Device()


class _Flag(NamedTuple):
    """A byte that is set if an index was wrong, and the first launch after it."""

    address: int
    first: int


class Runner:
    """A program that is ready to run any number of times.

    Args:
        program: compiled for WebGPU.

    Raises:
        DeviceError: it takes more memory than one binding of the device.
    """

    def __init__(self, program: Program) -> None:
        self._lock = threading.Lock()
        self._program = program
        self._device = device()
        self._code = [self._device.pipeline(one) for one in program.kernels]
        self._verdict = 0
        self._addresses, self._scratch_at = self._places()
        self._room = max(
            [_SCRATCH, *(one.scratch for one in program.kernels)]
            if any(one.scratch for one in program.kernels)
            else [0]
        )
        self._size = self._scratch_at + _rounded(self._room) + _ALIGNMENT
        if self._size > self._device.most_bytes:
            raise DeviceError(
                "[webgpu] a program needs more memory than the device binds at once",
                got=f"{self._size / 2**20:.0f} MiB",
                expected=f"at most {self._device.most_bytes / 2**20:.0f} MiB",
            )
        places = max([len(one.uses) for one in program.kernels], default=0)
        self._stride = _rounded(4 * (_HEAD + -(-max(places, 1) // 4) * 4))
        usage = self._device.usage
        self._memory = self._device.device.create_buffer(
            size=self._size, usage=usage.STORAGE | usage.COPY_SRC | usage.COPY_DST
        )
        self._write(program.constants_slot, program.constants)
        self._table: Any = None
        self._gates: Any = None
        self._group: Any = None
        self._gate_group: Any = None
        self._entries: list[bytes] = []
        # Kernel and workgroups of x and y; or a flag, where the way on may be closed.
        self._todo: list[tuple[int, int, int] | _Flag] = []

    def run(self, values: Sequence[Any]) -> list[np.ndarray]:
        """Return the values of the outputs, given those of the inputs.

        Raises:
            WrongIndex: an index does not lie in its axis.
        """
        with self._lock:
            return self._run(values)

    def _run(self, values: Sequence[Any]) -> list[np.ndarray]:
        program = self._program
        for i, (value, type) in enumerate(zip(values, program.inputs, strict=True)):
            self._write(i, np.ascontiguousarray(value, type.dtype.numpy))
        if program.lasting:
            # Nothing is known of the last run's inputs.
            start = self._addresses[program.lasting_slot]
            for one in program.lasts:
                self._put(start + one.flag // 4 * 4, b"\x01\x01\x01\x01")
        self._slots = list(self._addresses)
        self._put(self._verdict, bytes(_WORD))
        self._go(0, len(program.instructions))
        # Outputs lie side by side, and then the verdict: they are read at once.
        places = self._addresses[len(program.inputs) :]
        start = min([*places[: len(program.outputs)], self._verdict])
        found = self._get(start, self._verdict + _WORD - start)
        if any(found[-_WORD:]):
            raise WrongIndex
        return [
            np.frombuffer(
                found, type.dtype.numpy, math.prod(type.shape), place - start
            ).reshape(type.shape).copy()
            for place, type in zip(places, program.outputs, strict=False)
        ]  # fmt: skip

    def _places(self) -> tuple[list[int], int]:
        """Return where each slot begins, and where scratch memory does."""
        program = self._program
        types = [*program.inputs, *program.outputs]
        sizes = [type.nbytes for type in types]
        sizes += [program.arena, program.constants.nbytes]
        addresses, at = [], 0
        for i, size in enumerate(sizes):
            if i == len(types):
                self._verdict, at = at, at + _ALIGNMENT
            addresses.append(at)
            at += _rounded(size)
        addresses += [0] * (program.slots - len(addresses))
        if program.lasting:
            addresses[program.lasting_slot] = at
            at += _rounded(program.lasting)
        return addresses, at

    # Memory

    def _write(self, slot: int, array: np.ndarray) -> None:
        self._put(self._addresses[slot], array.tobytes())

    def _put(self, address: int, data: bytes) -> None:
        if data:
            data += bytes(-len(data) % 4)
            self._device.device.queue.write_buffer(self._memory, address, data)

    def _get(self, address: int, nbytes: int) -> bytes:
        self._flush()
        if not nbytes:
            return b""
        start = address // 4 * 4
        size = -(-(address + nbytes - start) // 4) * 4
        found = self._device.device.queue.read_buffer(self._memory, start, size)
        return bytes(found)[address - start : address - start + nbytes]

    def _array(self, place: Place, type: TensorType) -> np.ndarray:
        data = self._get(self._slots[place.slot] + place.offset, type.nbytes)
        return np.frombuffer(data, type.dtype.numpy).reshape(type.shape).copy()

    # Instructions

    def _go(self, at: int, end: int, part: int = 0) -> None:
        """Do the instructions from `at` up to `end`."""
        slots, instructions = self._slots, self._program.instructions
        while at < end:
            one = instructions[at]
            at += 1
            match one:
                case Launch():
                    self._launch(one)
                case plan.Host():
                    self._call(one)
                case plan.SetSlot(slot, place):
                    slots[slot] = slots[place.slot] + place.offset
                case plan.Advance(slot, nbytes):
                    slots[slot] += nbytes
                case plan.Shift(slot, nbytes):
                    slots[slot] += nbytes * part
                case plan.Swap(first, second):
                    slots[first], slots[second] = slots[second], slots[first]
                case plan.Count(slot, times):
                    slots[slot] = times
                case plan.Repeat(slot, target):
                    slots[slot] -= 1
                    if slots[slot] > 0:
                        at = target
                case plan.Jump(target):
                    at = target
                case plan.Unless(place, target):
                    if not self._byte(place):
                        at = target
                case plan.Parts(number, target):
                    for turn in range(number):
                        self._slots = list(slots)
                        self._go(at, target, turn)
                    self._slots = slots
                    at = target
                case plan.Alarm(place):
                    flag = slots[place.slot] + place.offset
                    self._todo.append(_Flag(flag, len(self._entries)))
                case plan.Settled():
                    pass
                case _:
                    raise AssertionError(f"{one} is no instruction for WebGPU")

    def _byte(self, place: Place) -> int:
        """Return what decides how it goes on."""
        gated = any(isinstance(one, _Flag) for one in self._todo)
        found = self._get(self._slots[place.slot] + place.offset, 1)[0]
        if gated and any(self._get(self._verdict, _WORD)):
            raise WrongIndex
        return found

    def _launch(self, one: Launch) -> None:
        code = self._program.kernels[one.kernel]
        places = [
            (self._slots[place.slot] + place.offset) // _itemsize(use.dtype)
            for place, use in zip(one.places, code.uses, strict=True)
        ]
        together = code.chunks
        if code.scratch:
            together = max(1, self._room // code.scratch)
        for first in range(0, code.chunks, together):
            groups = min(together, code.chunks - first)
            across = min(groups, _MOST_GROUPS)
            head = (first, first + groups, across, self._scratch_at // 4)
            entry = struct.pack(f"<{_HEAD + len(places)}I", *head, *places)
            self._entries.append(entry.ljust(self._stride, b"\0"))
            self._todo.append((one.kernel, across, -(-groups // across)))

    def _flush(self) -> None:
        """Have the device do what was asked for."""
        if not self._todo:
            return
        gpu = self._device.device
        launches = b"".join(self._entries)
        words = self._stride // _WORD
        flags = [one for one in self._todo if isinstance(one, _Flag)]
        told = b"".join(
            struct.pack(
                "<6I", one.address, 1, one.first, len(self._entries), words,
                self._verdict // _WORD,
            ).ljust(_ALIGNMENT, b"\0")
            for one in flags
        )  # fmt: skip
        self._make_room(len(launches), len(told))
        gpu.queue.write_buffer(self._table, 0, launches)
        if told:
            gpu.queue.write_buffer(self._gates, 0, told)
        encoder = gpu.create_command_encoder()
        work = encoder.begin_compute_pass()
        launch = gate = 0
        for one in self._todo:
            if isinstance(one, _Flag):
                work.set_pipeline(self._device.gate())
                work.set_bind_group(0, self._gate_group, [gate * _ALIGNMENT])
                work.dispatch_workgroups(1, 1)
                gate += 1
                continue
            kernel, x, y = one
            work.set_pipeline(self._code[kernel])
            work.set_bind_group(0, self._group, [launch * self._stride])
            work.dispatch_workgroups(x, y)
            launch += 1
        work.end()
        gpu.queue.submit([encoder.finish()])
        self._entries, self._todo = [], []

    def _make_room(self, launches: int, gates: int) -> None:
        """Have tables that take so many bytes."""
        if self._table is not None and (
            self._table.size >= launches and self._gates.size >= gates
        ):
            return
        gpu, usage = self._device.device, self._device.usage

        def table(size: int, more: int) -> Any:
            size = max(2 * size, _ALIGNMENT)
            return gpu.create_buffer(size=size, usage=usage.COPY_DST | more)

        self._table = table(launches, usage.UNIFORM | usage.STORAGE)
        self._gates = table(gates, usage.UNIFORM)
        memory = {"buffer": self._memory}
        launch = {"buffer": self._table, "size": self._stride}
        gate = {"buffer": self._gates, "size": _ALIGNMENT}

        def group(layout: Any, *bound: dict[str, Any]) -> Any:
            entries = [{"binding": i, "resource": one} for i, one in enumerate(bound)]
            return gpu.create_bind_group(layout=layout, entries=entries)

        self._group = group(self._device.layout, memory, launch)
        whole = {"buffer": self._table}
        self._gate_group = group(self._device.gate_layout, memory, gate, whole)

    def _call(self, one: plan.Host) -> None:
        with np.errstate(all="ignore"):
            found = one.function(*[self._array(*x) for x in one.operands])
        found = found if isinstance(found, tuple) else (found,)
        for (place, type), value in zip(one.results, found, strict=True):
            data = np.ascontiguousarray(value, type.dtype.numpy).tobytes()
            address = self._slots[place.slot] + place.offset
            # Only whole words are written: the others of them are put back.
            before = self._get(address // 4 * 4, address % 4)
            end = address + len(data)
            after = self._get(end, -end % 4)
            self._put(address - len(before), before + data + after)


def _itemsize(dtype: str) -> int:
    return int(np.dtype(bool).itemsize) if dtype == "bool" else _SIZES[dtype]


_SIZES = {
    "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "float16": 2, "bfloat16": 2,
    "int32": 4, "uint32": 4, "float32": 4, "int64": 8, "uint64": 8, "float64": 8,
}  # fmt: skip


def _rounded(nbytes: int) -> int:
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT

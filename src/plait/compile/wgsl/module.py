"""All functions of an export as one file for webgpu.js: kernels, and instructions.

    {"format": 1,
     "memory": bytes in all,
     "scratch": the address from which on kernels have scratch memory,
     "stride": bytes of what a launch says, see `emit.Shader`,
     "verdict": the address of a word: the number of the alarm that ended a function,
     "gate": the kernel that writes it, see `web.gate`; "" where no function has alarms,
     "contents": [[address, bytes in base 64]],
     "kernels": [{"code", "half": the same for devices with float16, if it has it,
                  "chunks", "scratch": bytes of a workgroup,
                  "sizes": of an element of each buffer}],
     "functions": {symbol: {"slots": where each begins, "steps": [[name, ...]]}}}

Steps are the instructions of `plait.program`, a place being two numbers: a slot, and an
offset. The number of an alarm is its place in the list of the user's lines.

Read first: `build_webgpu`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any, Protocol

from ... import program as plan
from ...dtypes import as_dtype
from ...errors import ArgumentError
from ...program import Code, Instruction, Launch, Place, Program
from ...web.gate import GATE
from ..schedule.arena import aligned
from .target import copy_code

# Of dynamic offsets into a buffer.
_STRIDE = 256
_HEAD_WORDS = 4
_WORD = 4
# Bytes of scratch memory for all workgroups that run at once.
_SCRATCH = 16 << 20


class Function(Protocol):
    """A program that shall be a function of the module: see `compile.whole`."""

    @property
    def symbol(self) -> str:
        """The function's name."""

    @property
    def program(self) -> Program:
        """Compiled by `compile_graph` of this package."""

    @property
    def inputs(self) -> Sequence[int]:
        """The address of each input."""

    @property
    def outputs(self) -> Sequence[int]:
        """The address of each output, which may be that of an input."""


def build_webgpu(functions: Sequence[Function], start: int) -> bytes:
    """Return the file of an export that webgpu.js runs.

    Args:
        functions: of the export.
        start: the first address that is free: inputs and outputs lie before it.

    Raises:
        ArgumentError: a program has a part that runs in Python.
    """
    return json.dumps(_Module(functions, start).data()).encode()


class _Module:
    def __init__(self, functions: Sequence[Function], start: int) -> None:
        self._kernels: list[Code] = []
        self._numbers: dict[str, int] = {}
        self._functions: dict[str, Any] = {}
        self._contents: list[list[Any]] = []
        self._verdict = aligned(start)
        at = self._verdict + aligned(_WORD)
        ends = [at]
        for one in functions:
            constants = one.program.constants
            if constants.nbytes:
                data = base64.b64encode(constants.tobytes()).decode()
                self._contents.append([at, data])
            # Values of one run are not needed in the next: functions share memory.
            self._functions[one.symbol] = (one, at)
            at += aligned(constants.nbytes)
        for symbol, (one, constants_at) in self._functions.items():
            slots, steps, end = self._function(one, constants_at, at)
            ends.append(end)
            self._functions[symbol] = {"slots": slots, "steps": steps}
        self._scratch = -(-max([at, *ends]) // _STRIDE) * _STRIDE

    def data(self) -> dict[str, Any]:
        """Return what is in the file."""
        scratch = [one.scratch for one in self._kernels if one.scratch]
        room = max([_SCRATCH, *scratch]) if scratch else 0
        buffers = max([len(one.uses) for one in self._kernels], default=0)
        words = _HEAD_WORDS + -(-max(buffers, 1) // 4) * 4
        return {
            "format": 1,
            "memory": self._scratch + -(-room // _STRIDE) * _STRIDE + _STRIDE,
            "scratch": self._scratch,
            "room": room,
            "stride": -(-4 * words // _STRIDE) * _STRIDE,
            "verdict": self._verdict,
            "gate": GATE if self._alarms() else "",
            "contents": self._contents,
            "kernels": [_data_of(one) for one in self._kernels],
            "functions": self._functions,
        }

    def _alarms(self) -> bool:
        """Return whether a function may end early."""
        steps = (
            one for function in self._functions.values() for one in function["steps"]
        )
        return any(name == "alarm" for name, *_ in steps)

    def _function(
        self, one: Function, constants_at: int, at: int
    ) -> tuple[list[int], list[list[Any]], int]:
        """Return the slots and the steps of a function, and where its memory ends."""
        program = one.program
        slots = [*one.inputs, *one.outputs, at, constants_at]
        at += aligned(program.arena)
        slots += [0] * (program.slots - len(slots))
        if program.lasting:
            slots[program.lasting_slot] = at
            at += aligned(program.lasting)
        copies: list[Launch] = []
        for j, (address, type) in enumerate(
            zip(one.outputs, program.outputs, strict=True)
        ):
            givers = [i for i, x in enumerate(one.inputs) if x == address]
            if all(program.donations.get(i) == j for i in givers):
                continue
            # The input is still needed when the output is written: it moves at the end.
            mine = len(program.inputs) + j
            slots[mine] = at
            at += aligned(type.nbytes)
            slots.append(address)
            kernel = self._number(copy_code(type.nbytes))
            copies.append(Launch(kernel, (Place(len(slots) - 1), Place(mine))))
        numbers = [self._number(code) for code in program.kernels]
        alarms: list[str] = []
        steps = [_step(x, numbers, alarms) for x in program.instructions]
        steps += [_step(x, range(len(self._kernels)), alarms) for x in copies]
        return slots, steps, at

    def _number(self, code: Code) -> int:
        number = self._numbers.get(code.key)
        if number is None:
            number = self._numbers[code.key] = len(self._kernels)
            self._kernels.append(code)
        return number


def _data_of(one: Code) -> dict[str, Any]:
    data = {
        "name": one.name,
        "code": one.build().decode(),
        "chunks": one.chunks,
        "scratch": one.scratch,
        "sizes": [as_dtype(use.dtype).itemsize for use in one.uses],
    }
    if "wgsl half" in one.stages:
        data["half"] = one.stages["wgsl half"]()
    return data


def _step(one: Instruction, numbers: Sequence[int], alarms: list[str]) -> list[Any]:
    """Return an instruction as a list that JavaScript reads."""
    match one:
        case Launch(kernel, places):
            return ["launch", numbers[kernel], *(x for place in places for x in place)]
        case plan.SetSlot(slot, place):
            return ["set", slot, *place]
        case plan.Advance(slot, nbytes):
            return ["advance", slot, nbytes]
        case plan.Shift(slot, nbytes):
            return ["shift", slot, nbytes]
        case plan.Swap(first, second):
            return ["swap", first, second]
        case plan.Count(slot, times):
            return ["count", slot, times]
        case plan.Repeat(slot, target):
            return ["repeat", slot, target]
        case plan.Jump(target):
            return ["jump", target]
        case plan.Unless(place, target):
            return ["unless", *place, target]
        case plan.Parts(number, target):
            return ["parts", number, target]
        case plan.Alarm(place):
            alarms.append("")
            return ["alarm", *place, len(alarms)]
        case plan.Settled():
            return ["settled"]
        case plan.Host():
            function = getattr(one.function, "primitive", one.function)
            name = getattr(function, "name", getattr(function, "__name__", "host"))
            raise ArgumentError(
                f"[export] {name} runs in Python, which is not there where the program "
                "shall run",
                fix="compute this part before, or leave it out of what is exported",
                where=str(one.where),
            )
    raise AssertionError(f"{one} is no instruction for WebGPU")

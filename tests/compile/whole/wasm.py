"""Runs modules of WebAssembly in wasmtime.

Read first: `Machine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import wasmtime

from plait.compile.llvm.target import named
from plait.compile.pipeline import compile_graph
from plait.compile.schedule.arena import aligned
from plait.compile.whole.module import Built, Function, build_wasm
from plait.ir.graph import Graph
from plait.program import Program

START = 1024


class Machine:
    """An instance of a module, and what is in its memory."""

    def __init__(self, built: Built) -> None:
        config = wasmtime.Config()
        config.cranelift_opt_level = "none"
        engine = wasmtime.Engine(config)
        self.store = wasmtime.Store(engine)
        module = wasmtime.Module(engine, built.code)
        assert not module.imports
        self.exports = wasmtime.Instance(self.store, module, []).exports(self.store)
        self.memory = self.exports["memory"]
        assert self.memory.data_len(self.store) == built.memory
        self.lasting = built.lasting
        self.stale()

    def stale(self) -> None:
        """Say that state was written."""
        for flag in self.lasting:
            self.memory.write(self.store, b"\1", flag)

    def write(self, at: int, array: Any) -> None:
        self.memory.write(self.store, np.ascontiguousarray(array).tobytes(), at)

    def read(self, at: int, type: Any) -> np.ndarray:
        data = self.memory.read(self.store, at, at + type.nbytes)
        return np.frombuffer(bytes(data), type.dtype.numpy).reshape(type.shape)

    def call(self, symbol: str) -> int:
        return self.exports[symbol](self.store)


def laid_out(program: Program, at: int = START) -> tuple[list[int], list[int], int]:
    """Return an address for each input and output, and the first free one."""
    places = []
    for type in (*program.inputs, *program.outputs):
        places.append(at)
        at += aligned(type.nbytes)
    count = len(program.inputs)
    return places[:count], places[count:], at


def run(
    program: Program, arrays: Sequence[Any], target: str = "wasm"
) -> list[np.ndarray]:
    """Run one program, which no state is given."""
    inputs, outputs, end = laid_out(program)
    function = Function("go", program, inputs, outputs)
    machine = Machine(build_wasm([function], named(target), end))
    for at, type, value in zip(inputs, program.inputs, arrays, strict=True):
        machine.write(at, np.asarray(value, type.dtype.numpy))
    assert machine.call("go") == 0
    return [
        machine.read(at, type)
        for at, type in zip(outputs, program.outputs, strict=True)
    ]


def compiled(graph: Graph, target: str = "wasm", lasts: bool = False) -> Program:
    """Return the program of a graph for WebAssembly."""
    return compile_graph(graph, named(target), lasts=lasts)

"""Programs run with kernels of WebAssembly, each in a module of its own, by wasmtime.

Instructions are followed in Python, so this says what kernels give; programs that are
one module are tested where they are made.

Read first: `run`, `Kernels`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import wasmtime

from plait.compile.llvm.assemble import assemble
from plait.compile.llvm.emit import emit
from plait.compile.llvm.target import Target
from plait.compile.loops.grammar import Kernel
from plait.compile.whole.webassembly import finish
from plait.program import Code, Launch, Program, Use, Work

from .both import Slow

# Where the table of arguments lies, and bytes between the beginnings of buffers.
_TABLE, _LINE = 64, 64


@functools.cache
def engine() -> wasmtime.Engine:
    """Return what compiles modules: fast, as each runs once or twice."""
    config = wasmtime.Config()
    config.wasm_simd = True
    config.wasm_relaxed_simd = True
    config.cranelift_opt_level = "none"
    return wasmtime.Engine(config)


class Native:
    """One kernel in memory of its own.

    Attributes:
        module: the bytes of it.
    """

    def __init__(self, code: Code, sizes: Sequence[int]) -> None:
        at = _TABLE + -(-4 * len(sizes) // _LINE) * _LINE
        self.places = []
        for size in sizes:
            self.places.append(at)
            at += -(-size // _LINE) * _LINE
        self.scratch, end = at, at + code.scratch
        self.module = finish(code.build(), ["kernel"], end)
        self.chunks, self.uses = code.chunks, code.uses
        self.store = wasmtime.Store(engine())
        module = wasmtime.Module(engine(), self.module)
        assert not module.imports, "it asks a host for something"
        instance = wasmtime.Instance(self.store, module, [])
        exports = instance.exports(self.store)
        self.kernel: Any = exports["kernel"]
        self.memory: Any = exports["memory"]
        self.put(self.scratch, np.full(code.scratch, 0xA5, np.uint8))

    def put(self, at: int, array: np.ndarray) -> None:
        """Write an array into the memory."""
        self.memory.write(self.store, array.tobytes(), at)

    def run(
        self,
        arrays: Sequence[np.ndarray],
        chunks: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        """Run parts of the chunks; by default the second half, then the first one."""
        # What is the same memory, such as what is written in place, is so here.
        found: dict[int, int] = {}
        places = [
            found.setdefault(array.ctypes.data, at) if array.nbytes else at
            for array, at in zip(arrays, self.places, strict=True)
        ]
        self.put(_TABLE, np.array(places, np.uint32))
        for at, array in zip(places, arrays, strict=True):
            self.put(at, array)
        half = self.chunks // 2
        parts = [(half, self.chunks), (0, half)] if half else [(0, self.chunks)]
        for first, last in chunks or parts:
            self.kernel(self.store, _TABLE, first, last, self.scratch)
        for at, array, use in zip(places, arrays, self.uses, strict=True):
            if use.access != "in":
                new = self.memory.read(self.store, at, at + array.nbytes)
                array.reshape(-1).view(np.uint8)[:] = new


class _InWasm(Slow):
    """A run of a program."""

    def __init__(self, program: Program, arrays: Sequence[Any]) -> None:
        super().__init__(program, arrays)
        self.natives: dict[int, Native] = {}

    def launch(self, one: Launch, kernel: Kernel, memory: list[np.ndarray]) -> None:
        native = self.natives.get(one.kernel)
        if native is None:
            code = self.program.kernels[one.kernel]
            native = Native(code, [array.nbytes for array in memory])
            self.natives[one.kernel] = native
        native.run(memory)


def run_kernel(
    kernel: Kernel,
    arrays: Sequence[np.ndarray],
    target: Target,
    chunks: Sequence[tuple[int, int]] | None = None,
) -> list[np.ndarray]:
    """Run one kernel on copies of arrays; return the copies.

    Args:
        chunks: where each part of them begins and ends.
    """
    scratch = sum(
        -(-x.size * x.dtype.itemsize // _LINE) * _LINE for x in kernel.scratch
    )
    uses = [Use(x.access, x.dtype.name, x.size) for x in kernel.buffers]
    code = Code(
        kernel.name, "", kernel.chunks, scratch, Work(),
        lambda: assemble(emit(kernel, target), target), uses,
    )  # fmt: skip
    copies = [np.array(array) for array in arrays]
    Native(code, [array.nbytes for array in copies]).run(copies, chunks)
    return copies


def run(program: Program, arrays: Sequence[Any]) -> list[np.ndarray]:
    """Run a program that was compiled for WebAssembly."""
    return _InWasm(program, arrays).run()

"""Run kernels as machine code in this process, in wasmtime, and by the interpreter."""

import ctypes

import llvmlite.binding as llvm
import numpy as np
import pytest

from plait.compile.llvm.assemble import assemble
from plait.compile.llvm.emit import emit
from plait.compile.llvm.target import host, named
from plait.compile.loops.interpret import interpret

# Those whose code this process can run, if it runs on x86.
HERE = [name for name in ("sse4", "avx2", "avx512") if named(name).runs]


@pytest.fixture(params=["host", *HERE, "wasm"])
def target(request):
    return named(request.param)


def run_in_wasm(kernel, arrays, target, chunks):
    """Run a kernel as `run_compiled` does, as WebAssembly."""
    runner = pytest.importorskip("tests.compile.wasm_runner", exc_type=ImportError)
    return runner.run_kernel(kernel, arrays, target, chunks)


def run_compiled(kernel, arrays, target, chunks=None):
    """Run a kernel in machine code on copies of arrays; return the copies."""
    if not target.movable:
        return run_in_wasm(kernel, arrays, target, chunks)
    text = emit(kernel, target)
    with llvm.parse_assembly(text) as checked:
        checked.verify()
    code = assemble(text, target)
    module = llvm.parse_assembly(f'target triple = "{host().triple}"')
    machine = llvm.Target.from_triple(host().triple).create_target_machine()
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(
        None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p
    )
    function = kind(engine.get_function_address("kernel"))
    copies = [array.copy() for array in arrays]
    pointers = (ctypes.c_void_p * max(len(copies), 1))(
        *(copy.ctypes.data for copy in copies)
    )
    size = sum(-(-b.size * b.dtype.itemsize // 64) * 64 for b in kernel.scratch)
    scratch = np.full(size + 64, 0xAB, np.uint8)
    start = -scratch.ctypes.data % 64
    for first, last in chunks or [(0, kernel.chunks)]:
        function(pointers, first, last, scratch.ctypes.data + start)
    return copies


def check_same(x, y, signs=True):
    """Check that arrays are equal to the bit, but for the bits of nans."""
    if x.dtype.kind not in "fV" and x.dtype.name != "bfloat16":
        np.testing.assert_array_equal(x, y)
        return
    with np.errstate(invalid="ignore"):
        wide_x, wide_y = x.astype(np.float64), y.astype(np.float64)
    np.testing.assert_array_equal(wide_x, wide_y)
    if signs:
        there = ~np.isnan(wide_x)
        signs = np.signbit(wide_x[there]), np.signbit(wide_y[there])
        np.testing.assert_array_equal(*signs)


@pytest.fixture
def same():
    return check_same


@pytest.fixture
def compiled():
    return run_compiled


@pytest.fixture
def agree():
    """Return `check(kernel, arrays, target)`: machine code equals the interpreter."""

    def check(kernel, arrays, target, close=None, signs=True):
        expected = [array.copy() for array in arrays]
        interpret(kernel, expected)
        got = run_compiled(kernel, arrays, target)
        for buffer, x, y in zip(kernel.buffers, got, expected, strict=True):
            if close and buffer.dtype in close:
                np.testing.assert_allclose(x, y, rtol=close[buffer.dtype], atol=1e-30)
            else:
                check_same(x, y, signs)
        return got

    return check

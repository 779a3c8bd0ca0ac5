"""Run kernels as machine code in this process."""

import ctypes

import llvmlite.binding as llvm
import numpy as np
import pytest

from plait.compile.llvm.assemble import assemble
from plait.compile.llvm.emit import emit
from plait.compile.llvm.target import host


@pytest.fixture
def run_kernel():
    """Return `run(kernel, arrays)`, which writes into the arrays."""
    engines = []

    def run(kernel, arrays):
        code = assemble(emit(kernel, host()), host())
        module = llvm.parse_assembly(f'target triple = "{host().triple}"')
        machine = llvm.Target.from_triple(host().triple).create_target_machine()
        engine = llvm.create_mcjit_compiler(module, machine)
        engines.append(engine)
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        kind = ctypes.CFUNCTYPE(
            None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p
        )
        function = kind(engine.get_function_address("kernel"))
        pointers = (ctypes.c_void_p * len(arrays))(*(a.ctypes.data for a in arrays))
        size = sum(-(-b.size * b.dtype.itemsize // 64) * 64 for b in kernel.scratch)
        scratch = np.full(size + 64, 0xAB, np.uint8)
        start = scratch.ctypes.data + -scratch.ctypes.data % 64
        function(pointers, 0, kernel.chunks, start)

    return run

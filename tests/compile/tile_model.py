"""Tile instructions in software: the code of kernels with tiles runs anywhere.

`modelled` puts functions in plain LLVM IR in the place of the instructions. They do
what the manual says (Intel 64 and IA-32 Architectures Software Developer's Manual,
volume 2: LDTILECFG, TILELOADD, TILESTORED, TILEZERO, TILERELEASE, TDPBF16PS): products
are added up from zero, first and second numbers of pairs apart, rounded to nearest
after each; then both to one another and to the tile. Denormals, in and out, are zeros.
What the processor would refuse is counted instead.

Read first: `modelled`, `run`.
"""

import ctypes
import dataclasses

import llvmlite.binding as llvm
import numpy as np

from plait.compile.llvm.assemble import assemble
from plait.compile.llvm.emit import emit
from plait.compile.llvm.target import host, named

_NAMES = (
    "ldtilecfg", "tilerelease", "tilezero", "tileloadd64", "tilestored64", "tdpbf16ps",
)  # fmt: skip

_MODEL = """
@config = internal global [64 x i8] zeroinitializer, align 64
@data = internal global [8 x [16 x <16 x i32>]] zeroinitializer, align 64
@faults = global i64 0

define internal void @fault(i1 %wrong) {
  %one = zext i1 %wrong to i64
  %old = load i64, ptr @faults
  %new = add i64 %old, %one
  store i64 %new, ptr @faults
  ret void
}

define internal i64 @rows(i8 %tile) {
  %n = zext i8 %tile to i64
  %at = getelementptr [64 x i8], ptr @config, i64 0, i64 48
  %place = getelementptr i8, ptr %at, i64 %n
  %rows = load i8, ptr %place
  %palette = load i8, ptr @config
  %none = icmp eq i8 %palette, 0
  %many = icmp ugt i8 %rows, 16
  %empty = icmp eq i8 %rows, 0
  call void @fault(i1 %none)
  call void @fault(i1 %many)
  call void @fault(i1 %empty)
  %wide = zext i8 %rows to i64
  ret i64 %wide
}

define internal i64 @columns(i8 %tile) {
  %n = zext i8 %tile to i64
  %at = getelementptr [64 x i8], ptr @config, i64 0, i64 16
  %place = getelementptr i16, ptr %at, i64 %n
  %bytes = load i16, ptr %place
  %many = icmp ugt i16 %bytes, 64
  %empty = icmp eq i16 %bytes, 0
  call void @fault(i1 %many)
  call void @fault(i1 %empty)
  %columns = lshr i16 %bytes, 2
  %wide = zext i16 %columns to i64
  ret i64 %wide
}

define internal ptr @tile(i8 %tile) {
  %n = zext i8 %tile to i64
  %place = getelementptr [8 x [16 x <16 x i32>]], ptr @data, i64 0, i64 %n
  ret ptr %place
}

define internal void @model.ldtilecfg(ptr %from) {
  call void @llvm.memcpy.p0.p0.i64(ptr @config, ptr %from, i64 64, i1 false)
  call void @llvm.memset.p0.i64(ptr @data, i8 0, i64 8192, i1 false)
  ret void
}

define internal void @model.tilerelease() {
  call void @llvm.memset.p0.i64(ptr @config, i8 0, i64 64, i1 false)
  call void @llvm.memset.p0.i64(ptr @data, i8 0, i64 8192, i1 false)
  ret void
}

define internal void @model.tilezero(i8 %tile) {
  %rows = call i64 @rows(i8 %tile)
  %place = call ptr @tile(i8 %tile)
  call void @llvm.memset.p0.i64(ptr %place, i8 0, i64 1024, i1 false)
  ret void
}

define internal void @model.tileloadd64(i8 %tile, ptr %from, i64 %step) {
entry:
  call void @model.tilezero(i8 %tile)
  %rows = call i64 @rows(i8 %tile)
  %columns = call i64 @columns(i8 %tile)
  %bytes = shl i64 %columns, 2
  %place = call ptr @tile(i8 %tile)
  br label %row
row:
  %i = phi i64 [ 0, %entry ], [ %i.next, %row ]
  %skip = mul i64 %i, %step
  %source = getelementptr i8, ptr %from, i64 %skip
  %target = getelementptr <16 x i32>, ptr %place, i64 %i
  call void @llvm.memcpy.p0.p0.i64(ptr %target, ptr %source, i64 %bytes, i1 false)
  %i.next = add i64 %i, 1
  %more = icmp ult i64 %i.next, %rows
  br i1 %more, label %row, label %done
done:
  ret void
}

define internal void @model.tilestored64(i8 %tile, ptr %to, i64 %step) {
entry:
  %rows = call i64 @rows(i8 %tile)
  %columns = call i64 @columns(i8 %tile)
  %bytes = shl i64 %columns, 2
  %place = call ptr @tile(i8 %tile)
  br label %row
row:
  %i = phi i64 [ 0, %entry ], [ %i.next, %row ]
  %skip = mul i64 %i, %step
  %target = getelementptr i8, ptr %to, i64 %skip
  %source = getelementptr <16 x i32>, ptr %place, i64 %i
  call void @llvm.memcpy.p0.p0.i64(ptr %target, ptr %source, i64 %bytes, i1 false)
  %i.next = add i64 %i, 1
  %more = icmp ult i64 %i.next, %rows
  br i1 %more, label %row, label %done
done:
  ret void
}

; Zeros, of the same sign, for what is denormal.
define internal <16 x float> @flushed(<16 x float> %x) alwaysinline {
  %size = call <16 x float> @llvm.fabs.v16f32(<16 x float> %x)
  %small = fcmp olt <16 x float> %size, splat (float 0x3810000000000000)
  %zero = call <16 x float> @llvm.copysign.v16f32(
    <16 x float> zeroinitializer, <16 x float> %x)
  %y = select <16 x i1> %small, <16 x float> %zero, <16 x float> %x
  ret <16 x float> %y
}

define internal <16 x float> @first(<16 x i32> %pairs) alwaysinline {
  %bits = shl <16 x i32> %pairs, splat (i32 16)
  %x = bitcast <16 x i32> %bits to <16 x float>
  %y = call <16 x float> @flushed(<16 x float> %x)
  ret <16 x float> %y
}

define internal <16 x float> @second(<16 x i32> %pairs) alwaysinline {
  %bits = and <16 x i32> %pairs, splat (i32 -65536)
  %x = bitcast <16 x i32> %bits to <16 x float>
  %y = call <16 x float> @flushed(<16 x float> %x)
  ret <16 x float> %y
}

define internal <16 x float> @added(<16 x float> %x, <16 x float> %y) alwaysinline {
  %a = call <16 x float> @flushed(<16 x float> %x)
  %b = call <16 x float> @flushed(<16 x float> %y)
  %sum = fadd <16 x float> %a, %b
  %z = call <16 x float> @flushed(<16 x float> %sum)
  ret <16 x float> %z
}

define internal void @model.tdpbf16ps(i8 %total, i8 %left, i8 %right) {
entry:
  %rows = call i64 @rows(i8 %total)
  %left.rows = call i64 @rows(i8 %left)
  %right.rows = call i64 @rows(i8 %right)
  %columns = call i64 @columns(i8 %total)
  %left.columns = call i64 @columns(i8 %left)
  %right.columns = call i64 @columns(i8 %right)
  %unlike.0 = icmp ne i64 %rows, %left.rows
  %unlike.1 = icmp ne i64 %left.columns, %right.rows
  %unlike.2 = icmp ne i64 %columns, %right.columns
  call void @fault(i1 %unlike.0)
  call void @fault(i1 %unlike.1)
  call void @fault(i1 %unlike.2)
  %c = call ptr @tile(i8 %total)
  %a = call ptr @tile(i8 %left)
  %b = call ptr @tile(i8 %right)
  br label %row
row:
  %i = phi i64 [ 0, %entry ], [ %i.next, %done ]
  %a.row = getelementptr <16 x i32>, ptr %a, i64 %i
  br label %step
step:
  %k = phi i64 [ 0, %row ], [ %k.next, %step ]
  %t0 = phi <16 x float> [ zeroinitializer, %row ], [ %t0.next, %step ]
  %t1 = phi <16 x float> [ zeroinitializer, %row ], [ %t1.next, %step ]
  %pair.at = getelementptr i32, ptr %a.row, i64 %k
  %pair = load i32, ptr %pair.at
  %pair.0 = insertelement <16 x i32> poison, i32 %pair, i64 0
  %pairs = shufflevector <16 x i32> %pair.0, <16 x i32> poison,
    <16 x i32> zeroinitializer
  %b.row = getelementptr <16 x i32>, ptr %b, i64 %k
  %others = load <16 x i32>, ptr %b.row
  %x0 = call <16 x float> @first(<16 x i32> %pairs)
  %x1 = call <16 x float> @second(<16 x i32> %pairs)
  %y0 = call <16 x float> @first(<16 x i32> %others)
  %y1 = call <16 x float> @second(<16 x i32> %others)
  %s0 = call <16 x float> @llvm.fma.v16f32(
    <16 x float> %x0, <16 x float> %y0, <16 x float> %t0)
  %s1 = call <16 x float> @llvm.fma.v16f32(
    <16 x float> %x1, <16 x float> %y1, <16 x float> %t1)
  %t0.next = call <16 x float> @flushed(<16 x float> %s0)
  %t1.next = call <16 x float> @flushed(<16 x float> %s1)
  %k.next = add i64 %k, 1
  %more = icmp ult i64 %k.next, %left.columns
  br i1 %more, label %step, label %done
done:
  %sum = call <16 x float> @added(<16 x float> %t0.next, <16 x float> %t1.next)
  %c.row = getelementptr <16 x float>, ptr %c, i64 %i
  %old = load <16 x float>, ptr %c.row
  %new = call <16 x float> @added(<16 x float> %old, <16 x float> %sum)
  store <16 x float> %new, ptr %c.row
  %i.next = add i64 %i, 1
  %again = icmp ult i64 %i.next, %rows
  br i1 %again, label %row, label %end
end:
  ret void
}
"""


def tile_target():
    """Return this machine, as if it had tiles."""
    wide = host() if host().vector_bits == 512 else named("avx512")
    return dataclasses.replace(wide, amx=True)


def modelled(text):
    """Return a module with the tile instructions in software."""
    for name in _NAMES:
        text = text.replace(f"@llvm.x86.{name}(", f"@model.{name}(")
    return text + _MODEL


def run(kernel, arrays):
    """Run a kernel with tiles on arrays, writing into them.

    Raises:
        AssertionError: the processor would have refused an instruction.
    """
    text = modelled(emit(kernel, tile_target()))
    with llvm.parse_assembly(text) as module:
        module.verify()
    here = dataclasses.replace(tile_target(), amx=False)
    code = assemble(text, here)
    empty = llvm.parse_assembly(f'target triple = "{host().triple}"')
    machine = llvm.Target.from_triple(host().triple).create_target_machine()
    engine = llvm.create_mcjit_compiler(empty, machine)
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
    faults = ctypes.c_int64.from_address(engine.get_global_value_address("faults"))
    assert faults.value == 0, f"{faults.value} faults"

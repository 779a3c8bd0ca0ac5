"""Kernels written by hand, and programs of them."""

import numpy as np

from plait.dtypes import float32
from plait.ir.graph import TensorType
from plait.program import Code, Launch, Place, Program, Work
from plait.runtime import host

HEAVY = Work(flops=10**8, nbytes=10**8)
NONE = np.zeros(0, np.uint8)


def vector(n, dtype=float32):
    return TensorType((n,), dtype)


def multiply_add(n, chunks=1, factor=1.0, term=1.0, work=None, scratch=0):
    """Return a kernel that writes x * factor + term into its second buffer.

    With scratch memory, every number takes the way through it.
    """
    size = n // max(chunks, 1)
    place = "%q" if not scratch else "%scratch"
    through = f"""
  store float %s, ptr {place}, align 4
  %t = load float, ptr {place}, align 4
  store float %t, ptr %q, align 4"""
    text = f"""
define void @kernel(ptr %arguments, i64 %start, i64 %stop, ptr %scratch) {{
entry:
  %x = load ptr, ptr %arguments
  %y.at = getelementptr ptr, ptr %arguments, i64 1
  %y = load ptr, ptr %y.at
  %first = mul i64 %start, {size}
  %last = mul i64 %stop, {size}
  br label %look
look:
  %i = phi i64 [ %first, %entry ], [ %next, %body ]
  %more = icmp slt i64 %i, %last
  br i1 %more, label %body, label %out
body:
  %p = getelementptr float, ptr %x, i64 %i
  %v = load float, ptr %p, align 4
  %m = fmul float %v, {factor:e}
  %s = fadd float %m, {term:e}
  %q = getelementptr float, ptr %y, i64 %i
{through}
  %next = add i64 %i, 1
  br label %look
out:
  ret void
}}
"""
    return Code(
        "multiply_add",
        text,
        chunks,
        scratch,
        work or Work(2 * n, 8 * n),
        lambda: host.assemble(text),
    )


def program(
    inputs, outputs, kernels, instructions, arena=0, slots=0, constants=NONE, **rest
):
    """Return a program with as many slots of its own as asked for."""
    slots += len(inputs) + len(outputs) + 2
    return Program(
        inputs, outputs, kernels, instructions, arena, constants, slots, **rest
    )


def one_launch(code, n, **rest):
    """Return the program that runs a kernel once from its input to its output."""
    launch = Launch(0, (Place(0), Place(1)))
    return program([vector(n)], [vector(n)], [code], [launch], **rest)

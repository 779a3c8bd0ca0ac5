"""Finds the memory of the arrays in a list, natively.

    bind(frame)    puts where the inputs' memory begins into their slots
    gather         the same for the outputs, which are known to be right

Asking Python for the type, the shape, the strides and the address of an array takes
half a microsecond; a training step has hundreds of arrays. So the objects are read
where they lie, by the layout that CPython and NumPy have published and kept for
decades: `PyObject`, `PyListObject` (CPython, Include/cpython/listobject.h) and
`PyArrayObject_fields` (NumPy, numpy/ndarraytypes.h). Where that is not so (PyPy,
CPython without GIL), `Runner` asks in Python.

Read first: `text`, `possible`.
"""

from __future__ import annotations

import sys
from typing import Any

from . import machine
from .words import pointer, word

# Offsets in bytes from the beginning of an object.
_HEAD = object.__basicsize__
_TYPE = _HEAD - 8
_ITEMS = _HEAD + 8  # of a list: after the number of items
_DATA, _NDIM, _DIMENSIONS = _HEAD, _HEAD + 8, _HEAD + 16
_BASE, _DESCR, _FLAGS = _HEAD + 32, _HEAD + 40, _HEAD + 48

_C_CONTIGUOUS, _OWNDATA, _WRITEABLE = 0x1, 0x4, 0x400

# Words of the record of an input; the sizes of its axes follow. `GIVEN` is the word of
# the frame that becomes 1 if nobody but the list holds the array, or 0 to not ask.
DESCR, GIVEN, NDIM, DIMENSIONS = range(4)


def possible() -> bool:
    """Return whether this interpreter is one whose objects can be read."""
    with_gil: Any = getattr(sys, "_is_gil_enabled", lambda: True)
    return sys.implementation.name == "cpython" and with_gil() and _HEAD == 16


def _field(name: str, object: str, offset: int, type: str) -> str:
    """Load a field of an object."""
    return (
        f"  %{name}.at = getelementptr i8, ptr %{object}, i64 {offset}\n"
        f"  %{name} = load {type}, ptr %{name}.at"
    )


def text() -> str:
    """Return the functions in LLVM IR."""
    return _bind() + _ALONE + _GATHER


def _bind() -> str:
    """Go through the inputs from `NEXT` on; return -1, or the first that is not as
    its record says.
    """
    return f"""
define i64 @bind(ptr %frame) {{
entry:
{word("list", "frame", machine.INPUTS, "ptr")}
{word("first", "frame", machine.NEXT)}
{word("records", "frame", machine.TYPES, "ptr")}
{word("count", "frame", machine.INPUT_COUNT)}
{word("array.type", "frame", machine.ARRAY_TYPE)}
{pointer("slots", "frame", machine.SLOTS)}
{_field("items", "list", _ITEMS, "ptr")}
  br label %look
look:
  %i = phi i64 [ %first, %entry ], [ %i.next, %bound ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %check, label %fine
check:
  %item.at = getelementptr ptr, ptr %items, i64 %i
  %item = load ptr, ptr %item.at
  %record.at = getelementptr ptr, ptr %records, i64 %i
  %record = load ptr, ptr %record.at
{_field("type", "item", _TYPE, "ptr")}
  %type.word = ptrtoint ptr %type to i64
  %is.array = icmp eq i64 %type.word, %array.type
  br i1 %is.array, label %check.fields, label %other
check.fields:
{_field("descr", "item", _DESCR, "i64")}
{_field("ndim", "item", _NDIM, "i32")}
{_field("dimensions", "item", _DIMENSIONS, "ptr")}
{_field("flags", "item", _FLAGS, "i32")}
{word("descr.wanted", "record", DESCR)}
{word("ndim.wanted", "record", NDIM)}
  %ndim.wide = sext i32 %ndim to i64
  %descr.same = icmp eq i64 %descr, %descr.wanted
  %ndim.same = icmp eq i64 %ndim.wide, %ndim.wanted
  %contiguous.bit = and i32 %flags, {_C_CONTIGUOUS}
  %contiguous = icmp ne i32 %contiguous.bit, 0
  %good.0 = and i1 %descr.same, %ndim.same
  %good = and i1 %good.0, %contiguous
  br i1 %good, label %axes, label %other
axes:
  %axis = phi i64 [ 0, %check.fields ], [ %axis.next, %axis.check ]
  %axes.left = icmp slt i64 %axis, %ndim.wanted
  br i1 %axes.left, label %axis.check, label %take
axis.check:
  %size.at = getelementptr i64, ptr %dimensions, i64 %axis
  %size = load i64, ptr %size.at
  %wanted.place = getelementptr i64, ptr %record, i64 %axis
{word("wanted", "wanted.place", DIMENSIONS)}
  %axis.next = add i64 %axis, 1
  %same = icmp eq i64 %size, %wanted
  br i1 %same, label %axes, label %other
take:
{_field("data", "item", _DATA, "ptr")}
  %slot = getelementptr ptr, ptr %slots, i64 %i
  store ptr %data, ptr %slot
{word("given", "record", GIVEN)}
  %ask = icmp ne i64 %given, 0
  br i1 %ask, label %asked, label %kept
asked:
  %alone = call i64 @alone(ptr %frame, ptr %item, i32 1, i32 {_WRITEABLE})
  %given.place = getelementptr i64, ptr %frame, i64 %given
  store i64 %alone, ptr %given.place
  %is.given = icmp ne i64 %alone, 0
  br i1 %is.given, label %bound, label %kept
kept:
  ; The list holds it, and a tensor that nobody changes.
  %own = call i64 @alone(ptr %frame, ptr %item, i32 2, i32 0)
  %is.own = icmp ne i64 %own, 0
  br i1 %is.own, label %bound, label %open
open:
{pointer("shared.memory", "frame", machine.SHARED_MEMORY)}
  store i64 1, ptr %shared.memory
  br label %bound
bound:
  %i.next = add i64 %i, 1
  br label %look
fine:
  ret i64 -1
other:
  ret i64 %i
}}
"""


# Whether memory is known to a few alone: no more than `most` hold the array, and nobody
# but the array that below it, down to the owner of the memory, and all have the flags
# `needed`. With 1 and `WRITEABLE`, a list that holds the array may overwrite it. Views,
# memoryviews and DLPack capsules of an array hold the array. Memory that others lent to
# NumPy ends in a base that is neither an array nor a block of ours: 0.
_ALONE = f"""
define internal i64 @alone(ptr %frame, ptr %array, i32 %most, i32 %needed) {{
entry:
{word("array.type", "frame", machine.ARRAY_TYPE)}
{word("block.type", "frame", machine.BLOCK_TYPE)}
  br label %look
look:
  %held = phi ptr [ %array, %entry ], [ %base, %deeper ]
  %holders = phi i32 [ %most, %entry ], [ 1, %deeper ]
  %references = load i32, ptr %held
  %few = icmp ule i32 %references, %holders
  br i1 %few, label %kind, label %no
kind:
{_field("type", "held", _TYPE, "ptr")}
  %type.word = ptrtoint ptr %type to i64
  %is.array = icmp eq i64 %type.word, %array.type
  br i1 %is.array, label %array.flags, label %block
array.flags:
{_field("flags", "held", _FLAGS, "i32")}
  %there = and i32 %flags, %needed
  %fit = icmp eq i32 %there, %needed
  br i1 %fit, label %owner, label %no
owner:
{_field("base", "held", _BASE, "ptr")}
  %is.last = icmp eq ptr %base, null
  br i1 %is.last, label %last, label %deeper
deeper:
  br label %look
last:
  %own.bit = and i32 %flags, {_OWNDATA}
  %own = icmp ne i32 %own.bit, 0
  br i1 %own, label %yes, label %no
block:
{_field("meta", "type", _TYPE, "i64")}
  %is.block = icmp eq i64 %meta, %block.type
  br i1 %is.block, label %yes, label %no
yes:
  ret i64 1
no:
  ret i64 0
}}
"""

_GATHER = f"""
define internal void @gather(ptr %frame) {{
entry:
{word("list", "frame", machine.OUTPUTS, "ptr")}
{word("first", "frame", machine.FIRST_OUTPUT)}
{word("count", "frame", machine.COUNT)}
{pointer("slots", "frame", machine.SLOTS)}
{_field("items", "list", _ITEMS, "ptr")}
  %targets = getelementptr ptr, ptr %slots, i64 %first
  br label %look
look:
  %i = phi i64 [ 0, %entry ], [ %i.next, %take ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %take, label %out
take:
  %item.at = getelementptr ptr, ptr %items, i64 %i
  %item = load ptr, ptr %item.at
{_field("data", "item", _DATA, "ptr")}
  %target = getelementptr ptr, ptr %targets, i64 %i
  store ptr %data, ptr %target
  %i.next = add i64 %i, 1
  br label %look
out:
  ret void
}}
"""

"""Memory for arrays: aligned blocks that are used again.

Large arrays lie in *blocks*, which go to a list of free ones when the last array that
uses them dies, and come from there. A block that is used again is in the caches and
mapped; getting memory from the system costs more than most arithmetic. What lies free
is bounded; beyond that, blocks are given back. Small arrays are NumPy's own, which
keeps some of them too, and is faster there.

Read first: `empty`, `Block`.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from typing import Any, NamedTuple

import numpy as np

# Arrays of fewer bytes are NumPy's.
SMALL = 1 << 15
# Free blocks may have as many bytes together.
FREE_LIMIT = 1 << 30
# Blocks of at least this size begin at a multiple of a page.
_PAGED = 1 << 20
_ALIGNMENT, _PAGE = 64, 4096


class BlockType(type(ctypes.Array)):  # type: ignore[misc]
    """The type of all types of blocks; by it, `binding` knows that memory is ours."""


class _Heap:
    """All blocks of the process."""

    def __init__(self) -> None:
        self.types: dict[int, Any] = {}  # capacity -> type of its blocks
        self.free: dict[int, list[int]] = {}  # capacity -> addresses
        self.owners: dict[int, np.ndarray] = {}  # address -> what holds the memory
        self.used = self.peak = self.idle = 0
        self.forked()

    def forked(self) -> None:
        # Re-entrant: collecting garbage may let a block die while it is held.
        self.lock = threading.RLock()


_heap = _Heap()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _heap.lock.acquire(),
        after_in_parent=lambda: _heap.lock.release(),
        after_in_child=_heap.forked,
    )


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Return a C-contiguous array with unknown values.

    Large ones lie in a block: their `base` is it, and views hold on to it.
    """
    nbytes = dtype.itemsize
    for n in shape:
        nbytes *= n
    if nbytes < SMALL:
        return _empty(shape, dtype)
    return _array(shape, dtype, take(nbytes))


_empty, _array = np.empty, np.ndarray


def take(nbytes: int) -> Any:
    """Return a block of at least `nbytes`, which is free again when it dies."""
    capacity = _capacity(nbytes)
    heap = _heap
    with heap.lock:
        free = heap.free.get(capacity)
        if free:
            address = free.pop()
            heap.idle -= capacity
        else:
            address = _new(capacity)
        heap.used += capacity
        if heap.used > heap.peak:
            heap.peak = heap.used
        return heap.types[capacity].from_address(address)


def _capacity(nbytes: int) -> int:
    """Return the size of the block that so many bytes are put into."""
    step = 1 << max(nbytes.bit_length() - 3, 10)
    return (nbytes + step - 1) // step * step or step


def allocated(nbytes: int) -> int:
    """Return how many bytes an array of `nbytes` takes."""
    return nbytes if nbytes < SMALL else _capacity(nbytes)


def _new(capacity: int) -> int:
    """Get memory from the system. NumPy asks for huge pages where that is good."""
    heap = _heap
    alignment = _PAGE if capacity >= _PAGED else _ALIGNMENT
    if heap.idle and heap.used + heap.idle > FREE_LIMIT:
        trim(FREE_LIMIT // 2)
    owner = np.empty(capacity + alignment, np.uint8)
    address = int(owner.ctypes.data)
    address += -address % alignment
    if capacity not in heap.types:
        body = {
            "_type_": ctypes.c_char,
            "_length_": capacity,
            "__del__": _died,
            "__slots__": (),
        }
        heap.types[capacity] = BlockType("Block", (ctypes.Array,), body)
        heap.free[capacity] = []
    heap.owners[address] = owner
    return address


def _died(
    block: Any,
    heap: _Heap = _heap,
    addressof: Any = ctypes.addressof,
    limit: int = FREE_LIMIT,
) -> None:
    # What it needs is in its defaults: modules are emptied when the interpreter exits.
    capacity, address = block._length_, addressof(block)
    with heap.lock:
        heap.used -= capacity
        if heap.idle + capacity > limit:
            del heap.owners[address]
        else:
            heap.idle += capacity
            heap.free[capacity].append(address)


def is_own(array: np.ndarray) -> bool:
    """Return whether the memory of an array is its own, or a block of ours.

    Others may write into memory that they have lent.
    """
    base = array.base
    return array.flags.owndata if base is None else isinstance(type(base), BlockType)


def trim(limit: int = 0) -> None:
    """Give free blocks back to the system until `limit` bytes are left."""
    heap = _heap
    with heap.lock:
        for capacity in sorted(heap.free, reverse=True):
            free = heap.free[capacity]
            while free and heap.idle > limit:
                heap.idle -= capacity
                del heap.owners[free.pop(0)]


class Usage(NamedTuple):
    """Bytes of blocks.

    Attributes:
        used: in use now.
        peak: most ever in use at once, since `reset_peak`.
        free: kept to be used again.
    """

    used: int
    peak: int
    free: int


def usage() -> Usage:
    """Return how much memory blocks take."""
    with _heap.lock:
        return Usage(_heap.used, _heap.peak, _heap.idle)


def reset_peak() -> None:
    """Forget how much was in use before now."""
    with _heap.lock:
        _heap.peak = _heap.used


def address(array: np.ndarray) -> int:
    """Return where the memory of an array begins.

    Where NumPy keeps it, it is read from the array, which takes 90 ns; asking for
    `array.ctypes.data` or `__array_interface__` takes 830 (2026-11).
    """
    if READABLE:
        return _word_at(id(array) + _HEAD).value or 0
    return int(array.ctypes.data)


_HEAD = object.__basicsize__
_word_at = ctypes.c_void_p.from_address


def _readable() -> bool:
    if sys.implementation.name != "cpython":
        return False
    array = np.arange(8)[3:]
    return _word_at(id(array) + _HEAD).value == array.ctypes.data


READABLE = _readable()

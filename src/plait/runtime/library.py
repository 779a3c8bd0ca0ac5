"""Object code in memory: from bytes to the address of a function.

All objects of the process are loaded by one LLVM JIT, each as a library of its own, so
that all of them may call their function "kernel". (20 objects take 2.4 ms this way, and
24 ms with one MCJIT engine each, which is the older way of LLVM; 2026-11.)

Read first: `Library`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache
from typing import Any

from . import host

_number = itertools.count()


@cache
def _loader() -> Any:
    """Return the JIT that all libraries are loaded into; it is never disposed of."""
    # JITLink puts a whole object into one piece of memory. LLVM's older linker takes
    # one for code and one for constants, and ends the process if they come to lie more
    # than 2 GiB apart, as they may beside large arrays.
    return host.llvm().create_lljit_compiler(host.target_machine(), use_jit_link=True)


class Library:
    """Object code that is loaded as long as this object lives.

    Args:
        data: an object file.
        names: functions in it.

    Attributes:
        addresses: where each of them begins.
    """

    __slots__ = ("__weakref__", "_tracker", "addresses")

    def __init__(self, data: bytes, names: Sequence[str] = ("kernel",)) -> None:
        with host.lock:
            builder = host.llvm().JITLibraryBuilder()
            builder.add_object_img(data).add_current_process()  # memcpy, memset
            for name in names:
                builder.export_symbol(name)
            # Unloads the code when it dies, but not while the interpreter exits.
            self._tracker = builder.link(_loader(), f"plait{next(_number)}")
            self.addresses = {name: int(self._tracker[name]) for name in names}

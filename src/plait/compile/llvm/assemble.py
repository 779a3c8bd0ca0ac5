"""From LLVM's text to machine code: an object file in memory, or assembly to read.

The text is good code as it comes from `emit`, so no passes run but those of code
generation. Read first: `assemble`.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

from .target import Target, library

_lock = threading.Lock()


@functools.cache
def _everything_ready() -> None:
    llvm = library()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


@functools.cache
def machine(target: Target) -> Any:
    """Return LLVM's code generator for a target."""
    _everything_ready()
    llvm = library()
    kind = llvm.Target.from_triple(target.triple)
    # Code is loaded anywhere, with its constants near to it.
    return kind.create_target_machine(
        target.cpu, target.features, opt=2, reloc="pic", codemodel="small"
    )


def assemble(text: str, target: Target) -> bytes:
    """Return the object file of a module in LLVM's text."""
    with _lock:
        generator = machine(target)
        with library().parse_assembly(text) as module:
            code: bytes = generator.emit_object(module)
    return code


def assembly(text: str, target: Target) -> str:
    """Return the machine code of a module in LLVM's text, as assembly."""
    with _lock:
        generator = machine(target)
        with library().parse_assembly(text) as module:
            code: str = generator.emit_assembly(module)
    return code

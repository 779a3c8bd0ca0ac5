"""From LLVM's text to machine code: an object file in memory, or assembly to read.

The text is good code as it comes from `emit`, so no passes run but those of code
generation. Read first: `assemble`.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
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
    # What is movable is loaded anywhere, with its constants near to it.
    return kind.create_target_machine(
        target.cpu,
        target.features,
        opt=2,
        reloc="pic" if target.movable else "static",
        codemodel="small",
    )


@contextlib.contextmanager
def _generator(target: Target) -> Iterator[Any]:
    """Yield the code generator, without what is of no use to such text.

    What addresses are made of stands outside of loops already. LLVM's search for better
    forms took a third of its time, for none that were faster; and in WebAssembly they
    keep constants out of addresses, as nobody knows that they do not wrap around.
    Others in this process that use LLVM shall have it, so it is off for a moment only.
    """
    llvm = library()
    with _lock:
        llvm.set_option("plait", "-disable-lsr=true")
        try:
            yield machine(target)
        finally:
            llvm.set_option("plait", "-disable-lsr=false")


def assemble(text: str, target: Target, variables: bool = False) -> bytes:
    """Return the object file of a module in LLVM's text.

    Args:
        variables: functions have variables in memory, which shall become registers.
    """
    with _generator(target) as generator, library().parse_assembly(text) as module:
        if variables:
            _promote(module, generator)
        code: bytes = generator.emit_object(module)
    return code


def _promote(module: Any, generator: Any) -> None:
    llvm = library()
    options = llvm.create_pipeline_tuning_options(speed_level=0)
    with (
        llvm.create_pass_builder(generator, options) as builder,
        llvm.create_new_module_pass_manager() as passes,
    ):
        passes.add_sroa_pass()
        passes.add_simplify_cfg_pass()
        passes.run(module, builder)


def assembly(text: str, target: Target) -> str:
    """Return the machine code of a module in LLVM's text, as assembly."""
    with _generator(target) as generator, library().parse_assembly(text) as module:
        code: str = generator.emit_assembly(module)
    return code

"""This machine as LLVM sees it, and text to object code for it.

llvmlite is imported when it is first needed: `import plait` must not pay for it.

Read first: `assemble`, `description`.
"""

from __future__ import annotations

import os
import threading
from functools import cache
from typing import Any

from ..errors import MissingExtraError, optional

# LLVM is entered by one thread at a time. It is also held during a fork, so that no
# child begins with LLVM in the middle of something.
lock = threading.RLock()


@cache
def llvm() -> Any:
    """Return `llvmlite.binding`, initialised for this machine."""
    binding = optional("llvmlite.binding", "compile", "run compiled programs")
    with lock:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
    return binding


@cache
def architecture() -> str:
    """Return "x86_64" or "aarch64", or what else LLVM calls this machine's kind."""
    first = str(llvm().get_process_triple()).split("-")[0]
    return {"arm64": "aarch64", "amd64": "x86_64"}.get(first, first)


@cache
def description() -> str:
    """Return all that object code for this machine depends on, as text."""
    binding = llvm()
    version = ".".join(map(str, binding.llvm_version_info))
    features = binding.get_host_cpu_features().flatten()
    triple, name = binding.get_process_triple(), binding.get_host_cpu_name()
    return f"llvm {version}; {triple}; {name}; {features}"


@cache
def unavailable() -> str:
    """Return why compiled programs cannot run here, or "" if they can."""
    try:
        found = architecture()
        description()
    except MissingExtraError as error:
        return error.message
    except Exception as error:  # whatever LLVM has against this machine
        return f"LLVM does not work here: {error}"
    if found not in ("x86_64", "aarch64"):
        return f"there is no native runtime for {found} processors"
    return ""


def target_machine() -> Any:
    """Return a new LLVM target machine for this machine."""
    binding = llvm()
    target = binding.Target.from_triple(binding.get_process_triple())
    return target.create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=2,
        reloc="pic",
        codemodel="default",
    )


def assemble(text: str) -> bytes:
    """Return the object code of a module of LLVM IR."""
    binding = llvm()
    with lock:
        module = binding.parse_assembly(text)
        module.verify()
        return bytes(target_machine().emit_object(module))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
    )

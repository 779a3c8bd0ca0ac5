"""The machines that code is made for, and what each of them can do.

Knows nothing of kernels. Read first: `Target`, `named`, `host`.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
from dataclasses import dataclass, field
from typing import Any

from ...dtypes import DType
from ...errors import ArgumentError, optional


def library() -> Any:
    """Return llvmlite's binding of LLVM, or say what to install."""
    return optional("llvmlite.binding", "compile", "make machine code")


@dataclass(frozen=True)
class Target:
    """A kind of machine.

    Attributes:
        name: "sse4", "avx2", "avx512", "avx512bf16", "amx", "neon", "wasm",
            "wasm-relaxed" or "host".
        triple, cpu, features: as LLVM spells them.
        vector_bits: width of one vector register.
        vector_registers: how many there are.
        fma: has a fused multiply-add of float32 and float64.
        masked: widths of elements, in bits, whose vectors it loads and stores where a
            mask is set.
        half: converts vectors between float16 and float32.
        bf16_dot: has the instruction behind `dot_pairs`.
        amx: multiplies tiles of bfloat16 and int8. A process must ask Linux before it
            runs such code, see `may_use_tiles`.
        nan_minimum: its minimum and maximum of floats give nan if either is nan.
        relaxed: its multiply-add of vectors rounds once or twice, as whoever runs it
            chooses.
        address_bits: width of an address, and of what addresses are worked out in.
        movable: code is loaded at any address; else addresses are known early.
        compact: code is small rather than fit for every size: it is downloaded.
        keeps_constants: vectors of constants are worth a register each while a loop
            runs: where they are used, they would be put together anew.
        alone: programs run where there is no Python that could do a part of them.
        finer: it runs so many times more chunks at once than processors do.
        workgroup: bytes of scratch memory that the lanes of a chunk share, where these
            are invocations of a workgroup; 0 where they are not.
    """

    name: str
    triple: str
    cpu: str
    features: str = ""
    vector_bits: int = 128
    vector_registers: int = 16
    fma: bool = False
    masked: frozenset[int] = field(default=frozenset())
    half: bool = False
    bf16_dot: bool = False
    amx: bool = False
    nan_minimum: bool = False
    relaxed: bool = False
    address_bits: int = 64
    movable: bool = True
    compact: bool = False
    alone: bool = False
    keeps_constants: bool = False
    finer: int = 1
    workgroup: int = 0

    @property
    def index_type(self) -> str:
        """The integer, in LLVM's words, that counts chunks and steps of loops."""
        return f"i{self.address_bits}"

    def lanes(self, dtype: DType) -> int:
        """Return how many elements of `dtype`, as in memory, one register holds."""
        return self.vector_bits // (8 * dtype.itemsize)

    @property
    def is_x86(self) -> bool:
        """Whether it is an x86 processor with 64-bit addresses."""
        return self.triple.startswith("x86_64")

    @property
    def fetches(self) -> bool:
        """Whether memory can be asked for before it is read."""
        return not self.triple.startswith("wasm")

    @property
    def runs(self) -> bool:
        """Whether this process can run code for it."""
        here = host()
        return (
            self.triple.split("-")[0] == here.triple.split("-")[0]
            and self.vector_bits <= here.vector_bits
            and self.bf16_dot <= here.bf16_dot
            and self.amx <= here.amx
        )

    @functools.cached_property
    def key(self) -> str:
        """What code for this target depends on, with the versions of its maker."""
        llvm = library()
        version = ".".join(map(str, llvm.llvm_version_info))
        parts = (
            *(self.triple, self.cpu, self.features, self.vector_bits),
            *(self.fma, sorted(self.masked), self.half, self.bf16_dot, self.amx),
            *(self.relaxed, self.address_bits, self.movable, self.compact),
            *(self.keeps_constants, self.nan_minimum),
            *(optional("llvmlite", "compile", "name a target").__version__, version),
        )
        return "|".join(map(str, parts))


_X86 = "x86_64-unknown-linux-gnu"
_WIDE = "-prefer-256-bit"  # else 512-bit vectors may be split in two
_ALL_WIDTHS = frozenset({8, 16, 32, 64})
_WORDS = frozenset({32, 64})

_TABLE = (
    Target("sse4", _X86, "x86-64-v2"),
    Target(
        "avx2", _X86, "x86-64-v3", vector_bits=256, fma=True, masked=_WORDS, half=True
    ),
    *(
        Target(
            name,
            _X86,
            "x86-64-v4",
            ",".join((_WIDE, *features)),
            vector_bits=512,
            vector_registers=32,
            fma=True,
            masked=_ALL_WIDTHS,
            half=True,
            bf16_dot="+avx512bf16" in features,
            amx="+amx-bf16" in features,
        )
        for name, features in (
            ("avx512", ()),
            ("avx512bf16", ("+avx512bf16",)),
            ("amx", ("+avx512bf16", "+amx-tile", "+amx-bf16", "+amx-int8")),
        )
    ),
    Target(
        "neon",
        "aarch64-unknown-linux-gnu",
        "generic",
        "+neon",
        vector_registers=32,
        fma=True,
        half=True,
        nan_minimum=True,
    ),
    *(
        Target(
            name,
            "wasm32-unknown-unknown",
            "generic",
            ",".join(features),
            # Sixteen are what x86 has; engines need some of them for themselves.
            vector_registers=12,
            relaxed="+relaxed-simd" in features,
            address_bits=32,
            movable=False,
            compact=True,
            alone=True,
            keeps_constants=True,
        )
        for name, features in (
            ("wasm", ("+simd128",)),
            ("wasm-relaxed", ("+simd128", "+relaxed-simd")),
        )
    ),
)
# The number of Linux's system call on x86-64, what is asked for, and of what state.
_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA = 158, 0x1023, 18
NAMES = (*(target.name for target in _TABLE), "host")


def named(name: str) -> Target:
    """Return a target by its name.

    Raises:
        ArgumentError: there is none of this name.
    """
    if name == "host":
        return host()
    for target in _TABLE:
        if target.name == name:
            return target
    raise ArgumentError(
        "[target] not a target that plait makes code for",
        got=repr(name),
        expected=f"one of {', '.join(NAMES)}",
    )


@functools.cache
def may_use_tiles() -> bool:
    """Ask Linux to let this process use the tile registers; return whether it may.

    They are so large that the system saves them for those who asked only. The answer
    holds for all threads, those begun before too, and for processes that are forked.

    Source: Linux, Documentation/arch/x86/xstate.rst.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    call = ctypes.CDLL(None).syscall
    call.restype = ctypes.c_long
    numbers = (_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA)
    return bool(call(*map(ctypes.c_long, numbers)) == 0)


@functools.cache
def host() -> Target:
    """Return the machine that this process runs on.

    The features are asked of the processor: its name, which virtual machines may
    report wrongly, only chooses the costs of instructions.

    Raises:
        ArgumentError: it is neither x86-64 with SSE4.2 nor AArch64.
    """
    llvm = library()
    triple = llvm.get_process_triple()
    known = llvm.get_host_cpu_features()
    has = {name for name, there in known.items() if there}
    if triple.startswith("x86_64") and "sse4.2" in has:
        wide = {"avx512f", "avx512vl", "avx512bw", "avx512dq"} <= has
        fast = {"avx2", "fma", "f16c"} <= has
        like = named("avx512" if wide else "avx2" if fast else "sse4")
    elif triple.startswith(("aarch64", "arm64")):
        wide = False
        like = named("neon")
    else:
        raise ArgumentError(
            "[target] plait makes no code for this processor",
            got=f"{triple} ({platform.machine()})",
            expected="x86-64 with SSE4.2, or AArch64",
        )
    features = known.flatten() if has else like.features
    return Target(
        "host",
        triple,
        llvm.get_host_cpu_name(),
        f"{features},{_WIDE}" if wide else features,
        like.vector_bits,
        like.vector_registers,
        like.fma,
        like.masked,
        like.half,
        bf16_dot=wide and "avx512bf16" in has,
        amx=wide and {"amx-tile", "amx-bf16", "amx-int8"} <= has and may_use_tiles(),
        nan_minimum=like.nan_minimum,
    )

"""What the machine is, and the most that it can do: multiplications and bytes a second.

usage: python benchmarks/machine.py

Read first: `describe`, `limits`, `Others`.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
from processes import cores

try:
    from llvmlite import binding as llvm
except ImportError:
    llvm = None

CHAINS = 12  # as many as latency times ports of any processor so far, and more
INTERESTING = (
    "avx2", "fma", "avx512f", "avx512bf16", "amx-bf16", "neon", "sve", "bf16",
)  # fmt: skip


def describe() -> dict[str, Any]:
    """Return the processor, its vectors, and the system."""
    return {
        "processor": processor(),
        "features": [name for name in INTERESTING if features().get(name)],
        "cores": len(cores(1 << 10)) or os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def processor() -> str:
    """Return the name that the system gives the processor."""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def features() -> dict[str, bool]:
    """Return the processor's features with LLVM's names."""
    return dict(llvm.get_host_cpu_features()) if llvm else {}


def limits(threads: int, seconds: float = 1.0) -> dict[str, float]:
    """Return the highest rates seen: GFLOP/s of float32 and bfloat16, GB/s of copies.

    `copy` is of large arrays; `copy in cache` of arrays as large as those of the
    elementwise benchmarks, which the last cache may hold in part.

    Args:
        threads: how many work at once.
        seconds: how long each rate is looked for; large arrays only if that is long.
    """
    found = {
        "float32": _peak(threads, "float32", seconds),
        "bfloat16": _peak(threads, "bfloat16", seconds),
        "copy": _copy(threads, 1 << 26, seconds) if seconds > 0.1 else 0.0,
        "copy in cache": _copy(threads, 1 << 22, seconds),
    }
    return {name: rate for name, rate in found.items() if rate}


class Others:
    """How much of the processor's time processes other than ours and our children took.

    Children count when they have ended. Linux only (proc(5), /proc/stat).

    Args:
        running: returns the seconds of children that have not ended.
    """

    def __init__(self, running: Callable[[], float] = lambda: 0.0) -> None:
        self.running = running
        self.start = self.now()

    def now(self) -> tuple[float, float, float]:
        """Return seconds of all cores, of those the busy ones, and of ours."""
        ours = sum(os.times()[:4]) + self.running()
        with suppress(OSError), open("/proc/stat", encoding="utf-8") as file:
            ticks = [int(word) for word in file.readline().split()[1:9]]
            idle = ticks[3] + ticks[4]  # and waiting for devices
            rate = os.sysconf("SC_CLK_TCK")
            return sum(ticks) / rate, (sum(ticks) - idle) / rate, ours
        return 0.0, 0.0, 0.0

    def share(self) -> float:
        """Return their part of all cores' time since this was made."""
        pairs = zip(self.now(), self.start, strict=True)
        whole, busy, ours = (later - earlier for later, earlier in pairs)
        return max(0.0, (busy - ours) / whole) if whole else 0.0


def _in_threads(
    threads: int, works: Sequence[Callable[[], Any]], seconds: float
) -> float:
    """Return the shortest time in which each of the works is done in its thread."""
    shortest = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        end, rounds = time.perf_counter() + seconds, 0
        while time.perf_counter() < end or rounds < 3:  # the first one warms up
            rounds += 1
            start = time.perf_counter()
            for future in [pool.submit(work) for work in works]:
                future.result()
            shortest = min(shortest, time.perf_counter() - start)
    return shortest


def _copy(threads: int, count: int, seconds: float) -> float:
    """Return GB/s, read and written, of copies of `count` floats by NumPy."""
    source, target = np.ones(count, np.float32), np.zeros(count, np.float32)
    pairs = zip(
        np.array_split(target, threads), np.array_split(source, threads), strict=True
    )
    works = [functools.partial(np.copyto, *pair) for pair in pairs]
    return 2 * source.nbytes / _in_threads(threads, works, seconds) / 1e9


def _kernel(dtype: str) -> tuple[str, int]:
    """Return LLVM IR of `float kernel(i64 times)`, and operations per time; "" if the
    machine has no such instruction.

    Its loop holds independent chains of fused multiplications and additions, one vector
    each, so that nothing but the units' rate limits it.
    """
    known = features()
    lanes = 16 if known.get("avx512f") else 8 if known.get("avx") else 4
    vector = f"<{lanes} x float>"
    if dtype == "bfloat16":
        if not (known.get("avx512bf16") and known.get("avx512f")):
            return "", 0
        pairs = "<32 x bfloat>"
        name = "@llvm.x86.avx512bf16.dpbf16ps.512"
        operation = f"call {vector} {name}({vector} %before, {pairs} %x, {pairs} %x)"
        declare = f"declare {vector} {name}({vector}, {pairs}, {pairs})"
        splat, element, per_chain = pairs, "bfloat", 4 * lanes
    else:
        name = f"@llvm.fma.v{lanes}f32"
        operation = f"call {vector} {name}({vector} %x, {vector} %x, {vector} %before)"
        declare = f"declare {vector} {name}({vector}, {vector}, {vector})"
        splat, element, per_chain = vector, "float", 2 * lanes
    mask = f"<{splat[1:].split()[0]} x i32>"
    chains = range(CHAINS)
    phis = [
        f"  %c{i} = phi {vector} [zeroinitializer, %entry], [%d{i}, %loop]"
        for i in chains
    ]
    steps = [f"  %d{i} = {operation.replace('%before', f'%c{i}')}" for i in chains]
    sums = [
        f"  %s{i + 1} = fadd {vector} {f'%s{i}' if i else '%d0'}, %d{i + 1}"
        for i in range(CHAINS - 1)
    ]
    text = f"""
{declare}
define float @kernel(i64 %times, {element} %value) {{
entry:
  %one = insertelement {splat} zeroinitializer, {element} %value, i32 0
  %x = shufflevector {splat} %one, {splat} %one, {mask} zeroinitializer
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
{chr(10).join(phis)}
{chr(10).join(steps)}
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %times
  br i1 %more, label %loop, label %done
done:
{chr(10).join(sums)}
  %result = extractelement {vector} %s{CHAINS - 1}, i32 0
  ret float %result
}}
define float @begin(i64 %times) {{
  %result = call float @kernel(i64 %times, {element} 1.0)
  ret float %result
}}
"""
    return text, per_chain * CHAINS


def _peak(threads: int, dtype: str, seconds: float) -> float:
    """Return GFLOP/s of a kernel that does nothing else; 0 where it cannot be made."""
    text, operations = _kernel(dtype) if llvm else ("", 0)
    if not text:
        return 0.0
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(text)
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=2,
    )
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    address = engine.get_function_address("begin")
    function = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64)(address)
    times = 1 << 20
    works: list[Callable[[], Any]] = [lambda: function(times)] * threads
    return threads * times * operations / _in_threads(threads, works, seconds) / 1e9


def main() -> None:
    """Print it all."""
    for name, fact in describe().items():
        print(f"{name:<12}{fact}")
    for threads in (1, 2):
        print(
            f"{threads} threads", {k: round(v, 1) for k, v in limits(threads).items()}
        )


if __name__ == "__main__":
    main()

"""Typed settings: one table, read from the environment once, changed by assignment.

Read first: `Settings`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from typing import Any

from .errors import ArgumentError


def _setting(default: Any, environment: str, meaning: str) -> Any:
    return field(default=default, metadata={"env": environment, "meaning": meaning})


@dataclass
class Settings:
    """What can be set, with its environment variable and meaning."""

    show: str = _setting(
        "",
        "PLAIT_SHOW",
        "stages to print as programs are made: graph, simplified, schedule, loops, "
        "llvm, assembly, compile; or all; loops:3 is kernel 3 alone",
    )
    time: bool = _setting(
        False, "PLAIT_TIME", "1: print how long each pass of a compilation takes"
    )
    execution: str = _setting(
        "auto",
        "PLAIT_EXECUTION",
        "how programs run: auto (interpreted first, compiled from the second run on), "
        "interpret, or compile",
    )
    check: bool = _setting(
        False,
        "PLAIT_CHECK",
        "1: run every program interpreted and compiled, and compare the results",
    )
    trace_nonfinite: bool = _setting(
        False,
        "PLAIT_TRACE_NONFINITE",
        "1: when a value that is looked at, or a parameter, becomes nan, or a loss "
        "infinite, stop and name the layer, op and line that were the first to make it",
    )
    matmul_precision: str = _setting(
        "highest",
        "PLAIT_MATMUL_PRECISION",
        "what float32 may be rounded to in products: highest (not at all), high "
        "(16 bits), fast (bfloat16)",
    )
    memory_limit: int = _setting(
        0,
        "PLAIT_MEMORY_LIMIT",
        "MiB that a program may take besides its inputs: values are computed again "
        "rather than kept, where it would take more; 0: as many as it needs",
    )
    max_trace: int = _setting(
        10_000, "PLAIT_MAX_TRACE", "steps after which a trace is run unasked"
    )
    max_steps: int = _setting(
        100_000, "PLAIT_MAX_STEPS", "recorded steps kept before all are forgotten"
    )
    num_threads: int = _setting(
        0, "PLAIT_NUM_THREADS", "threads that run a program; 0: as many as processors"
    )
    cache: str = _setting(
        "auto",
        "PLAIT_CACHE",
        'the folder for what is kept between runs; auto: the platform\'s; "" or off: '
        "keep no compiled code",
    )
    cache_size: int = _setting(
        512, "PLAIT_CACHE_SIZE", "MiB of compiled code that are kept"
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            text = os.environ.get(item.metadata["env"])
            if text is None:
                continue
            try:
                value: Any = text
                if item.type in ("int", "bool"):
                    value = int(text) if item.type == "int" else bool(int(text))
            except ValueError:
                raise ArgumentError(
                    f"the environment variable {item.metadata['env']} must be a number",
                    got=repr(text),
                ) from None
            setattr(self, item.name, value)

    def shows(self, stage: str) -> bool:
        """Return whether `stage` is to be printed."""
        return stage in self._shown() or "all" in self._shown()

    def shown_kernel(self, stage: str) -> int | None:
        """Return the number of the one kernel that `stage` is printed of, or None."""
        number = self._shown().get(stage, "")
        return int(number) if number.isdecimal() else None

    def _shown(self) -> dict[str, str]:
        """Return what stands after the colon for each stage to be printed."""
        names = self.show.replace(" ", "").split(",")
        return {stage: rest for stage, _, rest in (x.partition(":") for x in names)}


settings = Settings()

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
        "", "PLAIT_SHOW", "stages to print as programs are made: graph, simplified"
    )
    max_trace: int = _setting(
        10_000, "PLAIT_MAX_TRACE", "steps after which a trace is run unasked"
    )
    max_steps: int = _setting(
        100_000, "PLAIT_MAX_STEPS", "recorded steps kept before all are forgotten"
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            text = os.environ.get(item.metadata["env"])
            if text is None:
                continue
            try:
                value: Any = int(text) if item.type == "int" else text
            except ValueError:
                raise ArgumentError(
                    f"the environment variable {item.metadata['env']} must be a number",
                    got=repr(text),
                ) from None
            setattr(self, item.name, value)

    def shows(self, stage: str) -> bool:
        """Return whether `stage` is to be printed."""
        names = self.show.replace(" ", "").split(",")
        return stage in names or "all" in names


settings = Settings()

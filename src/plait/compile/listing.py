"""Compiled programs as text, one language for each stage of the compiler.

Read first: `STAGES`, `listing`.
"""

from __future__ import annotations

from ..errors import ArgumentError
from ..program import Program
from .schedule.text import to_text

# What a program can be shown as: which kernel runs when; each kernel in Loop IR, in
# LLVM IR, and as machine code.
STAGES = ("schedule", "loops", "llvm", "assembly")


def listing(program: Program, stage: str, kernel: int | None = None) -> str:
    """Return a program in the language of a stage.

    Args:
        stage: one of `STAGES`.
        kernel: the number of the one kernel to be shown; all by default.

    Raises:
        ArgumentError: there is no such stage or kernel.
    """
    if stage not in STAGES:
        raise ArgumentError(
            "[text] there is no such stage of a compiled program",
            got=repr(stage),
            expected=" or ".join(map(repr, STAGES)),
        )
    if stage == "schedule":
        return to_text(program)
    count = len(program.kernels)
    if kernel is not None and not 0 <= kernel < count:
        raise ArgumentError(
            "[text] there is no kernel of that number",
            got=f"{kernel}",
            expected=f"a number from 0 to {count - 1}" if count else "no kernel at all",
        )
    comment = "; " if stage == "llvm" else "# "
    parts = []
    for i in range(count) if kernel is None else [kernel]:
        code = program.kernels[i]
        text = code.stages[stage]().strip("\n")
        parts.append(f"{comment}kernel {i}: {code.name}\n{text}\n")
    return "\n".join(parts)

"""Lines of LLVM IR that read tables of 64-bit words.

Read first: `word`.
"""

from __future__ import annotations


def word(name: str, table: str, index: int, type: str = "i64") -> str:
    """Load a word of a table."""
    return (
        f"  %{name}.at = getelementptr i64, ptr %{table}, i64 {index}\n"
        f"  %{name} = load {type}, ptr %{name}.at"
    )


def pointer(name: str, table: str, index: int) -> str:
    """Find a word of a table."""
    return f"  %{name} = getelementptr i64, ptr %{table}, i64 {index}"

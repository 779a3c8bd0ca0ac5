"""Elementwise chains, softmax and layer norm of 4096 x 1024 floats, against memory.

usage: python benchmarks/elementwise.py [--quick] [--peers A,B] [--threads 1,2] ...

Rates are of the bytes that must be moved at least once: forward, `x` is read and the
result written; with derivatives, the incoming gradient is read and that of `x` written
too. `-x` does nothing but that. The options are explained in benchmarks/harness.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness import Case, Found, Section, duration, main, measure, table

SHAPE, QUICK_SHAPE = (4096, 1024), (64, 1024)
FUNCTIONS = {
    "negative": "-x",
    "gelu chain": "gelu(x * a + b) * sigmoid(x)",
    "softmax": "softmax",
    "layer norm": "layer norm",
}


def case(function: str, backward: bool, shape: tuple[int, int], quick: bool) -> Case:
    """Return the case of one function, with or without derivatives."""
    spec = {
        "kind": "elementwise", "function": function, "backward": backward,
        "shape": shape,
    }  # fmt: skip
    name = FUNCTIONS[function] + (", with derivatives" if backward else "")
    peers = ["plait", "torch", "torch.compile", "jax"]
    # NumPy has no erf, and nobody to write derivatives by hand.
    if not backward and function != "gelu chain":
        peers.append("numpy")
    arrays = 4 if backward else 2
    return Case(
        name + (" (small)" if quick else ""), spec, quick, peers,
        nbytes=arrays * 4 * shape[0] * shape[1],
    )  # fmt: skip


def show(section: Section, found: Found) -> Iterator[str]:
    """Yield a table of times and rates."""

    def cell(case: Case, seconds: float) -> str:
        return f"{duration(seconds)}, {case.nbytes / seconds / 1e9:.1f} GB/s"

    yield from table(section, found, cell)


SECTIONS = [
    Section(
        "elementwise",
        [
            case(function, backward, SHAPE, False)
            for function in FUNCTIONS
            for backward in (False, True)
            if not (function == "negative" and backward)
        ]
        + [case("softmax", False, QUICK_SHAPE, True)],
        show,
        measure,
        limits=True,
    )
]

if __name__ == "__main__":
    main(SECTIONS)

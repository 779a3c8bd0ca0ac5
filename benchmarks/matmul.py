"""Matrix products, in float32 and bfloat16, as a share of what the machine can do.

usage: python benchmarks/matmul.py [--quick] [--peers A,B] [--threads 1,2] ...

One product a call, of tensors that lie there; a call's overhead is part of it. The
machine's rate is that of a loop of fused multiplications and additions made with LLVM
(benchmarks/machine.py). The options are explained in benchmarks/harness.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness import Case, Found, Section, main, measure, table

CUBES = (45, 46, 47, 63, 64, 65, 100, 128, 256, 512, 1000, 1024, 2048)
OBLONG = (
    (1, 784, 128),
    (64, 784, 128),
    (64, 4096, 64),
    (4096, 64, 64),
    (2048, 8, 2048),
    (31, 2048, 33),
)
TRANSPOSED = ((True, False), (False, True), (True, True))


def case(
    shape: tuple[int, int, int],
    dtype: str,
    transposed: tuple[bool, bool] = (False, False),
) -> Case:
    """Return the case of one product."""
    rows, inner, columns = shape
    first, second = ("T" if turned else "" for turned in transposed)
    name = f"{rows} x {inner}{first} x {columns}{second}"
    spec = {
        "kind": "matmul", "shape": shape, "dtype": dtype, "transposed": transposed,
    }  # fmt: skip
    peers = ("plait", "torch", "jax")  # torch.compile calls what eager calls
    if dtype == "float32":
        return Case(
            name, spec, shape == (64, 64, 64), (*peers, "numpy"),
            flops=2 * rows * inner * columns,
        )  # fmt: skip
    # Results are rounded to 8 bits.
    return Case(
        name + ", bfloat16", spec, shape == (64, 64, 64), peers, 8e-3,
        flops=2 * rows * inner * columns,
    )  # fmt: skip


def show(section: Section, found: Found) -> Iterator[str]:
    """Yield a table of rates with their share of the machine's."""
    limits = found.get("limits", {})

    def cell(case: Case, seconds: float) -> str:
        rate = case.flops / seconds / 1e9
        limit = limits.get(case.spec["dtype"])
        return f"{rate:.{1 if rate < 10 else 0}f}" + (
            f", {rate / limit:.0%}" if limit else ""
        )

    yield "GFLOP/s, share of the machine's rate (multiple of plait's time):"
    yield ""
    yield from table(section, found, cell)


SECTIONS = [
    Section(
        "matmul",
        [
            *(case((n, n, n), "float32") for n in CUBES),
            *(case(shape, "float32") for shape in OBLONG),
            *(case((512, 512, 512), "float32", turned) for turned in TRANSPOSED),
            *(case((64, 784, 128), "float32", turned) for turned in TRANSPOSED),
            *(case((n, n, n), "bfloat16") for n in CUBES),
            *(case(shape, "bfloat16") for shape in OBLONG),
        ],
        show,
        measure,
        limits=True,
    )
]

if __name__ == "__main__":
    main(SECTIONS)

"""Print a table of all primitives and what is checked of each.

usage: python tools/primitive_table.py [--reasons] [NAME ...]

The checks are those of tests/ops/checks.py, which the tests run too. A cell is `ok`
with the number of samples that passed, `n/a` where the check applies to no sample, or
FAIL. The reasons for `n/a` follow the table with --reasons; what failed always follows.
The exit status is 1 if anything failed.
"""

from __future__ import annotations

import importlib
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NAME_WIDTH = 20


def main(arguments: list[str]) -> int:
    """Run the checks on the primitives named, or all; return the exit status."""
    if "-h" in arguments or "--help" in arguments:
        print((__doc__ or "").strip())
        return 0
    sys.path[:0] = [str(ROOT)]
    sys.path.append(str(ROOT / "src"))
    checks: Any = importlib.import_module("tests.ops.checks")
    names = {name for name in arguments if not name.startswith("-")}
    unknown = names - {primitive.name for primitive in checks.PRIMITIVES}
    if unknown:
        print(f"no such primitive: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    chosen = [p for p in checks.PRIMITIVES if not names or p.name in names]
    return print_table(checks, chosen, "--reasons" in arguments)


def print_table(checks: Any, primitives: list[Any], with_reasons: bool) -> int:
    """Print a row for each primitive, the totals, and what failed."""
    titles = [*(check.title for check in checks.CHECKS.values()), "failures"]
    widths = [max(7, len(title)) for title in titles]
    print(row("primitive", titles, widths))
    print(row("-" * NAME_WIDTH, ["-" * width for width in widths], widths))
    totals = [Counter[str]() for _ in titles]
    reasons: dict[str, list[str]] = {}
    faults: list[str] = []
    start = time.perf_counter()
    for primitive in primitives:
        cells = []
        for key, check in checks.CHECKS.items():
            word, excuses, found = judge(checks, primitive, check)
            cells.append(word)
            faults += [f"{primitive.name}, {key}: {fault}" for fault in found]
            if word == "n/a":
                why = f"{check.title}: {', '.join(sorted(excuses)) or 'no samples'}"
                reasons.setdefault(why, []).append(primitive.name)
        word, why, found = judge_failures(checks, primitive)
        cells.append(word)
        faults += [f"{primitive.name}, failures: {fault}" for fault in found]
        if word == "n/a":
            reasons.setdefault(f"failures: {why}", []).append(primitive.name)
        for total, cell in zip(totals, cells, strict=True):
            total[cell.split()[0]] += 1
        print(row(primitive.name, cells, widths), flush=True)
    print(row("-" * NAME_WIDTH, ["-" * width for width in widths], widths))
    for word in ("ok", "n/a", "FAIL"):
        print(row(f"total {word}", [str(total[word]) for total in totals], widths))
    seconds = time.perf_counter() - start
    print(
        f"\n{len(primitives)} primitives, {seconds:.0f} s, {len(faults)} failed checks"
    )
    if with_reasons:
        print("\nWhy a check does not apply:")
        for why, who in reasons.items():
            print(f"  {why}\n    {', '.join(who)}")
    for fault in faults:
        print(f"\nFAIL {fault}")
    return 1 if faults else 0


def row(name: str, cells: list[str], widths: list[int]) -> str:
    """Return one line of the table."""
    parts = [f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)]
    return f"{name:<{NAME_WIDTH}} {' '.join(parts)}".rstrip()


def judge(checks: Any, primitive: Any, check: Any) -> tuple[str, set[str], list[str]]:
    """Return the cell of one check, why it did not apply, and what failed."""
    passed, excuses, faults = 0, set(), []
    for case in checks.cases(primitive):
        try:
            excuse = check.excuse(case) or check.missing
            if excuse:
                excuses.add(excuse)
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                check.run(case)
            passed += 1
        except Exception as error:
            faults.append(f"sample {case.index}: {type(error).__name__}: {error}")
    if faults:
        return "FAIL", excuses, faults
    return (f"ok {passed}" if passed else "n/a"), excuses, faults


def judge_failures(checks: Any, primitive: Any) -> tuple[str, str, list[str]]:
    """Return the cell of the failing samples, the reason for none, and what failed."""
    passed, faults = 0, []
    for i, failure in enumerate(checks.failures(primitive)):
        try:
            checks.check_failure(primitive, failure)
            passed += 1
        except Exception as error:
            faults.append(f"failure {i}: {type(error).__name__}: {error}")
    if faults:
        return "FAIL", "", faults
    if passed:
        return f"ok {passed}", "", []
    why = checks.CANNOT_FAIL.get(primitive.name)
    if why is None:
        return "FAIL", "", ["there is no failing sample"]
    return "n/a", why, []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

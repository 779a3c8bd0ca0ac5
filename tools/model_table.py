"""Write tests/models/table.json: what PyTorch's nets are, for tests without PyTorch.

usage: python tools/model_table.py [NAME ...]

For each model: the number of its parameters, and a checksum of the names and shapes of
all that its state holds. For one model of each class also some numbers of its
result for weights that can be made anywhere (tests/models/weights.py), with the gain
for which that depends most on the pictures. Needs torchvision and timm.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "tests" / "models" / "table.json"
GAINS = (0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0)
NUMBERS = 8  # of a result that are kept, for each picture
LARGEST = 100.0  # what numbers of a result may be


def main(arguments: list[str]) -> int:
    """Write the table, or the rows of the models named; return the exit status."""
    if "-h" in arguments or "--help" in arguments:
        print((__doc__ or "").strip())
        return 0
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    references: Any = importlib.import_module("tests.models.references")
    weights: Any = importlib.import_module("tests.models.weights")
    models: Any = importlib.import_module("plait.models")
    if references.libraries() is None:
        print("torchvision is not installed", file=sys.stderr)
        return 2
    known = list(models.names())
    unknown = set(arguments) - set(known)
    if unknown:
        print(f"no such model: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    table = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {}
    for name in arguments or known:
        table[name] = row(references, weights, name)
        if name in weights.KEPT:
            table[name] |= kept_result(references, weights, name)
        print(name, table[name], flush=True)
        write(table)
    return 0


def write(table: dict[str, dict[str, Any]]) -> None:
    """Write the table, a line for each model."""
    rows = [f"{json.dumps(name)}: {json.dumps(table[name])}" for name in sorted(table)]
    TABLE.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


def row(references: Any, weights: Any, name: str) -> dict[str, Any]:
    """Return what a net of PyTorch holds."""
    options = dict.fromkeys(references.OPTIONS.get(name, {}), 224)
    net = references.reference(name, **options)
    shapes = {key: tuple(tensor.shape) for key, tensor in net.state_dict().items()}
    return {
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "tensors": len(shapes),
        "checksum": weights.checksum(shapes),
    }


def kept_result(references: Any, weights: Any, name: str) -> dict[str, Any]:
    """Return a gain, and the first numbers of the result for each picture."""
    best, chosen = -1.0, {}
    for gain in GAINS:
        net = references.filled(references.reference(name), gain)
        result = references.result(net, name)
        spread = float(abs(result - result.mean(0)).max())
        # The share of what is seen that comes from the pictures.
        share = spread / float(abs(result).max())
        if share > best and spread < LARGEST:
            best = share
            numbers = [[round(float(x), 6) for x in y] for y in result[:, :NUMBERS]]
            chosen = {"gain": gain, "result": numbers}
    return chosen


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What invocations of a workgroup tell one another, in WGSL.

Read first: `Exchange`.
"""

from __future__ import annotations

from ...dtypes import DType
from ..loops.grammar import Fold
from .scalar import apply
from .value import Value, type_of

# Places of registers that are exchanged with lanes at a time: 4 KiB of 64 lanes.
_ROWS = 16


class Exchange:
    """Functions that all invocations call at once.

    Args:
        lanes: how many there are.
    """

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self._variables: dict[str, str] = {}
        self._functions: dict[str, str] = {}

    def declarations(self) -> str:
        """Return the functions, and the memory that they need."""
        return "\n".join([*self._variables.values(), *self._functions.values()])

    def _memory(self, name: str, type: str, size: int) -> str:
        self._variables[name] = f"var<workgroup> {name}: array<{type}, {size}>;"
        return name

    def agreed(self, value: Value) -> str:
        """Return an i32 or bool, which all have, as what is known to be the same."""
        memory = self._memory("agreed_word", "i32", 1)
        self._functions["agreed"] = (
            "fn agreed(x: i32) -> i32 {\n"
            f"  if (lane == 0u) {{ {memory}[0] = x; }}\n"
            f"  return workgroupUniformLoad(&{memory}[0]);\n"
            "}"
        )
        if value.type == "bool":
            return f"(agreed(select(0i, 1i, {value.text})) != 0i)"
        return f"agreed({value.text})"

    def fold(self, fold: Fold, register: str) -> str:
        """Return all lanes of a register combined."""
        dtype, lanes = fold.dtype, fold.registers.lanes
        if lanes == 1:
            return register
        held = _held(dtype)
        memory = self._memory(f"fold_{_plain(held)}", held, self.lanes)
        name = f"fold_{fold.operation}_{dtype.name}_{lanes}"
        one, two = (_taken(f"{memory}[{i}]", dtype) for i in ("lane", "lane + n"))
        both = _put(apply(fold.operation, [one, two], dtype), dtype)
        result = _taken(f"workgroupUniformLoad(&{memory}[0])", dtype).text
        first = _put(Value("x", type_of(dtype)), dtype)
        self._functions[name] = (
            f"fn {name}(x: {type_of(dtype)}) -> {type_of(dtype)} {{\n"
            f"  {memory}[lane] = {first};\n"
            f"  for (var n = {lanes // 2}u; n > 0u; n >>= 1u) {{\n"
            "    workgroupBarrier();\n"
            f"    if (lane < n) {{ {memory}[lane] = {both}; }}\n"
            "  }\n"
            f"  return {result};\n"
            "}"
        )
        return f"{name}({register})"

    def transposed(self, name: str, count: int, type: str) -> list[str]:
        """Return statements that exchange places and lanes of registers.

        Args:
            name: of an array of `count` places.
        """
        rows = min(count, _ROWS)
        memory = self._memory(f"turned_{_plain(type)}_{count}", type, rows * count)
        return [
            "{",
            f"  var turned: array<{type}, {count}>;",
            f"  for (var first = 0u; first < {count}u; first += {rows}u) {{",
            f"    if (lane < {count}u) {{",
            f"      for (var i = 0u; i < {rows}u; i++) {{",
            f"        {memory}[i * {count}u + lane] = {name}[first + i];",
            "      }",
            "    }",
            "    workgroupBarrier();",
            f"    if (lane >= first && lane < first + {rows}u) {{",
            f"      for (var i = 0u; i < {count}u; i++) {{",
            f"        turned[i] = {memory}[(lane - first) * {count}u + i];",
            "      }",
            "    }",
            "    workgroupBarrier();",
            "  }",
            f"  {name} = turned;",
            "}",
        ]


def _plain(type: str) -> str:
    return type.replace("<", "_").replace(">", "")


def _held(dtype: DType) -> str:
    return "u32" if dtype.kind == "bool" else type_of(dtype)


def _taken(text: str, dtype: DType) -> Value:
    if dtype.kind == "bool":
        return Value(f"({text} != 0u)", "bool")
    return Value(text, type_of(dtype))


def _put(value: Value, dtype: DType) -> str:
    if dtype.kind == "bool":
        return f"select(0u, 1u, {value.text})"
    return value.text

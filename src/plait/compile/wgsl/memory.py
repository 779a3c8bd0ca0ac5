"""Where buffers lie, and how their elements are loaded and stored, in WGSL.

All buffers of a launch lie in one block of memory, an array of words, at places that
the launch says. Elements of 8 and 16 bits share words: they are stored by atomic
operations, as their neighbours may be at the same time. Scratch buffers have a word or
two for each element, in the memory of the workgroup if they are small.

Read first: `Memory`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...dtypes import DType, float16
from ..loops.grammar import Buffer
from .casting import as_long
from .value import LONG, Value, type_of

# Bytes of scratch buffers that lie in a workgroup's memory, of 16 KiB that any device
# has; the others are for what is exchanged between invocations.
WORKGROUP_BYTES = 10 << 10

_ELEMENTS = {8: "word", 16: "word", 1: "word", 32: "word", 64: "long"}


class Memory:
    """Code for loads and stores.

    Args:
        half: the device has numbers of float16. Memory is an array of them then, if
            there is nothing else in it.

    Attributes:
        scratch: bytes that each running workgroup needs besides.
        helpers: functions in WGSL that are called.
    """

    def __init__(
        self, buffers: Sequence[Buffer], scratch: Sequence[Buffer], half: bool = False
    ) -> None:
        self.scratch = 0
        self.helpers: dict[str, str] = {}
        self.packs = False
        self._bases: dict[Buffer, str] = {x: f"b{i}" for i, x in enumerate(buffers)}
        self._shared: dict[Buffer, str] = {}
        self._count = len(buffers)
        self._has_table = False
        room = WORKGROUP_BYTES
        for i, x in enumerate(sorted(scratch, key=_words)):
            if _words(x) * 4 <= room:
                self._shared[x] = f"s{i}"
                room -= _words(x) * 4
            else:
                self._bases[x] = f"t{i}"
        self._far = [x for x in scratch if x not in self._shared]
        for x in self._far:
            self.scratch += 4 * _words(x)
        self._halves = (
            half and not self._far and all(x.dtype is float16 for x in buffers)
        )

    def is_shared(self, buffer: Buffer) -> bool:
        """Return whether a buffer lies in the memory of the workgroup."""
        return buffer in self._shared

    def table(self) -> str:
        """Return the place of the kernel's table, in pairs of words."""
        self._has_table = True
        self._helper("long_at")
        return "table"

    def declarations(self) -> str:
        """Return what is declared outside of functions."""
        count = max(1, -(-(self._count + self._has_table) // 4))
        word = "atomic<u32>" if self.packs else "f16" if self._halves else "u32"
        lines = [
            f"@group(0) @binding(0) var<storage, read_write> memory: array<{word}>;",
            "struct Launch {",
            "  head: vec4<u32>,",
            f"  places: array<vec4<u32>, {count}>,",
            "}",
            "@group(0) @binding(1) var<uniform> launch: Launch;",
        ]
        for buffer, name in self._shared.items():
            lines.append(
                f"var<workgroup> {name}: array<{_held(buffer.dtype)}, "
                f"{max(1, buffer.size)}>;"
            )
        lines += self.helpers.values()
        return "\n".join(lines)

    def beginning(self) -> list[str]:
        """Return the statements that a kernel begins with."""
        lines = []
        names = list(self._bases.values())[: self._count]
        if self._has_table:
            names.append("table")
        for i, name in enumerate(names):
            lines.append(f"let {name} = launch.places[{i // 4}].{'xyzw'[i % 4]};")
        at = 0
        for buffer in self._far:
            base = f"launch.head.w + turn * {self.scratch // 4}u + {at}u"
            lines.append(f"let {self._bases[buffer]} = {base};")
            at += _words(buffer)
        return lines

    def load(self, buffer: Buffer, index: Value) -> Value:
        """Return an element of a buffer."""
        dtype, type = buffer.dtype, type_of(buffer.dtype)
        if buffer in self._shared:
            held = f"{self._shared[buffer]}[{index.text}]"
            return _loaded(held, _held(dtype), dtype)
        place = self._place(buffer, index)
        bits = 8 if dtype.bits == 1 else dtype.bits
        if self._halves:
            return Value(f"{self._helper('half_at')}({place})", "f32")
        if bits < 32 and buffer not in self._far:
            word = f"{self._helper(f'part{bits}')}({place})"
            return _loaded(word, "u32", dtype, packed=True)
        if bits == 64:
            return Value(f"{self._helper('long_at')}({place})", LONG)
        word = f"{self._helper('word_at')}({place})"
        if type == "f32":
            return Value(f"bitcast<f32>({word})", type)
        return _loaded(word, "u32", dtype)

    def store(self, buffer: Buffer, index: Value, value: Value) -> str:
        """Return the statement that stores an element."""
        dtype = buffer.dtype
        if dtype.bits == 64:
            value = as_long(value)
        bits = 8 if dtype.bits == 1 else dtype.bits
        if buffer in self._shared:
            text = value.text
            if dtype.kind == "bool":
                text = f"select(0u, 1u, {text})"
            return f"{self._shared[buffer]}[{index.text}] = {text};"
        place = self._place(buffer, index)
        if bits == 64:
            return f"{self._helper('put_long')}({place}, {value.text});"
        text = value.text
        if dtype is float16:
            text = text.removeprefix("round_half")
        if self._halves:
            return f"{self._helper('put_half')}({place}, {text});"
        if dtype.kind == "bool":
            text = f"select(0u, 1u, {text})"
        elif dtype is float16 and buffer not in self._far:
            text = f"narrow_half({text})"
        elif value.type != "u32":
            text = f"bitcast<u32>({text})"
        if bits < 32 and buffer not in self._far:
            self.packs = True
            return f"{self._helper(f'put_part{bits}')}({place}, {text});"
        return f"{self._helper('put_word')}({place}, {text});"

    def _place(self, buffer: Buffer, index: Value) -> str:
        base = self._bases[buffer]
        number = index.text if index.type == "u32" else f"u32({index.text})"
        far = buffer in self._far
        if far and buffer.dtype.bits == 64:
            return f"({base} / 2u + {number})"
        return f"({base} + {number})"

    def _helper(self, name: str) -> str:
        self.helpers.setdefault(name, "")
        return name

    def write_helpers(self) -> None:
        """Write the functions that are called, once all is known."""

        def get(place: str) -> str:
            word = f"memory[{place}]"
            return f"atomicLoad(&{word})" if self.packs else word

        def put(place: str, x: str) -> str:
            word = f"memory[{place}]"
            return f"atomicStore(&{word}, {x});" if self.packs else f"{word} = {x};"

        low, high = "2u * i", "2u * i + 1u"
        texts = {
            "word_at": f"fn word_at(i: u32) -> u32 {{ return {get('i')}; }}",
            "half_at": "fn half_at(i: u32) -> f32 { return f32(memory[i]); }",
            "put_half": "fn put_half(i: u32, x: f32) { memory[i] = f16(x); }",
            "put_word": f"fn put_word(i: u32, x: u32) {{ {put('i', 'x')} }}",
            "long_at": "fn long_at(i: u32) -> vec2<u32> "
            f"{{ return vec2<u32>({get(low)}, {get(high)}); }}",
            "put_long": "fn put_long(i: u32, x: vec2<u32>) {\n"
            f"  {put(low, 'x.x')}\n  {put(high, 'x.y')}\n}}",
        }
        for bits in (8, 16):
            each, mask = 32 // bits, (1 << bits) - 1
            shift = f"((i % {each}u) * {bits}u)"
            word = get(f"i / {each}u")
            texts[f"part{bits}"] = (
                f"fn part{bits}(i: u32) -> u32 {{ "
                f"return ({word} >> {shift}) & {mask}u; }}"
            )
            # No one else changes these bits: what is to change in them is known.
            texts[f"put_part{bits}"] = (
                f"fn put_part{bits}(i: u32, x: u32) {{\n"
                f"  let shift = {shift};\n"
                f"  let old = (atomicLoad(&memory[i / {each}u]) >> shift);\n"
                f"  atomicXor(&memory[i / {each}u], ((old ^ x) & {mask}u) << shift);\n"
                "}"
            )
        for name in self.helpers:
            self.helpers[name] = texts[name]


def _words(buffer: Buffer) -> int:
    return max(1, buffer.size) * (2 if buffer.dtype.bits == 64 else 1)


def _held(dtype: DType) -> str:
    """Return as what an element lies in the memory of a workgroup."""
    return "u32" if dtype.kind == "bool" else type_of(dtype)


def _loaded(text: str, held: str, dtype: DType, packed: bool = False) -> Value:
    """Return what lies in memory as a value of its dtype."""
    type = type_of(dtype)
    if dtype.kind == "bool":
        return Value(f"({text} != 0u)", "bool", depth=1)
    if packed and dtype is float16:
        return Value(f"widen_half({text})", type, depth=1)
    if packed and dtype.kind == "signed":
        gap = 32 - dtype.bits
        return Value(f"(bitcast<i32>({text} << {gap}u) >> {gap}u)", type, depth=1)
    if held != type:
        return Value(f"bitcast<{type}>({text})", type, depth=1)
    return Value(text, type)

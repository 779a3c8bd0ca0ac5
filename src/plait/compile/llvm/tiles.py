"""Tiles in the tile registers of x86 (AMX), by their numbers.

LLVM offers tiles as values too; but a kernel knows best which of the eight registers
holds what. So the numbers are given here, and nothing is ever kept in memory instead.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter
"Programming with Intel Advanced Matrix Extensions".

Read first: `Tiles`.
"""

from __future__ import annotations

from ..loops.grammar import Tile, TileLoad, TileProduct, TileStore
from .memory import Memory
from .value import Linear
from .write import Writer

_REGISTERS = 8
_PALETTE = 1


class Tiles:
    """The tile registers of one kernel.

    All are given their sizes as the kernel begins, so a register that is free again is
    only taken for a tile of the same size.
    """

    def __init__(self, writer: Writer, memory: Memory) -> None:
        self._writer = writer
        self._memory = memory
        self._sizes: list[tuple[int, int]] = []  # rows, and bytes of one
        self._numbers: dict[Tile, int] = {}

    def declare(self, tile: Tile) -> None:
        """Give a tile a register, and make it zero."""
        assert self._writer.target.amx, "the target has no tiles"
        size = tile.rows, tile.columns * tile.dtype.itemsize
        taken = self._numbers.values()
        for number, known in enumerate(self._sizes):
            if known == size and number not in taken:
                break
        else:
            number = len(self._sizes)
            self._sizes.append(size)
            assert number < _REGISTERS, "tiles of too many sizes"
        self._numbers[tile] = number
        self._call("tilezero", f"i8 {number}")

    def forget(self, tile: Tile) -> None:
        """Leave the register of a tile to others."""
        del self._numbers[tile]

    def move(self, statement: TileLoad | TileStore, index: Linear) -> None:
        """Load a tile from memory, or store it there."""
        name = "tileloadd64" if isinstance(statement, TileLoad) else "tilestored64"
        address = self._memory.address(statement.buffer, index)
        step = statement.step * statement.buffer.dtype.itemsize
        number = self._numbers[statement.tile]
        self._call(name, f"i8 {number}, ptr {address.text}, i64 {step}")

    def product(self, statement: TileProduct) -> None:
        """Add a product to a tile."""
        tiles = (statement.total, statement.left, statement.right)
        numbers = ", ".join(f"i8 {self._numbers[tile]}" for tile in tiles)
        self._call("tdpbf16ps", numbers)

    def _call(self, name: str, operands: str) -> None:
        self._writer.line(f"  call void @llvm.x86.{name}({operands})")

    @property
    def used(self) -> bool:
        """Whether the kernel has any."""
        return bool(self._sizes)

    def sizes(self) -> str:
        """Return the constant that the registers get their sizes from."""
        data = bytearray(64)
        data[0] = _PALETTE
        for number, (rows, row_bytes) in enumerate(self._sizes):
            data[16 + 2 * number : 18 + 2 * number] = row_bytes.to_bytes(2, "little")
            data[48 + number] = rows
        text = "".join(f"\\{byte:02X}" for byte in data)
        return f'@tiles = private unnamed_addr constant [64 x i8] c"{text}", align 64'

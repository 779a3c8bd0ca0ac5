"""Loads and stores: one element, elements in a row, and elements far apart.

Read first: `load`, `store`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..loops.grammar import Buffer
from .scalar import both, zero
from .value import (
    Linear,
    Value,
    first_lanes,
    integer,
    memory_type,
    register_type,
    spell,
    suffix,
)
from .write import Writer

# Up to this distance elements are picked from vectors that hold those between them too.
_NEAR = 4
# Rows that elements at known offsets are picked from, at most.
_ROWS = 4
# Bytes of a line of the caches, which streaming writes at once.
_LINE = 64


class Row(NamedTuple):
    """Elements side by side: so many, the first one so many places on."""

    first: int
    length: int


class Memory:
    """The buffers of a kernel.

    Attributes:
        streams: whether anything was written around the caches.
        word: the integer that addresses are worked out in.
        direct: the addresses of buffers are arguments, rather than in a list.
    """

    def __init__(
        self,
        writer: Writer,
        buffers: tuple[Buffer, ...],
        scratch: tuple[Buffer, ...],
        direct: bool = False,
    ) -> None:
        self.writer = writer
        self.streams = False
        self.word = writer.target.index_type
        # What to say of an address that surely lies in its buffer, as those before it
        # do: where offsets in instructions do not wrap around, it must be known.
        self._sure = "inbounds " if self.word == "i32" else ""
        self.direct = direct
        self._place = {buffer.name: number for number, buffer in enumerate(buffers)}
        self._scratch: dict[str, int] = {}
        offset = 0
        for buffer in scratch:
            self._scratch[buffer.name] = offset
            offset += -(-buffer.size * buffer.dtype.itemsize // 64) * 64
        if len(self._place | self._scratch) < len(buffers) + len(scratch):
            raise ValueError("two buffers of a kernel have the same name")

    def base(self, buffer: Buffer) -> Value:
        """Return the address of a buffer."""
        writer = self.writer
        number = self._place.get(buffer.name)
        if number is None:
            offset = self._scratch[buffer.name]
            text = f"getelementptr {self._sure}i8, ptr %scratch, {self.word} {offset}"
            return writer.pure(text, "ptr", 0)
        if self.direct:
            return Value(f"%b{number}", "ptr")
        text = f"getelementptr {self._sure}ptr, ptr %arguments, {self.word} {number}"
        place = writer.pure(text, "ptr", 0)
        align = writer.target.address_bits // 8
        text = f"load ptr, ptr {place.text}, align {align}, !invariant.load !0"
        return writer.pure(text, "ptr", 0, place)

    def address(self, buffer: Buffer, index: Linear) -> Value:
        """Return the address of an element, without what differs between lanes.

        What changes in outer loops is added there, a constant last: the latter becomes
        part of an instruction.
        """
        writer = self.writer
        type = memory_type(buffer.dtype)
        pointer = self.base(buffer)
        by_depth: dict[int, dict[str, tuple[Value, int]]] = {}
        for text, term in index.terms.items():
            if not term[0].lanes:
                by_depth.setdefault(term[0].depth, {})[text] = term
        for depth in sorted(by_depth):
            offset = writer.number(Linear(0, by_depth[depth]), self.word)
            text = (
                f"getelementptr {type}, ptr {pointer.text}, {self.word} {offset.text}"
            )
            pointer = writer.pure(text, "ptr", 0, pointer, offset)
        if index.constant:
            text = (
                f"getelementptr {self._within(index)}{type}, ptr {pointer.text}, "
                f"{self.word} {index.constant}"
            )
            pointer = writer.pure(text, "ptr", 0, pointer)
        return pointer

    def addresses(self, buffer: Buffer, index: Linear) -> Value:
        """Return the address of the element of each lane."""
        writer = self.writer
        base = self.address(buffer, index)
        apart = {text: term for text, term in index.terms.items() if term[0].lanes}
        lanes = writer.lanes
        offsets = writer.number(Linear(0, apart, index.lane), self.word)
        offsets = writer.broadcast(offsets, lanes)
        text = (
            f"getelementptr {memory_type(buffer.dtype)}, ptr {base.text}, "
            f"<{lanes} x {self.word}> {offsets.text}"
        )
        return writer.pure(text, "ptr", lanes, base, offsets)

    def _within(self, index: Linear) -> str:
        """Return what to say of the constant part of an index, which comes last."""
        if index.constant < 0:
            return ""
        shared = {text: term for text, term in index.terms.items() if not term[0].lanes}
        ends = Linear(0, shared).range(0)
        return self._sure if ends and ends[0] >= 0 else ""

    # Loads

    def load(
        self, buffer: Buffer, index: Linear, condition: Value | None, other: Value
    ) -> Value:
        """Return an element, or that of each lane; `other` where not `condition`."""
        writer = self.writer
        if condition is not None and condition.constant and not condition.lanes:
            if condition.text == "false":
                return other
            condition = None
        index = _straight(index, writer.extent)
        kind, step = _kind(index)
        if kind == "one":
            return self._load_one(buffer, index, condition, other)
        lanes = writer.lanes
        other = writer.broadcast(other, lanes)
        if kind == "row":
            mask = self._reach()
            if condition is None:
                return self._load_row(buffer, index, step)
            if not condition.lanes and not self._masks(buffer):
                return self._if(condition, buffer, index, step, other)
            condition = writer.broadcast(condition, lanes)
            return self._load_masked(
                buffer, index, step, both(writer, condition, mask), other
            )
        if condition is None and kind == "steps":
            if 1 < step <= _NEAR and writer.extent == lanes:
                return self._load_near(buffer, index, step)
            return self._load_each(buffer, index, step)
        if condition is None:
            offsets = _offsets(index, writer.extent)
            rows = _rows(offsets, lanes)
            if 1 <= len(rows) <= _ROWS and all(row.length > 1 for row in rows):
                return self._load_known(buffer, index, offsets, rows)
        else:
            condition = writer.broadcast(condition, lanes)
        return self._gather(buffer, index, condition, other)

    def fetch(self, buffer: Buffer, index: Linear, ahead: int) -> None:
        """Have the element so many after one, or after the first lane's, come nearer.

        It may lie beyond the end: that is no error.
        """
        base = self.address(buffer, index)
        type = memory_type(buffer.dtype)
        text = f"getelementptr {type}, ptr {base.text}, i64 {ahead}"
        place = self.writer.pure(text, "ptr", 0, base)
        self.writer.line(
            f"  call void @llvm.prefetch.p0(ptr {place.text}, i32 0, i32 3, i32 1)"
        )

    def _reach(self) -> Value | None:
        """Return the mask of the lanes that count, or None for all."""
        writer = self.writer
        if writer.extent == writer.lanes:
            return None
        return first_lanes(writer.extent, writer.lanes)

    def _masks(self, buffer: Buffer) -> bool:
        return 8 * buffer.dtype.itemsize in self.writer.target.masked

    def _read(self, buffer: Buffer, address: Value, lanes: int) -> Value:
        """Return what lies at an address, as it lies there."""
        writer = self.writer
        type = memory_type(buffer.dtype)
        text = (
            f"load {spell(type, lanes)}, ptr {address.text}, "
            f"align {buffer.dtype.itemsize}"
        )
        if buffer.access == "in":
            return writer.invariant(text, type, lanes, address)
        return writer.effect(text, type, lanes)

    def _arrive(self, buffer: Buffer, value: Value) -> Value:
        """Return what was read as it is in registers."""
        if buffer.dtype.kind == "bool":
            return self.writer.compare("icmp ne", value, zero("i8"))
        return value

    def _load_one(
        self, buffer: Buffer, index: Linear, condition: Value | None, other: Value
    ) -> Value:
        writer = self.writer
        address = self.address(buffer, index)
        if condition is None:
            return self._arrive(buffer, self._read(buffer, address, 0))
        if condition.lanes:
            condition = both(writer, condition, self._reach())
            assert condition is not None
        any_lane = self._any(condition)
        # Elsewhere read something that is surely there: the list of arguments; or, in
        # memory that is all there, what lies where the buffer begins.
        there = self.base(buffer).text if self.direct else "%arguments"
        text = f"select i1 {any_lane.text}, ptr {address.text}, ptr {there}"
        address = writer.pure(text, "ptr", 0, any_lane, address)
        type = memory_type(buffer.dtype)
        text = f"load {type}, ptr {address.text}, align {buffer.dtype.itemsize}"
        value = self._arrive(buffer, writer.effect(text, type))
        return writer.select(condition, value, other)

    def _any(self, condition: Value) -> Value:
        """Return whether a condition is true in any lane that counts."""
        if not condition.lanes:
            return condition
        found = both(self.writer, condition, self._reach())
        assert found is not None
        text = (
            f"call i1 @llvm.vector.reduce.or.v{found.lanes}i1"
            f"(<{found.lanes} x i1> {found.text})"
        )
        return self.writer.pure(text, "i1", 0, found)

    def _load_row(self, buffer: Buffer, index: Linear, step: int) -> Value:
        writer = self.writer
        lanes, extent = writer.lanes, writer.extent
        if step < 0:
            index = Linear(index.constant - (extent - 1), index.terms)
        address = self.address(buffer, index)
        whole = extent == lanes
        if not whole and self._masks(buffer) and extent & (extent - 1):
            mask = first_lanes(extent, lanes)
            type = memory_type(buffer.dtype)
            value = self._masked(buffer, address, mask, zero(type))
        else:
            # So many lanes exactly, and then as many as there should be.
            value = self._read(buffer, address, 0 if extent == 1 else extent)
            if extent == 1:
                type = spell(value.type, lanes)
                text = f"insertelement {type} poison, {value.type} {value.text}, i64 0"
                value = writer.pure(text, value.type, lanes, value)
            elif not whole and step > 0:
                order = [n if n < extent else -1 for n in range(lanes)]
                return self._arrive(buffer, writer.shuffle(value, None, order))
        if step < 0 and extent > 1:
            order = [extent - 1 - n if n < extent else -1 for n in range(lanes)]
            value = writer.shuffle(value, None, order)
        return self._arrive(buffer, value)

    def _masked(
        self, buffer: Buffer, address: Value, mask: Value, other: Value
    ) -> Value:
        writer = self.writer
        lanes = writer.lanes
        kind = memory_type(buffer.dtype)
        type = spell(kind, lanes)
        other = writer.broadcast(other, lanes)
        text = (
            f"call {type} @llvm.masked.load.{suffix(kind, lanes)}.p0(ptr align "
            f"{buffer.dtype.itemsize} {address.text}, <{lanes} x i1> {mask.text}, "
            f"{type} {other.text})"
        )
        return writer.effect(text, kind, lanes)

    def _load_masked(
        self,
        buffer: Buffer,
        index: Linear,
        step: int,
        mask: Value | None,
        other: Value,
    ) -> Value:
        writer = self.writer
        assert mask is not None
        backwards = list(range(writer.lanes))[::-1]
        if step < 0:
            index = Linear(index.constant - (writer.lanes - 1), index.terms)
            mask = writer.shuffle(mask, None, backwards)
        address = self.address(buffer, index)
        plain = step > 0 and buffer.dtype.kind != "bool"
        passed = other if plain else zero(memory_type(buffer.dtype))
        value = self._masked(buffer, address, mask, passed)
        if plain:
            return value
        if step < 0:
            value = writer.shuffle(value, None, backwards)
            mask = writer.shuffle(mask, None, backwards)
        return writer.select(mask, self._arrive(buffer, value), other)

    def _if(
        self, condition: Value, buffer: Buffer, index: Linear, step: int, other: Value
    ) -> Value:
        """Load elements in a row if a condition that all lanes share is true."""
        writer = self.writer
        number = writer.name()
        before = writer.scopes[-1].label
        address = self.address(
            buffer,
            index
            if step > 0
            else Linear(index.constant - (writer.extent - 1), index.terms),
        )
        writer.line(
            f"  br i1 {condition.text}, label %some{number}, label %none{number}"
        )
        writer.block(f"some{number}")
        extent = writer.extent
        type = memory_type(buffer.dtype)
        text = (
            f"load {spell(type, extent)}, ptr {address.text}, "
            f"align {buffer.dtype.itemsize}"
        )
        value = writer.effect(text, type, extent)
        writer.line(f"  br label %none{number}")
        writer.block(f"none{number}")
        value = writer.effect(
            f"phi {spell(type, extent)} [ {value.text}, %some{number} ], "
            f"[ zeroinitializer, %{before} ]",
            type,
            extent,
        )
        order = [n if n < extent else -1 for n in range(writer.lanes)]
        if step < 0:
            order = [extent - 1 - n if n >= 0 else -1 for n in order]
        value = self._arrive(buffer, writer.shuffle(value, None, order))
        return writer.select(condition, value, other)

    def _load_near(self, buffer: Buffer, index: Linear, step: int) -> Value:
        """Return elements a few places apart, from vectors of all in between."""
        writer = self.writer
        lanes = writer.lanes
        last = (lanes - 1) * step + 1 - lanes  # do not read beyond the last element
        starts = [min(part * lanes, last) for part in range(step)]
        parts = [
            self._read(
                buffer,
                self.address(buffer, Linear(index.constant + start, index.terms)),
                lanes,
            )
            for start in starts
        ]
        value = parts[0]
        held = [lane * step for lane in range(lanes)]  # where each lane is found
        for number in range(1, step):
            order = []
            for lane, place in enumerate(held):
                if place < starts[number - 1] + lanes:
                    order.append(lane if number > 1 else place)
                elif place < starts[number] + lanes:
                    order.append(lanes + place - starts[number])
                else:
                    order.append(-1)
            value = writer.shuffle(value, parts[number], order)
        return self._arrive(buffer, value)

    def _load_each(self, buffer: Buffer, index: Linear, step: int) -> Value:
        """Return elements at constant places, loaded one by one."""
        writer = self.writer
        type = memory_type(buffer.dtype)
        kind = spell(type, writer.lanes)
        value = Value("poison", type, writer.lanes)
        for lane in range(writer.extent):
            place = Linear(index.constant + lane * step, index.terms)
            item = self._read(buffer, self.address(buffer, place), 0)
            text = f"insertelement {kind} {value.text}, {type} {item.text}, i64 {lane}"
            value = writer.pure(text, type, writer.lanes, value, item)
        return self._arrive(buffer, value)

    def _load_known(
        self, buffer: Buffer, index: Linear, offsets: Sequence[int], rows: list[Row]
    ) -> Value:
        """Return elements at known offsets, from few rows that hold them."""
        writer = self.writer
        terms = {text: term for text, term in index.terms.items() if not term[0].lanes}
        length = max(row.length for row in rows)
        values = []
        for row in rows:
            at = self.address(buffer, Linear(index.constant + row.first, terms))
            value = self._read(buffer, at, row.length)
            if row.length < length:
                order = [n if n < row.length else -1 for n in range(length)]
                value = writer.shuffle(value, None, order)
            values.append(value)
        found: Value | None = None
        for first in range(0, len(rows), 2):
            order = [-1] * writer.lanes
            both_orders = [lane if found else -1 for lane in range(writer.lanes)]
            for lane, offset in enumerate(offsets):
                for number, row in enumerate(rows[first : first + 2]):
                    if row.first <= offset < row.first + row.length:
                        order[lane] = number * length + offset - row.first
                        both_orders[lane] = writer.lanes + lane
            other = values[first + 1] if len(values) > first + 1 else None
            two = writer.shuffle(values[first], other, order)
            found = writer.shuffle(found, two, both_orders) if found else two
        assert found is not None
        return self._arrive(buffer, found)

    def _gather(
        self, buffer: Buffer, index: Linear, condition: Value | None, other: Value
    ) -> Value:
        """Return elements at places that are data, loaded one by one.

        Processors that have an instruction for it take longer with it, or no less.
        """
        writer = self.writer
        lanes, type = writer.lanes, memory_type(buffer.dtype)
        addresses = self.addresses(buffer, index)
        if condition is not None:
            # The first element is there, and costs nothing once it was read.
            begin = writer.broadcast(self.base(buffer), lanes)
            addresses = writer.select(condition, addresses, begin)
        value = Value("poison", type, lanes)
        for lane in range(writer.extent):
            text = f"extractelement <{lanes} x ptr> {addresses.text}, i64 {lane}"
            address = writer.pure(text, "ptr", 0, addresses)
            item = self._read(buffer, address, 0)
            text = (
                f"insertelement {spell(type, lanes)} {value.text}, {type} {item.text}, "
                f"i64 {lane}"
            )
            value = writer.pure(text, type, lanes, value, item)
        value = self._arrive(buffer, value)
        return value if condition is None else writer.select(condition, value, other)

    # Stores

    def store(
        self,
        buffer: Buffer,
        index: Linear,
        value: Value,
        condition: Value | None,
        streaming: bool = False,
    ) -> None:
        """Write an element, or that of each lane, where `condition` is true.

        Args:
            streaming: go around the caches, if the machine can do so there.
        """
        writer = self.writer
        if condition is not None and condition.constant and not condition.lanes:
            if condition.text == "false":
                return
            condition = None
        if buffer.dtype.kind == "bool":
            value = writer.convert("zext", value, "i8")
        aligned = self._aligned(buffer, index) if streaming else None
        if aligned is None or condition is not None:
            self._store(buffer, index, value, condition)
        else:
            self._stream(aligned, buffer, index, value)

    def _store(
        self, buffer: Buffer, index: Linear, value: Value, condition: Value | None
    ) -> None:
        writer = self.writer
        index = _straight(index, writer.extent)
        kind, step = _kind(index)
        if kind == "one" and condition is not None and not value.lanes:
            condition = self._any(condition)
        if kind == "one" and not (condition is not None and condition.lanes):
            # All lanes write to one place: the last stays.
            value = writer.extract(value, max(writer.extent - 1, 0))
            self._guard(
                condition,
                lambda: self._write(buffer, self.address(buffer, index), value),
            )
            return
        lanes = writer.lanes
        value = writer.broadcast(value, lanes)
        if condition is not None and not condition.lanes:
            self._guard(condition, lambda: self._store(buffer, index, value, None))
            return
        mask = both(writer, condition, self._reach())
        if kind == "row":
            self._store_row(buffer, index, step, value, condition, mask)
        elif kind == "steps" and condition is None:
            for lane in range(writer.extent):
                place = Linear(index.constant + lane * step, index.terms)
                item = writer.extract(value, lane)
                self._write(buffer, self.address(buffer, place), item)
        else:
            self._scatter(buffer, index, value, mask)

    def _aligned(self, buffer: Buffer, index: Linear) -> Value | None:
        """Return whether a whole row of lanes lies where it can be streamed to.

        Only the address of the buffer is asked for, once, when the function starts: all
        else must be known. None: it surely does not.
        """
        writer = self.writer
        size = buffer.dtype.itemsize
        steps = [coefficient for _, coefficient in index.terms.values()]
        if (
            not writer.target.is_x86
            or _kind(index) != ("row", 1)
            or writer.extent < writer.lanes
            or writer.lanes * size < _LINE
            or any(step * size % _LINE for step in (*steps, index.constant))
        ):
            return None
        base = self.base(buffer)
        number = writer.pure(f"ptrtoint ptr {base.text} to i64", "i64", 0, base)
        beyond = writer.binary("and", number, integer(_LINE - 1, "i64"))
        return writer.compare("icmp eq", beyond, integer(0, "i64"))

    def _stream(
        self, aligned: Value, buffer: Buffer, index: Linear, value: Value
    ) -> None:
        """Write a row around the caches if the buffer begins with a line of them."""
        writer = self.writer
        self.streams = True
        number = writer.name()
        value = writer.broadcast(value, writer.lanes)
        address = self.address(buffer, index)
        writer.line(
            f"  br i1 {aligned.text}, label %past{number}, label %plain{number}"
        )
        writer.line(f"past{number}:")
        writer.line(
            f"  store {spell(value.type, value.lanes)} {value.text}, "
            f"ptr {address.text}, align {_LINE}, !nontemporal !1"
        )
        writer.line(f"  br label %stored{number}")
        writer.line(f"plain{number}:")
        self._write(buffer, address, value)
        writer.line(f"  br label %stored{number}")
        writer.block(f"stored{number}")

    def _guard(self, condition: Value | None, write: Callable[[], None]) -> None:
        writer = self.writer
        if condition is None:
            write()
            return
        number = writer.name()
        inner = writer.open(f"some{number}")
        write()
        writer.close()
        writer.line(
            f"  br i1 {condition.text}, label %some{number}, label %none{number}"
        )
        writer.line(f"some{number}:")
        writer.scopes[-1].lines += inner.lines
        writer.line(f"  br label %none{number}")
        writer.block(f"none{number}")

    def _write(self, buffer: Buffer, address: Value, value: Value) -> None:
        self.writer.line(
            f"  store {spell(value.type, value.lanes)} {value.text}, "
            f"ptr {address.text}, align {buffer.dtype.itemsize}"
        )

    def _store_row(
        self,
        buffer: Buffer,
        index: Linear,
        step: int,
        value: Value,
        condition: Value | None,
        mask: Value | None,
    ) -> None:
        writer = self.writer
        lanes, extent = writer.lanes, writer.extent
        exact = condition is None and not (
            self._masks(buffer) and extent & (extent - 1)
        )
        if step < 0:
            count = extent if exact else lanes
            order = [count - 1 - n for n in range(count)]
            index = Linear(index.constant - (count - 1), index.terms)
            value = writer.shuffle(value, None, order)
            if mask is not None and not exact:
                mask = writer.shuffle(mask, None, order)
        elif exact and extent < lanes:
            value = writer.shuffle(value, None, list(range(extent)))
        address = self.address(buffer, index)
        if mask is None or exact:
            self._write(buffer, address, value)
            return
        type = spell(value.type, lanes)
        writer.line(
            f"  call void @llvm.masked.store.{suffix(value.type, lanes)}.p0({type} "
            f"{value.text}, ptr align {buffer.dtype.itemsize} {address.text}, "
            f"<{lanes} x i1> {mask.text})"
        )

    def _scatter(
        self, buffer: Buffer, index: Linear, value: Value, mask: Value | None
    ) -> None:
        writer = self.writer
        lanes = writer.lanes
        addresses = self.addresses(buffer, index)
        where = mask or first_lanes(lanes, lanes)
        writer.line(
            f"  call void @llvm.masked.scatter.{suffix(value.type, lanes)}.v{lanes}p0("
            f"{spell(value.type, lanes)} {value.text}, <{lanes} x ptr> align "
            f"{buffer.dtype.itemsize} {addresses.text}, <{lanes} x i1> {where.text})"
        )


def _kind(index: Linear) -> tuple[str, int]:
    """Return how the elements of the lanes lie, and the step between them."""
    if any(value.lanes for value, _ in index.terms.values()):
        return "any", 0
    if index.lane == 0:
        return "one", 0
    return ("row" if index.lane in (1, -1) else "steps"), index.lane


def _straight(index: Linear, extent: int) -> Linear:
    """Return an index as one that moves on by one from lane to lane, if it does."""
    offsets = _offsets(index, extent) if _kind(index)[0] == "any" else []
    if len(offsets) < 2 or offsets != list(range(offsets[0], offsets[0] + extent)):
        return index
    terms = {text: term for text, term in index.terms.items() if not term[0].lanes}
    return Linear(index.constant + offsets[0], terms, 1)


def _offsets(index: Linear, extent: int) -> list[int]:
    """Return how far on each lane finds its element, if that is known of all."""
    offsets = [index.lane * lane for lane in range(extent)]
    for value, coefficient in index.terms.values():
        if not value.lanes:
            continue
        if value.each is None:
            return []
        offsets = [
            offset + number * coefficient
            for offset, number in zip(offsets, value.each, strict=False)
        ]
    return offsets


def _rows(offsets: Sequence[int], lanes: int) -> list[Row]:
    """Return as few rows of at most so many elements as hold those at all offsets."""
    rows: list[Row] = []
    for offset in sorted(offsets):
        if not rows or offset >= rows[-1].first + lanes:
            rows.append(Row(offset, 1))
        else:
            rows[-1] = Row(rows[-1].first, offset - rows[-1].first + 1)
    return rows


def empty(buffer: Buffer) -> Value:
    """Return what a conditional load without another value gives: zero."""
    return zero(register_type(buffer.dtype))

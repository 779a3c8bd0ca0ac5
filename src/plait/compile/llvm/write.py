"""Writing LLVM's text: where instructions go, and not writing the same one twice.

Knows nothing of Loop IR. Read first: `Writer.pure`.
"""

from __future__ import annotations

from .target import Target
from .value import Linear, Range, Value, integer, lane_numbers, spell, suffix

# More loads than this are not moved out of one loop: they would fill the registers.
_MOVED_LOADS = 8
_AS_BITS = {"float": "i32", "double": "i64"}
_INT32 = 1 << 31
# Types of constants that may be kept in registers, and those that are easily made.
_KEPT = frozenset({"float", "double", "i32", "i64"})
_ZEROS = frozenset({"0", "0x0000000000000000"})


class Scope:
    """The code of one body, while it is being written.

    Attributes:
        lines: the text so far. What is moved out of an inner body is added here too:
            that comes before all of the inner body.
        label: the basic block that the last line belongs to.
        loop: whether it is the body of a loop.
        certain: whether it runs at least once when the body around it runs.
        numbers: by the text of each pure instruction, what it gave.
        counter: of a loop without loops in it, whose multiples step along with it.
        multiples: those, by what the counter is multiplied with.
        moved: how many loads have been moved out of it.
    """

    __slots__ = (
        "certain", "counter", "label", "lines", "loop", "moved", "multiples", "numbers",
    )  # fmt: skip

    def __init__(self, label: str, loop: bool = False, certain: bool = False) -> None:
        self.lines: list[str] = []
        self.label = label
        self.loop = loop
        self.certain = certain
        self.numbers: dict[str, Value] = {}
        self.counter: Value | None = None
        self.multiples: dict[int, Value] = {}
        self.moved = 0


class Writer:
    """Writes the instructions of one function.

    Attributes:
        lanes, extent: those of the `vector` being written, or 0.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.scopes = [Scope("entry")]
        self.lanes = 0
        self.extent = 0
        self._count = 0

    def name(self, prefix: str = "") -> str:
        """Return a name that nothing else has."""
        self._count += 1
        return f"{prefix}{self._count}"

    @property
    def depth(self) -> int:
        """The number of the scope being written."""
        return len(self.scopes) - 1

    def open(self, label: str, loop: bool = False, certain: bool = False) -> Scope:
        """Begin a body."""
        scope = Scope(label, loop, certain)
        self.scopes.append(scope)
        return scope

    def close(self) -> None:
        """End the body begun last; its lines are still to be put into the one around
        it.
        """
        self.scopes.pop()

    def line(self, text: str) -> None:
        """Write a line into the scope."""
        self.scopes[-1].lines.append(text)

    def block(self, label: str) -> None:
        """Begin a basic block in the scope."""
        scope = self.scopes[-1]
        scope.lines.append(f"{label}:")
        scope.label = label

    def effect(self, text: str, type: str, lanes: int = 0) -> Value:
        """Write an instruction that must stay where it is; return what it gives."""
        name = f"%v{self.name()}"
        scope = self.scopes[-1]
        scope.lines.append(f"  {name} = {text}")
        return Value(name, type, lanes, self.depth)

    def pure(self, text: str, type: str, lanes: int, *operands: Value) -> Value:
        """Return what an instruction gives that depends on its operands only.

        It is written once, outside of every loop that its operands are not made in.
        """
        depth = 0
        for operand in operands:
            if operand.depth > depth:
                depth = operand.depth
        scopes = self.scopes
        place = len(scopes) - 1
        # Out of an `if` only with the loop around it: there it may never be needed.
        for number in range(depth + 1, place + 1):
            found = scopes[number - 1].numbers.get(text)
            if found is not None:
                return found
            if scopes[number].loop:
                place = number - 1
                break
        scope = scopes[place]
        found = scope.numbers.get(text)
        if found is not None:
            return found
        self._count += 1
        name = f"%v{self._count}"
        scope.lines.append(f"  {name} = {text}")
        value = scope.numbers[text] = Value(name, type, lanes, place)
        return value

    def invariant(self, text: str, type: str, lanes: int, address: Value) -> Value:
        """Return what a load gives of memory that nothing writes.

        It is moved out of loops like what is pure, but only out of those that surely
        run: else the memory might not be there.
        """
        scopes = self.scopes
        place = len(scopes) - 1
        while place > address.depth and scopes[place].loop and scopes[place].certain:
            if scopes[place].moved >= _MOVED_LOADS:
                break
            place -= 1
        for number in range(address.depth, len(scopes)):
            found = scopes[number].numbers.get(text)
            if found is not None:
                return found
        for number in range(place + 1, len(scopes)):
            scopes[number].moved += 1
        name = f"%v{self.name()}"
        scopes[place].lines.append(f"  {name} = {text}")
        value = scopes[place].numbers[text] = Value(name, type, lanes, place)
        return value

    # Instructions

    def binary(self, code: str, x: Value, y: Value) -> Value:
        """Return an instruction of two operands of one type."""
        x, y = self.together(x, y)
        text = f"{code} {spell(x.type, x.lanes)} {x.text}, {y.text}"
        return self.pure(text, x.type, x.lanes, x, y)

    def compare(self, code: str, x: Value, y: Value) -> Value:
        """Return a comparison: `icmp slt`, `fcmp olt`, ..."""
        x, y = self.together(x, y)
        text = f"{code} {spell(x.type, x.lanes)} {x.text}, {y.text}"
        return self.pure(text, "i1", x.lanes, x, y)

    def convert(self, code: str, x: Value, type: str) -> Value:
        """Return a conversion: `trunc`, `bitcast`, ..."""
        text = f"{code} {spell(x.type, x.lanes)} {x.text} to {spell(type, x.lanes)}"
        return self.pure(text, type, x.lanes, x)

    def call(self, name: str, *operands: Value, also: str = "") -> Value:
        """Return an intrinsic of operands of one type."""
        operands = self.together(*operands)
        x = operands[0]
        type = spell(x.type, x.lanes)
        listed = ", ".join([f"{type} {operand.text}" for operand in operands])
        text = f"call {type} @llvm.{name}.{suffix(x.type, x.lanes)}({listed}{also})"
        return self.pure(text, x.type, x.lanes, *operands)

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        """Return `x` where the condition is true, else `y`."""
        if condition.text == "true" or x.text == y.text:
            return x
        if condition.text == "false":
            return y
        x, y = self.together(x, y)
        if condition.lanes and not x.lanes:
            x, y = (self.broadcast(v, condition.lanes) for v in (x, y))
        if self.target.relaxed and condition.lanes and x.type in _AS_BITS:
            # LLVM would take a choice between what was compared for a relaxed minimum,
            # which may lose a nan. It does not see through bits.
            bits = _AS_BITS[x.type]
            words = [self.convert("bitcast", v, bits) for v in (x, y)]
            return self.convert("bitcast", self.select(condition, *words), x.type)
        type = spell(x.type, x.lanes)
        text = (
            f"select {spell('i1', condition.lanes)} {condition.text}, "
            f"{type} {x.text}, {type} {y.text}"
        )
        return self.pure(text, x.type, x.lanes, condition, x, y)

    def together(self, *values: Value) -> tuple[Value, ...]:
        """Return the values, all in lanes if one of them is."""
        lanes = [value.lanes for value in values]
        most = max(lanes)
        if min(lanes) == most:
            return values
        return tuple([self.broadcast(value, most) for value in values])

    def broadcast(self, value: Value, lanes: int) -> Value:
        """Return a value with the same number in all lanes."""
        if value.lanes or not lanes:
            return value
        if value.constant:
            if not self._is_kept(value):
                text = f"splat ({value.type} {value.text})"
                return Value(text, value.type, lanes, 0, value.range)
            # LLVM must not know that it is a constant.
            text = f'call {value.type} asm "", "=r,0"({value.type} {value.text})'
            value = self.pure(text, value.type, 0)
        type = spell(value.type, lanes)
        one = self.pure(
            f"insertelement {type} poison, {value.type} {value.text}, i64 0",
            value.type,
            lanes,
            value,
        )
        return self.pure(
            f"shufflevector {type} {one.text}, {type} poison, "
            f"<{lanes} x i32> zeroinitializer",
            value.type,
            lanes,
            one,
        )

    def _is_kept(self, value: Value) -> bool:
        """Return whether a constant in all lanes is kept in a register."""
        return (
            self.target.keeps_constants
            and value.type in _KEPT
            and value.text not in _ZEROS
            and any(scope.loop for scope in self.scopes)
        )

    def shuffle(self, x: Value, y: Value | None, lanes: list[int]) -> Value:
        """Return chosen lanes of one value, or of two in a row; -1 is any."""
        type = spell(x.type, x.lanes)
        chosen = ", ".join(["i32 poison" if n < 0 else f"i32 {n}" for n in lanes])
        text = (
            f"shufflevector {type} {x.text}, {type} {y.text if y else 'poison'}, "
            f"<{len(lanes)} x i32> <{chosen}>"
        )
        return self.pure(text, x.type, len(lanes), x, *([y] if y else []))

    def extract(self, x: Value, lane: int) -> Value:
        """Return the number in one lane."""
        if not x.lanes:
            return x
        text = f"extractelement {spell(x.type, x.lanes)} {x.text}, i64 {lane}"
        return self.pure(text, x.type, 0, x)

    # Indices

    def number(self, linear: Linear, type: str = "i64") -> Value:
        """Return a linear form as a value, wrapped around to the width of `type`."""
        shared = [term for term in linear.terms.values() if not term[0].lanes]
        apart = [term for term in linear.terms.values() if term[0].lanes]
        varying = bool(apart or linear.lane)
        # What changes in outer loops first, so that it is added there.
        shared.sort(key=_depth)
        inner = self.target.index_type if type != "i64" else type
        total = self._sum(shared, None, inner)
        if not varying:
            if total is None:
                return integer(linear.constant, type)
            if linear.constant:
                total = self.binary("add", total, integer(linear.constant, inner))
            ends = linear.range(0)
            if inner == "i64" or self.index_type(ends) == inner:
                total.range = total.range or ends
            return self.resized(total, type)
        if total is not None:
            total = self.resized(total, type)
        if apart:
            total = self._sum(apart, total, type)
        if linear.lane:
            lanes = lane_numbers(type, self.lanes, linear.lane, linear.constant)
            return lanes if total is None else self.binary("add", total, lanes)
        assert total is not None
        if linear.constant:
            total = self.binary("add", total, integer(linear.constant, type))
        return total

    def index(self, linear: Linear) -> Value:
        """Return a linear form as wide as addresses are, or in 64 bits if it is more
        than fits.
        """
        return self.number(
            linear, self.index_type(linear.range(max(self.extent - 1, 0)))
        )

    def index_type(self, ends: Range | None) -> str:
        """Return the type for an index with this range."""
        if ends is None or not -_INT32 <= ends[0] <= ends[1] < _INT32:
            return "i64"
        return self.target.index_type

    def resized(self, value: Value, type: str) -> Value:
        """Return an integer extended or wrapped around to the width of `type`."""
        if type == value.type:
            return value
        if value.constant and not value.lanes:
            return integer(int(value.text), type)
        if int(type[1:]) > int(value.type[1:]):
            wide = self.convert("sext", value, type)
            wide.range = value.range
            return wide
        return self.convert("trunc", value, type)

    def _sum(
        self, terms: list[tuple[Value, int]], total: Value | None, type: str
    ) -> Value | None:
        for value, coefficient in terms:
            if coefficient not in (1, -1):
                stepped = self._stepped(value, coefficient, type)
                if stepped is not None:
                    value, coefficient = stepped, 1
            value = self.resized(value, type)
            if coefficient == -1 and total is not None:
                total = self.binary("sub", total, value)
                continue
            if coefficient != 1:
                value = self.binary("mul", value, integer(coefficient, value.type))
            total = value if total is None else self.binary("add", total, value)
        return total

    def _stepped(self, value: Value, times: int, type: str) -> Value | None:
        """Return a multiple of an inner loop's counter, which steps along with it: one
        addition in each turn. None if `value` is nothing like that.
        """
        scope = self.scopes[value.depth] if value.depth < len(self.scopes) else None
        if scope is None or scope.counter is not value or value.type != type:
            return None
        found = scope.multiples.get(times)
        if found is None:
            name = f"{value.text}.by{times}"
            found = scope.multiples[times] = Value(name, type, 0, value.depth)
        return found


def _depth(term: tuple[Value, int]) -> int:
    return term[0].depth

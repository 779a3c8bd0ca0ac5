"""Arithmetic on indices: what can be known, or simplified, before code runs.

Read first: `divide`, `compare`.
"""

from __future__ import annotations

from math import gcd

from ...dtypes import int64
from .scalar import apply
from .value import Linear, Value, in_lanes, integer
from .write import Writer

# Longer sums are added up, so that forms made of one another do not grow.
_MANY_TERMS = 8
_INT32 = 1 << 31


def as_linear(value: Value) -> Linear:
    """Return an integer as a linear form."""
    if value.constant and not value.lanes:
        return Linear(int(value.text), {})
    return Linear(0, {value.text: (value, 1)})


def last_lane(writer: Writer) -> int:
    """Return the number of the last lane that counts."""
    return max(writer.extent - 1, 0)


def add(writer: Writer, x: Linear, y: Linear, times: int = 1) -> Linear:
    """Return x + times * y."""
    total = x.plus(y, times)
    if len(total.terms) > _MANY_TERMS:
        total = as_linear(writer.number(total))
    return total


def multiply(writer: Writer, x: Linear, y: Linear) -> Linear:
    """Return x * y."""
    if y.known:
        return x.times(y.constant)
    if x.known:
        return y.times(x.constant)
    ends = x.range(last_lane(writer)), y.range(last_lane(writer))
    both = None
    if ends[0] and ends[1] and ends[0][0] >= 0 and ends[1][0] >= 0:
        both = ends[0][0] * ends[1][0], ends[0][1] * ends[1][1]
    type = writer.index_type(both)
    value = writer.binary("mul", writer.number(x, type), writer.number(y, type))
    value.range = both or value.range
    return as_linear(value)


def divide(writer: Writer, x: Linear, divisor: int) -> tuple[Linear, Linear] | None:
    """Return quotient and remainder by a positive constant, or None if unknown.

    Terms of which the divisor is a factor leave the division. This needs to know that
    sums do not wrap around, which is known of numbers with a range.
    """
    ends = x.range(last_lane(writer))
    if ends is None or divisor <= 0:
        return None
    quotient = Linear(x.constant // divisor, {})
    rest = Linear(x.constant % divisor, {})
    for text, (value, coefficient) in x.terms.items():
        if coefficient % divisor == 0:
            quotient.terms[text] = (value, coefficient // divisor)
        else:
            rest.terms[text] = (value, coefficient)
    if x.lane % divisor == 0:
        quotient.lane = x.lane // divisor
    else:
        rest.lane = x.lane
    ends = rest.range(last_lane(writer))
    assert ends is not None
    if ends[0] // divisor == ends[1] // divisor:
        shift = ends[0] // divisor
        quotient.constant += shift
        rest.constant -= shift * divisor
        return quotient, rest
    split = _split(writer, rest, divisor)
    if split is not None:
        step, big, small = split
        result = divide(writer, big, divisor // step)
        assert result is not None  # it has a range, as the whole has
        return quotient.plus(result[0]), result[1].times(step).plus(small)
    if not rest.terms:
        numbers = [rest.constant + rest.lane * lane for lane in range(writer.lanes)]
        known = in_lanes([number // divisor for number in numbers], "i64")
        left = in_lanes([number % divisor for number in numbers], "i64")
        return quotient.plus(as_linear(known)), as_linear(left)
    # Small numbers that are not negative need fewer and faster instructions.
    narrow = ends[0] >= 0 and ends[1] < _INT32
    lanes = rest.lane or any(value.lanes for value, _ in rest.terms.values())
    type = "i64" if not narrow else "i32" if lanes else writer.target.index_type
    value = writer.number(rest, type)
    by = integer(divisor, type)
    power = divisor & (divisor - 1) == 0
    if power:
        count = integer(divisor.bit_length() - 1, type)
        whole = writer.binary("ashr", value, count)
        left = writer.binary("and", value, integer(divisor - 1, type))
    elif ends[0] >= 0:
        whole = writer.binary("udiv", value, by)
        left = writer.binary("sub", value, writer.binary("mul", whole, by))
    else:
        whole = apply(writer, "floor_divide", [value, by], int64)
        left = apply(writer, "remainder", [value, by], int64)
    if type != writer.target.index_type:
        whole, left = writer.resized(whole, "i64"), writer.resized(left, "i64")
    whole.range = ends[0] // divisor, ends[1] // divisor
    left.range = 0, divisor - 1
    return quotient.plus(as_linear(whole)), as_linear(left)


def _split(
    writer: Writer, x: Linear, divisor: int
) -> tuple[int, Linear, Linear] | None:
    """Return (step, big, small) with x = step * big + small, where the step divides the
    divisor and the small part is never more than a step: the quotient is then that of
    the big part alone. So with `i * 16 + lane` by 64 all lanes have one quotient.
    """
    parts = [(abs(by), text) for text, (_, by) in x.terms.items()]
    if x.lane:
        parts.append((abs(x.lane), ""))
    parts.sort(reverse=True)
    step = divisor
    for count in range(1, len(parts)):
        step = gcd(step, parts[count - 1][0])
        if step == 1:
            return None
        small = Linear(x.constant % step, {})
        for _, text in parts[count:]:
            if text:
                small.terms[text] = x.terms[text]
            else:
                small.lane = x.lane
        ends = small.range(last_lane(writer))
        if ends is not None and ends[0] >= 0 and ends[1] < step:
            big = x.plus(small, -1)
            terms = {
                text: (value, by // step) for text, (value, by) in big.terms.items()
            }
            return step, Linear(big.constant // step, terms, big.lane // step), small
    return None


def compare(writer: Writer, name: str, x: Linear, y: Linear) -> Value:
    """Return a comparison of two indices."""
    d = x.plus(y, -1)
    ends = d.range(last_lane(writer))
    varies = bool(d.lane) or any(value.lanes for value, _ in d.terms.values())
    if ends is None or not -(1 << 62) < ends[0] <= ends[1] < 1 << 62:
        # The difference might wrap around.
        return apply(writer, name, [writer.number(x), writer.number(y)], int64)
    low, high = ends
    answer: bool | None = None
    if name == "less":
        answer = True if high < 0 else False if low >= 0 else None
    elif name == "less_equal":
        answer = True if high <= 0 else False if low > 0 else None
    else:
        if low > 0 or high < 0:
            answer = name != "equal"
        elif low == high == 0:
            answer = name == "equal"
    if answer is not None:
        return integer(answer, "i1")
    # What all lanes share goes to one side, what they do not to the other.
    side = Linear(0, {}, d.lane)
    other = Linear(-d.constant, {})
    for text, (value, coefficient) in d.terms.items():
        if value.lanes or not varies:
            side.terms[text] = (value, coefficient)
        else:
            other.terms[text] = (value, -coefficient)
    type = "i32" if varies else writer.target.index_type
    if not _fit(writer, side, other):
        # x < y where -y < -x; of a number, the negative one may not fit.
        if _fit(writer, other.times(-1), side.times(-1)):
            side, other = other.times(-1), side.times(-1)
        else:
            type = "i64"
    return apply(
        writer, name, [writer.number(side, type), writer.number(other, type)], int64
    )


def _fit(writer: Writer, *sides: Linear) -> bool:
    """Return whether each of some numbers surely fits in 32 bits."""
    ranges = [side.range(last_lane(writer)) for side in sides]
    return all(ends and -_INT32 <= ends[0] <= ends[1] < _INT32 for ends in ranges)

"""What is known of indices: linear forms, the ranges they lie in, and proofs.

An int64 expression is written as a sum of multiples of *atoms*: variables, and what is
not linear (quotients by constants, minima, loads). Equal sums have equal forms, so that
`(i*64 + j) // 64` is seen to be `i` where `j` lies between 0 and 63. A form equals its
expression modulo 2**64; where its range shows that it `fits` 64 bits, exactly.

Facts, `form >= 0`, come from the conditions around a place; `holds` proves others from
them.

Read first: `Forms`, `Linear`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from math import gcd
from typing import NamedTuple, cast

from ...dtypes import bool_, int64
from ...errors import GraphError
from .grammar import Constant, Expression, Fold, Get, Load, Operation, Variable
from .linear import Linear, Range, add, constant, integer_range, range_of, scale, split

LOW, HIGH = -(2**63), 2**63 - 1
# A proof looks at so many forms, to see what is left of them without a fact.
MAX_STEPS = 16
# Sums of more are not seen through: each addition looks at all terms.
MAX_TERMS = 32


class Truth(NamedTuple):
    """What is known of a condition.

    Attributes:
        known: its value, None if it may be either.
        if_true, if_false: forms that are not negative then.
    """

    known: bool | None = None
    if_true: tuple[Linear, ...] = ()
    if_false: tuple[Linear, ...] = ()


Value = Linear | Truth | Range | None


class Origin(NamedTuple):
    """Where an atom comes from: a leaf, or an operation on forms."""

    leaf: Expression | None
    operation: str = ""
    operands: tuple[Linear, ...] = ()


_UNKNOWN = Truth()
_COMPARISONS = ("less", "less_equal", "equal", "not_equal")


class Forms:
    """The atoms of one kernel, and what holds at the place that is looked at.

    Attributes:
        names: what variables of the kernel stand for, by name.
        thorough: whether proofs may take long.
        facts: forms that are known not to be negative here.
        origins: where each atom comes from.
    """

    def __init__(self, thorough: bool = False) -> None:
        self.thorough = thorough
        self.names: dict[str, Value] = {}
        self.facts: list[Linear] = []
        self.origins: list[Origin] = []
        self._ranges: list[Range] = []
        self._known: list[tuple[Linear, ...]] = []
        self._steady: list[bool] = []
        self._interned: dict[tuple[str, tuple[Linear, ...]], int] = {}
        self._values: dict[int, Value] = {}
        # Atoms of remainders by numbers, with the quotients once they are known.
        self._remainders: dict[int, Linear | None] = {}
        # Whether a value of this statement comes from memory or registers.
        self._moving = False

    # --- places

    def enter(self) -> tuple[int, int, int]:
        """Begin a body; give what it returns to `leave`."""
        return len(self.names), len(self.facts), len(self._values)

    def leave(self, mark: tuple[int, int, int]) -> None:
        """End a body, and forget what was said in it."""
        names, facts, values = mark
        while len(self.names) > names:
            self.names.popitem()
        del self.facts[facts:]
        self._forget(values)

    def _forget(self, values: int) -> None:
        while len(self._values) > values:
            self._values.popitem()

    def begin(self, order: Sequence[Expression]) -> int:
        """Find what is known of the expressions of one statement, for `of`.

        Args:
            order: all expressions of the statement, parts first.

        Returns:
            What `end` takes, when the statement is done with.
        """
        values = self._values
        mark = len(values)
        self._moving = False
        for node in order:
            if id(node) not in values:
                values[id(node)] = self._value(node)
        return mark

    def end(self, mark: int) -> None:
        """Forget values that are others when the next statement runs."""
        if self._moving:
            self._forget(mark)

    def of(self, node: Expression) -> Value:
        """Return what is known of an expression of the statement looked at."""
        return self._values[id(node)]

    def form(self, node: Expression) -> Linear:
        """Return the form of an int64 expression of the statement looked at."""
        return cast(Linear, self._values[id(node)])

    def is_leaf(self, node: Expression) -> bool:
        """Return whether an int64 expression is an atom that is told no further."""
        constant, terms = self.form(node)
        if constant or len(terms) != 1 or terms[0][1] != 1:
            return False
        return self.origins[terms[0][0]].leaf is node

    def truth(self, node: Expression) -> Truth:
        """Return what is known of a condition of the statement looked at."""
        return cast(Truth, self._values[id(node)])

    def variable(self, variable: Variable, low: int, high: int) -> Linear:
        """Return the form of a new variable, which lies between `low` and `high`."""
        return self._atom(Origin(variable), low, high)

    # --- what is known of forms

    def range(self, x: Linear) -> Range:
        """Return the smallest and largest value of a form, without wrapping around."""
        low = high = x[0]
        for atom, k in x[1]:
            least, most = self._ranges[atom]
            if k > 0:
                low += k * least
                high += k * most
            else:
                low += k * most
                high += k * least
        return low, high

    def fits(self, x: Linear) -> bool:
        """Return whether the form surely lies within 64 bits."""
        low, high = self.range(x)
        return low >= LOW and high <= HIGH

    def exact(self, x: Linear) -> Linear:
        """Return a form that equals the value of `x`, also if `x` wraps around."""
        if self.fits(x):
            return x
        return self._atom(Origin(None, "wrapped", (x,)), LOW, HIGH)

    def holds(self, x: Linear) -> bool:
        """Return whether `x >= 0` can be proven here.

        By its range; else facts are subtracted from it, first what raises its lower
        bound most.
        """
        low = self.range(x)[0]
        waiting = [(-low, 0, x)]
        seen = {x}
        for _ in range(4 * MAX_STEPS if self.thorough else MAX_STEPS):
            if low >= 0 or not waiting:
                break
            least, _, x = heappop(waiting)
            mine = dict(x[1])
            for fact in self._useful(x):
                for atom, k in fact[1]:
                    times, odd = divmod(mine.get(atom, 0), k)
                    whole, lowest = x, -least
                    if odd and self.thorough and mine.get(atom, 0) * k > 0:
                        # Of integers, x >= 0 if n*x + n - 1 >= 0.
                        n = abs(k) // gcd(mine[atom], k)
                        whole = add(scale(x, n), constant(n - 1))
                        times, lowest = mine[atom] * n // k, lowest * n + n - 1
                    elif times <= 0 or odd:
                        continue
                    rest = add(whole, fact, -times)
                    bound = self.range(rest)[0]
                    if bound >= lowest and rest not in seen:
                        low = max(low, bound)
                        seen.add(rest)
                        heappush(waiting, (-bound, len(seen), rest))
        return low >= 0

    def _useful(self, x: Linear) -> Iterable[Linear]:
        yield from self.facts
        atoms = {atom for atom, _ in x[1]}
        if self.thorough:
            atoms.update(atom for fact in self.facts for atom, _ in fact[1])
        for atom in sorted(atoms):
            yield from self._known[atom]

    def implied(self, x: Linear) -> list[Linear]:
        """Return what the facts say of the quotients in a form, inner ones first."""
        atoms: set[int] = set()
        stack = [x]
        while stack:
            for atom, _ in stack.pop()[1]:
                if atom not in atoms:
                    atoms.add(atom)
                    stack.extend(self.origins[atom].operands)
        found: list[Linear] = []
        for atom in sorted(atoms):
            origin = self.origins[atom]
            if origin.operation != "floor_divide" or origin.operands[1][1]:
                continue
            rest, divisor = origin.operands[0], origin.operands[1][0]
            low, high = self._ranges[atom]
            for fact in (*self.facts, *found):
                for one, k in fact[1]:
                    times, odd = divmod(dict(rest[1]).get(one, 0), k)
                    if odd or not times or divisor <= 0:
                        continue
                    least, most = self.range(add(rest, fact, -times))
                    if times > 0:
                        low = max(low, least // divisor)
                    else:
                        high = min(high, most // divisor)
            number = (0, ((atom, 1),))
            if low > self._ranges[atom][0]:
                found.append(add(number, constant(-low)))
            if high < self._ranges[atom][1]:
                found.append(add(constant(high), number, -1))
        return found

    def steady(self, x: Linear) -> bool:
        """Return whether a form is made of nothing but variables."""
        return all(self._steady[atom] for atom, _ in x[1])

    def depends(self, x: Linear, atom: int) -> bool:
        """Return whether a form may change with an atom: if it is made of it, or data.

        Data are loads and registers; those of another chunk may be others.
        """
        for one, _ in x[1]:
            origin = self.origins[one]
            if one == atom or isinstance(origin.leaf, Load | Get | Fold | Operation):
                return True
            if any(self.depends(operand, atom) for operand in origin.operands):
                return True
        return False

    # --- values of expressions

    def _atom(
        self, origin: Origin, low: int, high: int, known: tuple[Linear, ...] = ()
    ) -> Linear:
        key = (origin.operation, origin.operands)
        atom = self._interned.get(key) if origin.leaf is None else None
        if atom is None:
            atom = len(self.origins)
            self.origins.append(origin)
            self._ranges.append((max(low, LOW), min(high, HIGH)))
            self._known.append(known)
            leaf = origin.leaf
            steady = leaf is None or isinstance(leaf, Variable)
            self._steady.append(steady and all(map(self.steady, origin.operands)))
            if origin.leaf is None:
                self._interned[key] = atom
        return (0, ((atom, 1),))

    def _value(self, node: Expression) -> Value:
        if isinstance(node, Variable):
            if node.name not in self.names:
                raise GraphError(f"the name {node.name!r} is not bound")
            return self.names[node.name]
        if isinstance(node, Load | Get | Fold):
            self._moving = True
        elif node.dtype is bool_:
            return self._truth(node)
        elif isinstance(node, Constant):
            if node.dtype is int64:
                return (node.value, ())
            return (node.value, node.value) if node.dtype.is_integer else None
        elif node.dtype is int64 and isinstance(node, Operation):
            return self._index(node)
        elif node.dtype.is_integer and isinstance(node, Operation):
            return self._integer(node)
        return self.anything(node)

    def anything(self, node: Expression) -> Value:
        """Return what is known of an expression that says nothing but its dtype."""
        if node.dtype is int64:
            return self._atom(Origin(node), LOW, HIGH)
        if node.dtype is bool_:
            return _UNKNOWN
        return range_of(node.dtype) if node.dtype.is_integer else None

    def _index(self, node: Operation) -> Linear:
        name = node.name
        if name == "cast":
            return self._cast(node)
        if name == "select":
            return self._select(node)
        if all(x.dtype is int64 for x in node.operands):
            forms = [self.form(x) for x in node.operands]
            if name in ("add", "subtract"):
                total = add(forms[0], forms[1], 1 if name == "add" else -1)
                if len(total[1]) <= MAX_TERMS:
                    return self._joined(total) if self._remainders else total
                return self._atom(Origin(node), *self.within(total))
            if name == "negative":
                return scale(forms[0], -1)
            if name == "multiply":
                return self._multiply(forms[0], forms[1], node)
            if name == "floor_divide":
                return self._floor_divide(forms[0], forms[1])
            if name == "remainder":
                return self._remainder(forms[0], forms[1])
            if name == "minimum":
                return self._least(forms[0], forms[1])
            if name == "maximum":
                return self._most(forms[0], forms[1])
        return self._atom(Origin(node), LOW, HIGH)

    def _multiply(self, x: Linear, y: Linear, node: Operation) -> Linear:
        if not y[1]:
            return scale(x, y[0])
        if not x[1]:
            return scale(y, x[0])
        corners = [a * b for a in self.range(x) for b in self.range(y)]
        low, high = min(corners), max(corners)
        if low < LOW or high > HIGH:
            low, high = LOW, HIGH
        if self.steady(x) and self.steady(y):
            operands = (x, y) if x < y else (y, x)
            return self._atom(Origin(None, "multiply", operands), low, high)
        return self._atom(Origin(node), low, high)

    def _floor_divide(self, x: Linear, y: Linear) -> Linear:
        divisor = y[0]
        if y[1] or divisor <= 0 or not self.fits(x):
            return self._opaque_division(x, y)
        whole, rest = split(x, divisor)
        low, high = self.range(rest)
        if low // divisor == high // divisor:
            return add(whole, constant(low // divisor))
        # (g*a + b) // (g*d) is a // d where 0 <= b < g.
        for factor in self._factors(rest, divisor):
            outer, inner = split(rest, factor)
            least, most = self.range(inner)
            if least >= 0 and most < factor:
                smaller = self._floor_divide(outer, constant(divisor // factor))
                return add(whole, smaller)
        if len(rest[1]) == 1 and rest[1][0][1] == 1:
            origin = self.origins[rest[1][0][0]]
            if origin.operation == "floor_divide" and not origin.operands[1][1]:
                # (a // b + c) // d is (a + b*c) // (b*d).
                numerator, inner_divisor = origin.operands
                b = inner_divisor[0]
                numerator = add(numerator, constant(rest[0] * b))
                if self.fits(numerator) and divisor * b <= HIGH:
                    smaller = self._floor_divide(numerator, constant(divisor * b))
                    return add(whole, smaller)
            if origin.operation == "remainder" and not origin.operands[1][1]:
                # a % (b*d) // d is a // d % b.
                inner_divisor = origin.operands[1]
                if rest[0] == 0 and inner_divisor[0] % divisor == 0:
                    quotient = self._floor_divide(origin.operands[0], y)
                    inner_divisor = constant(inner_divisor[0] // divisor)
                    return add(whole, self._remainder(quotient, inner_divisor))
        least, most = low // divisor, high // divisor
        # What is known of the variables together may say more than their ranges do.
        if most > least and self.holds(add(constant(most * divisor - 1), rest, -1)):
            most -= 1
        number = (0, ((len(self.origins), 1),))  # if this atom is a new one
        below = add(rest, number, -divisor)
        known = (below, add(constant(divisor - 1), below, -1))
        operands = (rest, y)
        quotient = self._atom(
            Origin(None, "floor_divide", operands), least, most, known
        )
        return add(whole, quotient)

    def _remainder(self, x: Linear, y: Linear) -> Linear:
        divisor = y[0]
        if y[1] or divisor <= 0 or not self.fits(x):
            return self._opaque_remainder(x, y)
        _, rest = split(x, divisor)
        # a % (b*d) % d is a % d.
        for atom, k in rest[1]:
            origin = self.origins[atom]
            if origin.operation == "remainder" and not origin.operands[1][1]:
                inner = origin.operands[1][0]
                if inner and inner % divisor == 0:
                    term = (0, ((atom, k),))
                    freed = add(add(rest, term, -1), origin.operands[0], k)
                    if self.fits(freed):
                        return self._remainder(freed, y)
        low, high = self.range(rest)
        if low // divisor == high // divisor:
            return add(rest, constant(low // divisor * -divisor))
        # (g*a + b) % (g*d) is g * (a % d) + b where 0 <= b < g.
        for factor in self._factors(rest, divisor):
            outer, inner_form = split(rest, factor)
            least, most = self.range(inner_form)
            if least >= 0 and most < factor:
                smaller = self._remainder(outer, constant(divisor // factor))
                return add(inner_form, smaller, factor)
        number = (0, ((len(self.origins), 1),))  # if this atom is a new one
        known = (add(rest, number, -1),) if low >= 0 else ()
        operands = (rest, y)
        form = self._atom(Origin(None, "remainder", operands), 0, divisor - 1, known)
        self._remainders.setdefault(form[1][0][0], None)
        return form

    def _joined(self, x: Linear) -> Linear:
        """Return `x` with `a` for each `a // b * b + a % b` in it."""
        for atom, k in x[1]:
            if atom in self._remainders:
                a, b = self.origins[atom].operands
                quotient = self._remainders[atom]
                if quotient is None:
                    quotient = self._remainders[atom] = self._floor_divide(a, b)
                mine = dict(x[1])
                if all(mine.get(one) == k * b[0] * n for one, n in quotient[1]):
                    pair = add((0, ((atom, 1),)), quotient, b[0])
                    return self._joined(add(add(x, pair, -k), a, k))
        return x

    def _factors(self, x: Linear, divisor: int) -> list[int]:
        """Return the numbers that divide the divisor and a coefficient, large first."""
        found = {gcd(k, divisor) for _, k in x[1]} - {1, divisor}
        return sorted(found, reverse=True)

    def _opaque_division(self, x: Linear, y: Linear) -> Linear:
        low, high = self.within(x)
        least, most = self.within(y)
        if least < 1:
            low, high = LOW, HIGH
        else:
            corners = [a // b for a in (low, high) for b in (least, most)]
            low, high = min(corners), max(corners)
        return self._atom(Origin(None, "floor_divide", (x, y)), low, high)

    def _opaque_remainder(self, x: Linear, y: Linear) -> Linear:
        least, most = self.within(y)
        low, high = (0, most - 1) if least >= 1 else (LOW, HIGH)
        return self._atom(Origin(None, "remainder", (x, y)), low, high)

    def within(self, x: Linear) -> Range:
        """Return the range of the int64 value that a form stands for."""
        low, high = self.range(x)
        return (low, high) if low >= LOW and high <= HIGH else (LOW, HIGH)

    def _least(self, x: Linear, y: Linear) -> Linear:
        return self._extreme("minimum", x, y, 1)

    def _most(self, x: Linear, y: Linear) -> Linear:
        return self._extreme("maximum", x, y, -1)

    def _extreme(self, name: str, x: Linear, y: Linear, sign: int) -> Linear:
        a, b = self.within(x), self.within(y)
        fit = self.fits(x) and self.fits(y)
        if fit:
            difference = add(y, x, -1)
            if self.holds(scale(difference, sign)):
                return x
            if self.holds(scale(difference, -sign)):
                return y
        choose = min if sign > 0 else max
        number = (0, ((len(self.origins), 1),))
        known = (
            scale(add(x, number, -1), sign),
            scale(add(y, number, -1), sign),
        )
        return self._atom(
            Origin(None, name, (x, y)),
            choose(a[0], b[0]),
            choose(a[1], b[1]),
            known if fit else (),
        )

    def _cast(self, node: Operation) -> Linear:
        operand = node.operands[0]
        source = operand.dtype
        low, high = LOW, HIGH
        if source is bool_:
            low, high = 0, 1
        elif source is int64:
            return self.form(operand)
        elif source.is_integer:
            low, high = cast(Range, self._values[id(operand)])
            if high > HIGH:
                low, high = LOW, HIGH
        return self._atom(Origin(node), low, high)

    def _select(self, node: Operation) -> Linear:
        condition = cast(Truth, self._values[id(node.operands[0])])
        x, y = (self.form(operand) for operand in node.operands[1:])
        if condition.known is not None:
            return x if condition.known else y
        if x == y:
            return x
        a, b = self.within(x), self.within(y)
        return self._atom(Origin(node), min(a[0], b[0]), max(a[1], b[1]))

    def _integer(self, node: Operation) -> Range:
        """Return the range of an integer of another type than int64."""
        everything = range_of(node.dtype)
        ranges: list[Range] = []
        for operand in node.operands:
            if operand.dtype is int64:
                ranges.append(self.within(self.form(operand)))
            elif operand.dtype.is_integer:
                ranges.append(cast(Range, self._values[id(operand)]))
            elif operand.dtype is bool_:
                ranges.append((0, 1))
            else:
                return everything
        found = integer_range(node.name, ranges)
        if found is None or found[0] < everything[0] or found[1] > everything[1]:
            return everything
        return found

    # --- conditions

    def _truth(self, node: Expression) -> Truth:
        if isinstance(node, Constant):
            return Truth(bool(node.value))
        if not isinstance(node, Operation):
            return _UNKNOWN
        if node.name in _COMPARISONS and node.operands[0].dtype is int64:
            return self._comparison(node)
        values = [self._values[id(x)] for x in node.operands]
        truths = [x for x in values if isinstance(x, Truth)]
        if len(truths) < len(values):
            return _UNKNOWN
        if node.name == "bitwise_invert":
            known, if_true, if_false = truths[0]
            return Truth(None if known is None else not known, if_false, if_true)
        if node.name in ("bitwise_and", "bitwise_or"):
            x, y = truths
            stops = node.name == "bitwise_or"
            if x.known is not None:
                return x if x.known is stops else y
            if y.known is not None:
                return y if y.known is stops else x
            if stops:
                return Truth(None, (), x.if_false + y.if_false)
            return Truth(None, x.if_true + y.if_true, ())
        return _UNKNOWN

    def _comparison(self, node: Operation) -> Truth:
        x, y = (self.exact(self.form(operand)) for operand in node.operands)
        up = add(y, x, -1)  # y - x
        down = scale(up, -1)
        more, less = add(up, constant(-1)), add(down, constant(-1))
        if node.name == "less":
            return self._decide((more,), (down,))
        if node.name == "less_equal":
            return self._decide((up,), (less,))
        low, high = self.range(up)
        apart = low > 0 or high < 0
        same = True if low == high == 0 else False if apart else None
        if node.name == "equal":
            return Truth(same, (up, down))
        return Truth(None if same is None else not same, (), (up, down))

    def _decide(
        self, if_true: tuple[Linear, ...], if_false: tuple[Linear, ...]
    ) -> Truth:
        if self.holds(if_true[0]):
            return Truth(True)
        if self.holds(if_false[0]):
            return Truth(False)
        return Truth(None, if_true, if_false)

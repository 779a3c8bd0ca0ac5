"""The Hopfield net: a memory that finds a whole pattern from a part of it.

Read first: `HopfieldNet`.
"""

from __future__ import annotations

from typing import Any

import plait
from plait import Tensor

from ... import nn
from ...errors import ArgumentError
from .rows import rows


class HopfieldNet(nn.Module):
    """Units of -1 or 1 that go on changing until they agree with one another.

    Formula: unit i becomes the sign of the sum over j of weight[i, j] * x[j] (and stays
    if that is 0), one unit after another. Each change lowers the energy
    -x @ weight @ x / 2, so that this ends.

    Args:
        units: how many there are.

    Attributes:
        weight: shape (units, units), symmetric with diagonal 0; at first 0.

    Input: patterns, shape (n, units). Result: those that the net ends with, of the same
    shape.

    Example:
        >>> import plait
        >>> from plait import models
        >>> net = models.HopfieldNet(6)
        >>> net.store(plait.asarray([[1.0, 1, 1, -1, -1, -1]]))
        >>> net(plait.asarray([[-1.0, 1, 1, -1, -1, 1]])).tolist()
        [[1.0, 1.0, 1.0, -1.0, -1.0, -1.0]]

    Source: J. Hopfield, "Neural networks and physical systems with emergent collective
    computational abilities", 1982; L. Personnaz et al., "Information storage and
    retrieval in spin-glass like neural networks", 1985 (projection).
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        self.weight = nn.Buffer(plait.zeros((units, units)))

    def store(self, patterns: Any, rule: str = "hebb") -> None:
        """Keep patterns, in place of those before.

        Args:
            patterns: -1 and 1, shape (n, units).
            rule: "hebb": the sum of patterns.mT @ patterns / units, for patterns that
                are little alike, at most 0.138 * units of them. "projection": the
                matrix that leaves the patterns as they are, for any patterns that do
                not follow from one another.

        Raises:
            ArgumentError: there is no such rule, or other numbers are in the patterns.
            ShapeError: the patterns do not fit.
        """
        x = self._rows(patterns).to(plait.float64)
        if not plait.all(plait.abs(x) == 1):
            raise ArgumentError(
                "[HopfieldNet] patterns are -1 and 1", fix="of 0 and 1, take 2 * x - 1"
            )
        if rule == "hebb":
            weight = x.mT @ x / x.shape[1]
        elif rule == "projection":
            weight = plait.linalg.pinv(x) @ x
        else:
            raise ArgumentError(
                "[HopfieldNet] unknown rule",
                got=repr(rule),
                expected="'hebb' or 'projection'",
            )
        eye = plait.eye(x.shape[1], dtype=plait.float64)
        self.weight.data = (weight * (1 - eye)).to(self.weight.dtype)

    def forward(self, x: Tensor, sweeps: int = 10) -> Tensor:
        """Return what patterns become.

        Args:
            x: -1 and 1, shape (n, units).
            sweeps: how often all units are looked at.
        """
        x = self._rows(x)

        def unit(state: Tensor, place: Tensor) -> tuple[Tensor, None]:
            field = state @ plait.take(self.weight, place, axis=0)
            own = plait.take(state, place, axis=1)
            new = plait.where(field == 0, own, plait.sign(field))
            here = plait.arange(state.shape[1]) == place
            return plait.where(here, new.expand_dims(1), state), None

        def sweep(state: Tensor, _: None) -> tuple[Tensor, None]:
            return plait.scan(unit, state, plait.arange(state.shape[1]))[0], None

        result: Tensor = plait.scan(sweep, x, length=sweeps)[0]
        return result

    def energy(self, x: Tensor) -> Tensor:
        """Return the energy of patterns: shape (n, units) gives (n,)."""
        x = self._rows(x)
        return -((x @ self.weight) * x).sum(-1) / 2

    def _rows(self, x: Any) -> Tensor:
        return rows(self, x, self.weight, self.weight.shape[0], "patterns")

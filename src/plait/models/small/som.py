"""The self-organising map: a net of points that lays itself over the data.

Read first: `SelfOrganizingMap`.
"""

from __future__ import annotations

import plait
from plait import Tensor

from ... import nn
from ...errors import ShapeError


class SelfOrganizingMap(nn.Module):
    """A grid of points; neighbours on the grid come to be neighbours among the data.

    For one example after another, the nearest point and those around it on the grid
    move towards the example: by rate * exp(-d ** 2 / (2 * radius ** 2)) of the way,
    with d the distance on the grid. Rate and radius shrink while it learns.

    Args:
        rows, columns: of the grid.
        features: how many numbers an example has.

    Attributes:
        points: shape (rows * columns, features), at first N(0, 0.1 ** 2).

    Input: shape (n, features). Result: int64, shape (n, 2): the row and the column of
    the nearest point.

    Example:
        >>> import plait
        >>> from plait import models
        >>> plait.manual_seed(0)  # doctest: +ELLIPSIS
        <...>
        >>> x = plait.random.uniform(shape=(200, 2))
        >>> net = models.SelfOrganizingMap(4, 4, 2)
        >>> before = net.error(x).item()
        >>> net.fit(x, epochs=5)
        >>> net.error(x).item() < before / 3
        True

    Source: T. Kohonen, "Self-organized formation of topologically correct feature
    maps", 1982.
    """

    def __init__(self, rows: int, columns: int, features: int) -> None:
        super().__init__()
        self.rows = rows
        self.columns = columns
        places = plait.random.normal(0.0, 0.1, shape=(rows * columns, features))
        self.points = nn.Buffer(places)

    def forward(self, x: Tensor) -> Tensor:
        nearest = plait.argmin(self._squares(x), axis=1)
        return plait.stack([nearest // self.columns, nearest % self.columns], axis=1)

    def error(self, x: Tensor) -> Tensor:
        """Return the mean distance from examples to the points nearest to them."""
        return plait.sqrt(plait.min(self._squares(x), axis=1)).mean()

    def fit(
        self,
        x: Tensor,
        epochs: int = 10,
        rate: tuple[float, float] = (0.5, 0.02),
        radius: tuple[float, float] | None = None,
    ) -> None:
        """Learn from examples, in a new order in each epoch.

        Args:
            x: shape (n, features).
            epochs: how often all are seen.
            rate: at the beginning and at the end.
            radius: the same. Default: half the longer side of the grid, and 0.5.
        """
        self._check(x)
        first, last = radius or (max(self.rows, self.columns) / 2, 0.5)
        units = plait.arange(self.rows * self.columns)
        places = plait.stack([units // self.columns, units % self.columns], axis=1)
        grid = places.to(self.points.dtype)
        steps = epochs * x.shape[0]

        def step(points: Tensor, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, None]:
            order, number = pair
            example = plait.take(x, order, axis=0)
            done = number.to(points.dtype) / steps
            near = plait.argmin(((points - example) ** 2).sum(1))
            apart = ((grid - plait.take(grid, near, axis=0)) ** 2).sum(1)
            width = first * (last / first) ** done
            share = rate[0] * (rate[1] / rate[0]) ** done
            pull = share * plait.exp(-apart / (2 * width**2))
            return points + pull.expand_dims(1) * (example - points), None

        with plait.no_grad():
            orders = [plait.randperm(x.shape[0]) for _ in range(epochs)]
            pairs = (plait.concat(orders), plait.arange(steps))
            self.points.data, _ = plait.scan(step, self.points.detach(), pairs)

    def _check(self, x: Tensor) -> None:
        if x.ndim != 2 or x.shape[1] != self.points.shape[1]:
            raise ShapeError(
                "[SelfOrganizingMap] the examples do not fit",
                got=str(x.shape),
                expected=f"(n, {self.points.shape[1]})",
            )

    def _squares(self, x: Tensor) -> Tensor:
        self._check(x)
        return ((x.expand_dims(1) - self.points) ** 2).sum(2)

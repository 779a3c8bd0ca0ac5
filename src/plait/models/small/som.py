"""The self-organising map: a net of points that lays itself over the data.

Read first: `SelfOrganizingMap`.
"""

from __future__ import annotations

from typing import Any

import plait
from plait import Tensor

from ... import nn
from .rows import rows


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
        >>> net.fit(x, epochs=5).shape, net.error(x).item() < 0.2
        ((5,), True)

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
        x: Any,
        epochs: int = 10,
        rate: tuple[float, float] = (0.5, 0.02),
        radius: tuple[float, float] | None = None,
    ) -> Tensor:
        """Learn from examples, in a new order in each epoch.

        Args:
            x: shape (n, features).
            epochs: how often all are seen.
            rate: at the beginning and at the end.
            radius: the same. Default: half the longer side of the grid, and 0.5.

        Returns:
            The mean distances from examples to the points nearest to them, when each
            was looked at: shape (epochs,).
        """
        x = self._rows(x)
        first, last = radius or (max(self.rows, self.columns) / 2, 0.5)
        units = plait.arange(self.rows * self.columns)
        places = plait.stack([units // self.columns, units % self.columns], axis=1)
        grid = places.to(self.points.dtype)
        count = x.shape[0]
        steps = plait.arange(count)

        def step(points: Tensor, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            example, number = pair
            done = number.to(points.dtype) / (epochs * count)
            squares = ((points - example) ** 2).sum(1)
            near = plait.argmin(squares)
            apart = ((grid - plait.take(grid, near, axis=0)) ** 2).sum(1)
            width = first * (last / first) ** done
            share = rate[0] * (rate[1] / rate[0]) ** done
            pull = share * plait.exp(-apart / (2 * width**2))
            moved = points + pull.expand_dims(1) * (example - points)
            return moved, plait.sqrt(plait.min(squares))

        def epoch(points: Tensor, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            key, number = pair
            order = plait.random.permutation(count, key=key)
            examples = (plait.take(x, order, axis=0), number * count + steps)
            points, distances = plait.scan(step, points, examples)
            return points, distances.mean()

        with plait.no_grad():
            keys = plait.random.split(plait.random.next_key(), epochs)
            every = (keys, plait.arange(epochs))
            self.points.data, distances = plait.scan(epoch, self.points.detach(), every)
        found: Tensor = distances
        return found

    def _rows(self, x: Any) -> Tensor:
        return rows(self, x, self.points, self.points.shape[1])

    def _squares(self, x: Tensor) -> Tensor:
        x = self._rows(x)
        return ((x.expand_dims(1) - self.points) ** 2).sum(2)

"""Rows of a table, as dictionaries of numbers and texts, made into one array.

    space = FeatureSpace({"age": "float_normalized", "job": "string_categorical"})
    space.adapt(table)
    space({"age": [31, 58], "job": ["cook", "smith"]})        float32, shape (2, 1 + k)

Read first: `FeatureSpace`, `Feature`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

import plait

from ..errors import ArgumentError, ArgumentTypeError, IndexingError, ShapeError
from ..nn.adapted import Normalization
from ..nn.categories import Discretization
from .text import Ids, Vocabulary
from .vectorization import hash_tokens

Column = NDArray[Any]
Floats = NDArray[np.float32]


class Feature:
    """One column of a table: what it means, and how it becomes numbers."""

    def adapt(self, column: Column) -> None:
        """Find out from all values of the column what must be known."""

    def __call__(self, column: Column) -> Floats:
        """Return values as float32, shape (number of values, width)."""
        return _one_hot(self.ids(column), self.width)

    @property
    def width(self) -> int:
        """How many numbers a value becomes."""
        return 1

    def ids(self, column: Column) -> Ids:
        """Return the number of each value's category.

        Raises:
            ArgumentError: the feature has no categories.
        """
        raise ArgumentError(
            "[FeatureSpace] a number cannot be crossed",
            got=type(self).__name__,
            fix="make it a Ranges",
        )


def _one_hot(ids: Ids, width: int) -> Floats:
    return np.equal.outer(ids, np.arange(width)).astype(np.float32)


class Numeric(Feature):
    """A number, as it is, scaled, or with mean 0 and variance 1.

    Args:
        scale, offset: x * scale + offset, before anything else.
        normalize: subtract the mean of the data, and divide by their deviation.
    """

    def __init__(
        self, scale: float = 1.0, offset: float = 0.0, normalize: bool = False
    ) -> None:
        self.scale, self.offset = scale, offset
        self._normalize = Normalization(None) if normalize else None

    def _scaled(self, column: Column) -> NDArray[np.float64]:
        return np.asarray(column, np.float64) * self.scale + self.offset

    def adapt(self, column: Column) -> None:
        """Find out mean and variance."""
        if self._normalize is not None:
            self._normalize.adapt(self._scaled(column))

    def __call__(self, column: Column) -> Floats:
        values = self._scaled(column)
        if self._normalize is not None:
            values = self._normalize(plait.asarray(values)).numpy()
        return values.astype(np.float32)[:, None]


class Ranges(Feature):
    """A number, as the range that it lies in; see `plait.nn.Discretization`.

    Args:
        num_bins: how many ranges, each with as many of the data.
        bin_boundaries: or where they meet.
    """

    def __init__(
        self,
        num_bins: int | None = None,
        bin_boundaries: Sequence[float] | None = None,
    ) -> None:
        self._layer = Discretization(bin_boundaries, num_bins)
        self._fixed = bin_boundaries is not None

    @property
    def width(self) -> int:
        """The number of ranges."""
        return self._layer.num_bins

    def adapt(self, column: Column) -> None:
        """Find out where the ranges meet."""
        if not self._fixed:
            self._layer.adapt(np.asarray(column, np.float64))

    def ids(self, column: Column) -> Ids:
        """Return the number of the range of each value."""
        found = self._layer(plait.asarray(np.asarray(column, np.float64)))
        return np.asarray(found.numpy())


class Category(Feature):
    """A text or an integer out of a vocabulary.

    Args:
        max_tokens: how many there are at most, with one for unknown ones. None: all.
        vocabulary: the texts or integers. None: those of the data, the most frequent
            ones first.
    """

    def __init__(
        self, max_tokens: int | None = None, vocabulary: Sequence[Any] | None = None
    ) -> None:
        self.max_tokens = max_tokens
        self._fixed = vocabulary is not None
        tokens = map(str, vocabulary or ())
        self.vocabulary = Vocabulary(tokens, padding=None)

    @property
    def width(self) -> int:
        """The size of the vocabulary."""
        return len(self.vocabulary)

    def adapt(self, column: Column) -> None:
        """Make the vocabulary."""
        if not self._fixed:
            self.vocabulary = Vocabulary.of(
                [map(str, column.tolist())], max_size=self.max_tokens, padding=None
            )

    def ids(self, column: Column) -> Ids:
        """Return the number of each value; 0 for unknown ones."""
        return self.vocabulary.encode(map(str, column.tolist()))


class Hashed(Feature):
    """A text or an integer, numbered by its hash; see `hash_tokens`.

    Args:
        num_bins: how many numbers there are.
    """

    def __init__(self, num_bins: int = 32) -> None:
        self.num_bins = num_bins

    @property
    def width(self) -> int:
        """How many numbers there are."""
        return self.num_bins

    def ids(self, column: Column) -> Ids:
        """Return the number of each value."""
        return hash_tokens(column, self.num_bins)


# Kinds by name.
_KINDS: dict[str, Callable[[], Feature]] = {
    "float": Numeric,
    "float_normalized": lambda: Numeric(normalize=True),
    "float_discretized": lambda: Ranges(32),
    "integer_categorical": Category,
    "string_categorical": Category,
    "integer_hashed": Hashed,
    "string_hashed": Hashed,
}


class FeatureSpace:
    """Makes one array of the columns of a table, or of its rows.

    Args:
        features: name of a column -> what it is: a `Numeric`, `Ranges`, `Category` or
            `Hashed`, or one of "float", "float_normalized", "float_discretized",
            "integer_categorical", "string_categorical", "integer_hashed" and
            "string_hashed". Other columns of a table are left out.
        crosses: names of columns that are taken together: each combination of their
            categories is hashed to a category of its own.
        crossing_dim: how many categories a cross has.
        output_mode: "concat": one array; "dict": an array for each column.

    Raises:
        ArgumentError: no features, no such kind or mode, a cross of one column, of a
            number or of a column that is no feature.

    Example:
        >>> space = FeatureSpace({"size": Numeric(0.1), "kind": Category(None, "ab")})
        >>> space({"size": [10, 20], "kind": ["b", "z"]})
        array([[1., 0., 0., 1.],
               [2., 1., 0., 0.]], dtype=float32)
    """

    def __init__(
        self,
        features: Mapping[str, Feature | str],
        *,
        crosses: Sequence[Sequence[str]] = (),
        crossing_dim: int = 32,
        output_mode: str = "concat",
    ) -> None:
        if not features or output_mode not in ("concat", "dict"):
            raise ArgumentError(
                "[FeatureSpace] there are features, and the mode is 'concat' or 'dict'",
                got=f"{len(features)} features, output_mode={output_mode!r}",
            )
        self.features = {name: _feature(name, kind) for name, kind in features.items()}
        self.crosses = [tuple(names) for names in crosses]
        self.crossing_dim, self.output_mode = crossing_dim, output_mode
        for names in self.crosses:
            if len(names) < 2 or any(name not in self.features for name in names):
                raise ArgumentError(
                    "[FeatureSpace] a cross names two features or more",
                    got=repr(names),
                    expected=f"of {', '.join(self.features)}",
                )
            for name in names:
                if isinstance(self.features[name], Numeric):
                    self.features[name].ids(np.empty(0))

    @property
    def widths(self) -> dict[str, int]:
        """How many numbers each column and each cross becomes, in order."""
        found = {name: feature.width for name, feature in self.features.items()}
        return found | {_joined(names): self.crossing_dim for names in self.crosses}

    def adapt(self, table: Mapping[str, Any]) -> Self:
        """Find out means, ranges and vocabularies from a table; return this.

        Args:
            table: name of a column -> all its values. Other columns may be there.

        Raises:
            IndexingError: a column is missing.
        """
        columns, _ = self._columns(table)
        for name, feature in self.features.items():
            feature.adapt(columns[name])
        return self

    def __call__(self, table: Mapping[str, Any]) -> Any:
        """Return a table, or a single row, as numbers.

        Args:
            table: name of a column -> its values, or a single value.

        Returns:
            float32, shape (number of rows, sum of the widths), or without rows for a
            single row; or a dictionary of such arrays.

        Raises:
            IndexingError: a column is missing.
            ShapeError: columns of different lengths.
        """
        columns, single = self._columns(table)
        parts = {name: f(columns[name]) for name, f in self.features.items()}
        for names in self.crosses:
            ids = [self.features[name].ids(columns[name]) for name in names]
            rows = zip(*(part.tolist() for part in ids), strict=True)
            crossed = hash_tokens([str(row) for row in rows], self.crossing_dim)
            parts[_joined(names)] = _one_hot(crossed, self.crossing_dim)
        if single:
            parts = {name: part[0] for name, part in parts.items()}
        if self.output_mode == "dict":
            return parts
        return np.concatenate(list(parts.values()), axis=-1)

    def _columns(self, table: Mapping[str, Any]) -> tuple[dict[str, Column], bool]:
        """Return the columns as arrays of one axis, and whether it was a single row."""
        missing = [name for name in self.features if name not in table]
        if missing:
            raise IndexingError(
                "[FeatureSpace] the table lacks a column",
                got=", ".join(map(repr, table)),
                expected=", ".join(map(repr, missing)),
            )
        arrays = {name: _array(table[name]) for name in self.features}
        single = all(array.ndim == 0 for array in arrays.values())
        columns = {name: np.atleast_1d(array) for name, array in arrays.items()}
        shapes = {array.shape for array in columns.values()}
        if len(shapes) > 1 or len(next(iter(shapes))) != 1:
            raise ShapeError(
                "[FeatureSpace] columns have one axis, and the same length",
                got=", ".join(f"{n} {x.shape}" for n, x in columns.items()),
            )
        return columns, single

    def __repr__(self) -> str:
        return f"<FeatureSpace of {', '.join(self.widths)}>"


def _joined(names: Sequence[str]) -> str:
    return "_X_".join(names)


def _array(values: Any) -> Column:
    if isinstance(values, plait.Tensor):
        return values.numpy()
    return np.asarray(values)


def _feature(name: str, kind: Feature | str) -> Feature:
    if isinstance(kind, Feature):
        return kind
    if not isinstance(kind, str):
        raise ArgumentTypeError(
            f"[FeatureSpace] {name!r} is no feature", got=f"a {type(kind).__name__}"
        )
    if kind not in _KINDS:
        raise ArgumentError(
            f"[FeatureSpace] {name!r} is of no known kind",
            got=repr(kind),
            expected=", ".join(map(repr, _KINDS)),
        )
    return _KINDS[kind]()

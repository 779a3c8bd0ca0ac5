"""Data sets as an algebra: made into larger, smaller, changed and mixed ones.

    Dataset ::= ListDataset | ArrayDataset                 where samples come from
              | TransformDataset   .map(f)                 changed
              | ConcatDataset      a + b                   one after another
              | ShuffleDataset     .shuffle(seed)          in another order each epoch
              | Subset             .subset(indices)        some of them
              | SplitDataset       .split({"train": 0.9})  in named parts
              | ResampleDataset    .sample(n)              drawn at random
              | BatchDataset       .batch(size)            several at a time

A sample is an array or a number, or a tuple or dictionary of them; a batch has the
same structure, with one more axis in front. Data sets do not change once made, and
those that only choose and order samples hand whole lists of indices down, so that a
batch of arrays is taken in one piece however long the chain is.

Values here are NumPy arrays; `loader.py` makes tensors of them.

Read first: `Dataset`, `ArrayDataset`.

Source: R. Collobert, L. van der Maaten, A. Joulin, "Torchnet: an open-source platform
for (deep) learning research", ICML workshop, 2016, for the algebra and most names.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import plait

from ..errors import (
    ArgumentError,
    ArgumentTypeError,
    DTypeError,
    IndexingError,
    ShapeError,
)

Indices = NDArray[np.intp]
Function = Callable[[Any], Any]

# A stream of random words for each use, so that equal seeds are not equal choices.
_SHUFFLE, _SPLIT, _SAMPLE = range(3)
_POLICIES = ("include-last", "skip-last", "divisible-only")


class Dataset:
    """Samples by their number, and data sets made from this one.

    `dataset[3]` is a sample, `dataset[-1]` the last; `dataset[2:5]`, `dataset[[4, 1]]`
    and `dataset[mask]` are batches.

    A subclass says how many samples it has, `__len__`, and what each is, `item` (or
    `__getitem__` for an int, as in PyTorch). It may also say how to take many at once,
    `gather`, and what it is in another epoch, `at_epoch`.
    """

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} has no __len__")

    def item(self, index: int) -> Any:
        """Return sample `index`, from 0 up to but without the length."""
        raise NotImplementedError(f"{type(self).__name__} has no item()")

    def gather(self, indices: Indices) -> Any:
        """Return the samples of these valid indices as one batch of new arrays."""
        return collate([self[index] for index in indices.tolist()])

    def at_epoch(self, epoch: int) -> Dataset:
        """Return this data set as it is in an epoch; only shuffled ones differ."""
        return self

    def __getitem__(self, index: Any) -> Any:
        n = len(self)
        if isinstance(index, slice):
            return self.gather(np.arange(*index.indices(n), dtype=np.intp))
        if isinstance(index, (list, tuple, range)) or _has_axes(index):
            return self.gather(as_indices(index, n))
        return self.item(_checked_index(index, n))

    def __iter__(self) -> Iterator[Any]:
        for index in range(len(self)):
            yield self[index]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)}>"

    def __add__(self, other: Any) -> ConcatDataset:
        return ConcatDataset(self, other)

    def map(
        self,
        function: Function | Mapping[Any, Function],
        *,
        key: Any = None,
        batched: bool = False,
    ) -> TransformDataset:
        """Return this data set with each sample changed; see `TransformDataset`."""
        return TransformDataset(self, function, key=key, batched=batched)

    def shuffle(self, seed: int = 0) -> ShuffleDataset:
        """Return the same samples in a random order, another in each epoch."""
        return ShuffleDataset(self, seed)

    def subset(self, indices: Any) -> Subset:
        """Return the samples of `indices`, in that order."""
        return Subset(self, indices)

    def split(
        self, parts: Mapping[str, float], *, seed: int | None = None
    ) -> SplitDataset:
        """Return this data set in named parts; see `SplitDataset`."""
        return SplitDataset(self, parts, seed=seed)

    def sample(
        self,
        size: int | None = None,
        *,
        seed: int = 0,
        weights: Any = None,
        replacement: bool = True,
    ) -> ResampleDataset:
        """Return samples drawn at random; see `ResampleDataset`."""
        return ResampleDataset(
            self, size, seed=seed, weights=weights, replacement=replacement
        )

    def batch(self, size: int, policy: str = "include-last") -> BatchDataset:
        """Return batches of `size` samples; see `BatchDataset`."""
        return BatchDataset(self, size, policy)


class ListDataset(Dataset):
    """The elements of a list, or of anything with a length and numbered elements.

    Args:
        elements: the samples, or what `load` makes samples of, such as paths of files.
        load: makes a sample of an element, each time it is asked for.
    """

    def __init__(self, elements: Any, load: Function | None = None) -> None:
        if not hasattr(elements, "__len__") or not hasattr(elements, "__getitem__"):
            raise ArgumentTypeError(
                "[ListDataset] the elements have no length or no numbers",
                got=f"a {type(elements).__name__}",
                expected="a list",
                fix="list(...) reads an iterator into one",
            )
        self.elements = elements
        self.load = load

    def __len__(self) -> int:
        return len(self.elements)

    def item(self, index: int) -> Any:
        """Return element `index`, loaded."""
        element = self.elements[index]
        return element if self.load is None else self.load(element)


class ArrayDataset(Dataset):
    """The rows of arrays: sample i is row i of each.

    Of one array the samples are its rows, of several they are tuples, of a dictionary
    they are dictionaries. The arrays are shared, not copied, and must not change.

    Args:
        arrays: NumPy arrays, tensors or nested lists, of equal lengths; or one
            dictionary of them.

    Raises:
        ShapeError: the lengths differ, or an array has no axis.
        ArgumentError: there is no array.

    Example:
        >>> dataset = ArrayDataset(np.eye(3), np.arange(3))
        >>> dataset[1]
        (array([0., 1., 0.]), np.int64(1))
    """

    def __init__(self, *arrays: Any) -> None:
        self.keys: tuple[Any, ...] | None = None
        self._bare = False
        if len(arrays) == 1 and isinstance(arrays[0], Mapping):
            self.keys = tuple(arrays[0])
            arrays = tuple(arrays[0].values())
        elif len(arrays) == 1:
            self._bare = True
        if not arrays:
            raise ArgumentError("[ArrayDataset] there is no array")
        self.arrays = tuple(_as_array(array) for array in arrays)
        names = self.keys or range(len(arrays))
        for name, array in zip(names, self.arrays, strict=True):
            if not array.ndim:
                raise ShapeError(
                    f"[ArrayDataset] array {name!r} is a single number",
                    expected="an axis that counts the samples",
                )
        lengths = {len(array) for array in self.arrays}
        if len(lengths) > 1:
            pairs = zip(names, self.arrays, strict=True)
            raise ShapeError(
                "[ArrayDataset] the arrays have unequal lengths",
                got=", ".join(f"{name!r}: {len(array)}" for name, array in pairs),
            )
        self._length = lengths.pop()

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        kinds = [f"{a.dtype}{list(a.shape[1:]) or ''}" for a in self.arrays]
        if self.keys is not None:
            kinds = [f"{k!r}: {kind}" for k, kind in zip(self.keys, kinds, strict=True)]
        return f"<ArrayDataset of {len(self)}: {', '.join(kinds)}>"

    def item(self, index: int) -> Any:
        """Return row `index` of each array."""
        return self._built([array[index] for array in self.arrays])

    def gather(self, indices: Indices) -> Any:
        """Return these rows of each array."""
        return self._built([array.take(indices, 0) for array in self.arrays])

    def _built(self, parts: list[Any]) -> Any:
        if self._bare:
            return parts[0]
        if self.keys is None:
            return tuple(parts)
        return dict(zip(self.keys, parts, strict=True))


class TransformDataset(Dataset):
    """The samples of a data set, each changed by a function when it is asked for.

    Args:
        source: what to change.
        function: makes a new sample of a sample; or, as a dictionary, new entries of
            those that it names: `{"image": f, "label": g}`, or `{0: f}` for tuples.
        key: change only this entry of the sample.
        batched: the function takes and gives whole batches. It then runs once for each
            batch, in NumPy, and not once for each sample, in Python.

    Raises:
        IndexingError: when a sample has no such entry.
    """

    def __init__(
        self,
        source: Any,
        function: Function | Mapping[Any, Function],
        *,
        key: Any = None,
        batched: bool = False,
    ) -> None:
        self.source = as_dataset(source)
        self.function = function
        self.key = key
        self.batched = batched
        if isinstance(function, Mapping):
            if key is not None:
                raise ArgumentError("[map] give a dictionary of functions, or a key")
            self._functions = dict(function)
        elif callable(function):
            self._functions = {} if key is None else {key: function}
        else:
            raise ArgumentTypeError(
                "[map] this cannot be called", got=f"a {type(function).__name__}"
            )

    def __len__(self) -> int:
        return len(self.source)

    def item(self, index: int) -> Any:
        """Return sample `index`, changed."""
        if self.batched:
            return _map_tree(lambda x: x[0], self.gather(np.array([index], np.intp)))
        return self._changed(self.source[index])

    def gather(self, indices: Indices) -> Any:
        """Return these samples, changed."""
        if self.batched:
            return self._changed(self.source.gather(indices))
        return super().gather(indices)

    def at_epoch(self, epoch: int) -> Dataset:
        """Return the source in that epoch, changed."""
        source = self.source.at_epoch(epoch)
        if source is self.source:
            return self
        return TransformDataset(
            source, self.function, key=self.key, batched=self.batched
        )

    def _changed(self, value: Any) -> Any:
        if not self._functions:
            assert callable(self.function)
            return self.function(value)
        is_dict = isinstance(value, dict)
        if not is_dict and not isinstance(value, (tuple, list)):
            raise IndexingError(
                "[map] a sample without entries has no keys",
                got=f"key {next(iter(self._functions))!r}",
                fix="call map(function) without a key",
            )
        entries: Any = dict(value) if is_dict else list(value)
        for key, function in self._functions.items():
            try:
                before = entries[key]
            except (LookupError, TypeError):
                raise IndexingError(
                    "[map] the sample has no such entry",
                    got=f"key {key!r}",
                    expected=" or ".join(map(repr, entries))
                    if is_dict
                    else f"0 to {len(entries) - 1}",
                ) from None
            entries[key] = function(before)
        if is_dict:
            return entries
        return type(value)(*entries) if hasattr(value, "_fields") else tuple(entries)


class ConcatDataset(Dataset):
    """The samples of several data sets, one after another.

    Args:
        sources: data sets, whose samples have equal structure and element types.

    Raises:
        ArgumentError, ShapeError, DTypeError: when a batch reaches over data sets whose
            samples do not fit together.
    """

    def __init__(self, *sources: Any) -> None:
        if not sources:
            raise ArgumentError("[concat] there is no data set")
        self.sources = tuple(as_dataset(source) for source in sources)
        lengths = [len(source) for source in self.sources]
        self._ends = np.cumsum(lengths)
        self._starts = self._ends - lengths

    def __len__(self) -> int:
        return int(self._ends[-1])

    def item(self, index: int) -> Any:
        """Return sample `index`, counted from the first of the first data set."""
        at = int(self._ends.searchsorted(index, "right"))
        return self.sources[at][index - int(self._starts[at])]

    def gather(self, indices: Indices) -> Any:
        """Return these samples, from whichever data set they are in."""
        which = np.searchsorted(self._ends, indices, side="right")
        present = np.unique(which)
        if len(present) == 0:
            return self.sources[0].gather(indices)
        parts, places = [], []
        for at in present:
            place = np.flatnonzero(which == at)
            parts.append(self.sources[at].gather(indices[place] - self._starts[at]))
            places.append(place)
        if len(parts) == 1:
            return parts[0]
        back = np.argsort(np.concatenate(places))
        return _map_tree(lambda *pieces: _joined(pieces, back), *parts)

    def at_epoch(self, epoch: int) -> Dataset:
        """Return all sources in that epoch, one after another."""
        sources = [source.at_epoch(epoch) for source in self.sources]
        if all(a is b for a, b in zip(sources, self.sources, strict=True)):
            return self
        return ConcatDataset(*sources)


class _Chosen(Dataset):
    """Samples of a data set by their indices in it, which a subclass makes."""

    source: Dataset
    _known: Indices | None = None

    def _order(self) -> Indices:
        raise NotImplementedError

    @property
    def indices(self) -> Indices:
        """Which sample of the source stands at each place."""
        if self._known is None:
            self._known = self._order()
        return self._known

    def __len__(self) -> int:
        return len(self.indices)

    def item(self, index: int) -> Any:
        """Return the sample that stands at place `index`."""
        return self.source[int(self.indices[index])]

    def gather(self, indices: Indices) -> Any:
        """Return the samples that stand at these places."""
        return self.source.gather(self.indices[indices])


class ShuffleDataset(_Chosen):
    """The samples of a data set in a random order, another in each epoch.

    The order depends on the seed, the epoch and the length alone: epoch 7 can be had
    without the six before it, and is the same on every machine.

    Args:
        source: what to shuffle.
        seed: from 0 to 2**64 - 1.
        epoch: 0 for the first.
    """

    def __init__(self, source: Any, seed: int = 0, epoch: int = 0) -> None:
        self.source = as_dataset(source)
        self.seed = _checked_seed("shuffle", seed)
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.source)

    def _order(self) -> Indices:
        return permutation(len(self.source), self.seed, _SHUFFLE, self.epoch)

    def at_epoch(self, epoch: int) -> Dataset:
        """Return the samples in the order of that epoch."""
        return ShuffleDataset(self.source.at_epoch(epoch), self.seed, epoch)


class Subset(_Chosen):
    """Some samples of a data set, in a given order.

    They are the same in every epoch, even of a shuffled source, so that two subsets
    that have no sample in common never come to have one.

    Args:
        source: where the samples are.
        indices: a list, array, range or slice of places, or one bool for each sample.

    Raises:
        IndexingError: an index is out of range, or the mask is of another length.
    """

    def __init__(self, source: Any, indices: Any) -> None:
        self.source = as_dataset(source)
        self._known = as_indices(indices, len(self.source))


class SplitDataset(_Chosen):
    """A data set in named parts that have no sample in common, one of them selected.

    The parts are the same in every epoch, even of a shuffled source.

    Args:
        source: what to split.
        parts: name of each part -> its fraction of the samples (float) or its number of
            samples (int). Fractions that sum to 1 leave none out.
        seed: deal the samples out at random. Default: the parts lie one after another,
            in the order of the source, which is wrong for samples sorted by label.
        selected: the part that this data set is. Default: the first.

    Raises:
        ArgumentError: the parts are more than all, mixed, negative or empty.

    Example:
        >>> parts = ListDataset(range(10)).split({"train": 0.8, "valid": 0.2})
        >>> list(parts.select("valid"))
        [8, 9]
    """

    def __init__(
        self,
        source: Any,
        parts: Mapping[str, float],
        *,
        seed: int | None = None,
        selected: str | None = None,
    ) -> None:
        self.source = as_dataset(source)
        if not isinstance(parts, Mapping):
            raise ArgumentTypeError(
                "[split] the parts have no names",
                got=f"a {type(parts).__name__}",
                expected="{'train': 0.9, 'valid': 0.1} or {'train': 900, 'valid': 100}",
            )
        self.parts = dict(parts)
        self.seed = None if seed is None else _checked_seed("split", seed)
        n = len(self.source)
        self.sizes = _part_sizes(self.parts, n)
        self.selected = next(iter(self.sizes)) if selected is None else selected
        if self.selected not in self.sizes:
            raise ArgumentError(
                "[split] there is no such part",
                got=repr(selected),
                expected=" or ".join(map(repr, self.sizes)),
            )

    def _order(self) -> Indices:
        n = len(self.source)
        if self.seed is None:
            every = np.arange(n, dtype=np.intp)
        else:
            every = permutation(n, self.seed, _SPLIT)
        start = 0
        for name, size in self.sizes.items():
            if name == self.selected:
                break
            start += size
        return every[start : start + self.sizes[self.selected]]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parts."""
        return tuple(self.sizes)

    def select(self, name: str) -> SplitDataset:
        """Return the part of this name."""
        return SplitDataset(self.source, self.parts, seed=self.seed, selected=name)


class ResampleDataset(_Chosen):
    """Samples drawn at random from a data set, others in each epoch.

    Args:
        source: where to draw from.
        size: how many to draw. Default: as many as the source has.
        seed: from 0 to 2**64 - 1.
        weights: one number for each sample of the source; it is drawn with a
            probability proportional to it. Default: all are equally likely.
        replacement: a sample may be drawn again. Without, no weights can be given.
        epoch: 0 for the first.

    Raises:
        ArgumentError: more are drawn than there are, or no weight is positive.
    """

    def __init__(
        self,
        source: Any,
        size: int | None = None,
        *,
        seed: int = 0,
        weights: Any = None,
        replacement: bool = True,
        epoch: int = 0,
    ) -> None:
        self.source = as_dataset(source)
        self.seed = _checked_seed("sample", seed)
        self.replacement = replacement
        self.epoch = epoch
        n = len(self.source)
        self.size = n if size is None else _checked_size("sample", size, least=0)
        if self.size and (n == 0 or (not replacement and self.size > n)):
            raise ArgumentError(
                "[sample] there are not so many samples to draw",
                got=f"{self.size} of {n}",
                fix="draw fewer, or with replacement=True" if n else "",
            )
        self.weights = weights
        self._steps: NDArray[np.float64] | None = None
        if weights is not None:
            if not replacement:
                raise ArgumentError("[sample] weights need replacement=True")
            self._steps = _cumulative(weights, n)

    def __len__(self) -> int:
        return self.size

    def _order(self) -> Indices:
        n = len(self.source)
        if not self.replacement:
            return permutation(n, self.seed, _SAMPLE, self.epoch)[: self.size]
        uniform = (_words(self.size, self.seed, _SAMPLE, self.epoch) >> 11) * 2.0**-53
        if self._steps is None:
            return np.minimum((uniform * n).astype(np.intp), n - 1)
        return np.searchsorted(self._steps, uniform, side="right").astype(np.intp)

    def at_epoch(self, epoch: int) -> Dataset:
        """Return what is drawn in that epoch."""
        return ResampleDataset(
            self.source.at_epoch(epoch),
            self.size,
            seed=self.seed,
            weights=self.weights,
            replacement=self.replacement,
            epoch=epoch,
        )


class BatchDataset(Dataset):
    """The samples of a data set, several at a time: its samples are batches.

    Args:
        source: what to take samples of.
        size: how many are in a batch.
        policy: what becomes of samples that do not fill a batch. "include-last": the
            last batch is smaller. "skip-last": they are left out. "divisible-only":
            there must be none.

    Raises:
        ArgumentError: an unknown policy, a size below 1, or samples left over.
    """

    def __init__(self, source: Any, size: int, policy: str = "include-last") -> None:
        self.source = as_dataset(source)
        self.size = _checked_size("batch", size)
        self.policy = policy
        n = len(self.source)
        if policy not in _POLICIES:
            raise ArgumentError(
                "[batch] unknown policy",
                got=repr(policy),
                expected=" or ".join(map(repr, _POLICIES)),
            )
        if policy == "divisible-only" and n % self.size:
            raise ArgumentError(
                "[batch] the samples do not divide into batches",
                got=f"{n} samples in batches of {self.size}",
                fix="use 'include-last' or 'skip-last'",
            )
        rounded = n if policy == "skip-last" else n + self.size - 1
        self._length = rounded // self.size

    def __len__(self) -> int:
        return self._length

    def item(self, index: int) -> Any:
        """Return batch `index`."""
        start = index * self.size
        stop = min(start + self.size, len(self.source))
        return self.source.gather(np.arange(start, stop, dtype=np.intp))

    def at_epoch(self, epoch: int) -> Dataset:
        """Return batches of the source in that epoch."""
        source = self.source.at_epoch(epoch)
        if source is self.source:
            return self
        return BatchDataset(source, self.size, self.policy)


def as_dataset(data: Any) -> Dataset:
    """Return `data` as a data set.

    Args:
        data: a data set; an array or tensor, or a tuple or dictionary of them, whose
            rows are samples; or anything with a length and numbered elements.

    Raises:
        ArgumentTypeError: it is nothing of that kind.
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, tuple) and not hasattr(data, "_fields"):
        return ArrayDataset(*data)
    if isinstance(data, (np.ndarray, plait.Tensor, Mapping)):
        return ArrayDataset(data)
    return ListDataset(data)


def collate(samples: Sequence[Any]) -> Any:
    """Return samples of equal structure as one batch.

    Args:
        samples: arrays, tensors, numbers or strings, or tuples, lists or dictionaries
            of them. Python numbers become bool, int64 or float32; strings and None go
            into an array of objects.

    Raises:
        ArgumentError: no samples, or their structures differ.
        ShapeError: arrays differ in shape.
    """
    if not samples:
        raise ArgumentError("[collate] a batch needs at least one sample")
    first = samples[0]
    if isinstance(first, (dict, tuple, list)):
        return _map_tree(lambda *parts: collate(parts), *samples)
    if isinstance(first, (str, bytes)) or first is None:
        objects = np.empty(len(samples), object)
        objects[:] = samples
        return objects
    arrays = [_as_array(sample) for sample in samples]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise ShapeError(
            "[collate] samples of different shapes make no batch",
            got=" and ".join(map(str, sorted(shapes)[:4])),
            fix="make them equal with map(), or give the loader a collate function",
        )
    return np.stack(arrays)


def as_indices(indices: Any, length: int) -> Indices:
    """Return indices into `length` samples as an array, none of them negative.

    Args:
        indices: integers from -length to length - 1, a slice, or one bool for each.

    Raises:
        IndexingError: one is out of range, or no integer, or the mask does not fit.
    """
    if isinstance(indices, slice):
        return np.arange(*indices.indices(length), dtype=np.intp)
    array = _as_array(indices)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iub"):
        raise IndexingError(
            "[dataset] indices are a list of integers, or a bool for each sample",
            got=f"{array.dtype} of shape {array.shape}",
        )
    if array.dtype.kind == "b":
        if len(array) != length:
            raise IndexingError(
                "[dataset] the mask is not as long as the data set",
                got=str(len(array)),
                expected=str(length),
            )
        return np.flatnonzero(array)
    outside = array[(array < -length) | (array >= length)]
    if outside.size:
        raise _out_of_range(int(outside[0]), length)
    signed = array.astype(np.intp)
    return np.where(signed < 0, signed + length, signed)


def permutation(length: int, seed: int, stream: int, epoch: int = 0) -> Indices:
    """Return 0 ... length - 1 in an order that depends on the arguments alone."""
    # NumPy promises the same words of a bit generator for ever, but not the same
    # permutations. A random number and, below it, the index make keys of which no two
    # are equal, so that every sorting algorithm gives one order.
    low = np.uint64((1 << length.bit_length()) - 1)
    keys = _words(length, seed, stream, epoch) & ~low | np.arange(
        length, dtype=np.uint64
    )
    keys.sort()
    return (keys & low).astype(np.intp)


def _words(count: int, seed: int, stream: int, epoch: int) -> NDArray[np.uint64]:
    key = np.array([seed, stream], np.uint64)
    counter = np.array([0, 0, epoch, 0], np.uint64)
    words = np.random.Philox(key=key, counter=counter).random_raw(count)
    return np.asarray(words, np.uint64)


def _part_sizes(parts: Mapping[str, float], n: int) -> dict[str, int]:
    """Return how many of `n` samples each part gets."""
    values = list(parts.values())
    whole = all(type(value) is int for value in values)
    broken = any(type(value) is int for value in values) and not whole
    if not parts or broken or not all(value > 0 for value in values):
        raise ArgumentError(
            "[split] parts are all fractions, or all numbers of samples, above 0",
            got=str(dict(parts)),
            expected="{'train': 0.9, 'valid': 0.1} or {'train': 900, 'valid': 100}",
        )
    total = sum(values)
    if total > (n if whole else 1 + 1e-9):
        raise ArgumentError(
            "[split] the parts are more than all samples",
            got=f"{total:g}",
            expected=f"at most {n if whole else 1}",
        )
    if whole:
        return {name: int(value) for name, value in parts.items()}
    ends = [round(sum(values[: i + 1]) * n) for i in range(len(values))]
    sizes = [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    for name, size in zip(parts, sizes, strict=True):
        if size == 0:
            raise ArgumentError(
                "[split] a part has no samples", got=f"{name!r}, {parts[name]} of {n}"
            )
    return dict(zip(parts, sizes, strict=True))


def _cumulative(weights: Any, n: int) -> NDArray[np.float64]:
    """Return the sums of the first 1, 2, ... weights, as fractions of all."""
    array = np.asarray(_as_array(weights), np.float64)
    if array.shape != (n,):
        raise ShapeError(
            "[sample] there must be one weight for each sample",
            got=f"shape {array.shape}",
            expected=f"shape ({n},)",
        )
    total = array.sum()
    if not (np.isfinite(total) and total > 0 and (array >= 0).all()):
        raise ArgumentError(
            "[sample] weights must be finite and not negative, and one of them positive"
        )
    sums = np.cumsum(array)
    return np.asarray(sums / sums[-1])


def _map_tree(function: Callable[..., Any], *trees: Any) -> Any:
    """Apply `function` to the leaves at equal places of trees of one structure."""
    first = trees[0]
    kind = type(first)
    if not isinstance(first, (dict, tuple, list)):
        for tree in trees[1:]:
            if isinstance(tree, (dict, tuple, list)):
                raise _unlike(first, tree)
        return function(*trees)
    keys = list(first) if isinstance(first, dict) else range(len(first))
    for tree in trees[1:]:
        if type(tree) is not kind or len(tree) != len(first):
            raise _unlike(first, tree)
        if isinstance(first, dict) and tree.keys() != first.keys():
            raise _unlike(first, tree)
    parts = [_map_tree(function, *(tree[key] for tree in trees)) for key in keys]
    if isinstance(first, dict):
        return dict(zip(keys, parts, strict=True))
    if hasattr(first, "_fields"):
        return kind(*parts)
    return parts if isinstance(first, list) else tuple(parts)


def _unlike(one: Any, other: Any) -> ArgumentError:
    def spelled(tree: Any) -> str:
        if isinstance(tree, dict):
            return f"a dictionary of {', '.join(map(repr, tree))}"
        if isinstance(tree, (tuple, list)):
            return f"a {type(tree).__name__} of {len(tree)}"
        return f"a {type(tree).__name__}"

    return ArgumentError(
        "[dataset] samples of one batch have different structures",
        got=f"{spelled(one)} and {spelled(other)}",
    )


def _joined(pieces: Sequence[Any], order: Indices) -> Any:
    """Return batches of one entry, from several data sets, as one in `order`."""
    dtypes = {piece.dtype for piece in pieces}
    if len(dtypes) > 1:
        raise DTypeError(
            "[concat] the data sets have different element types",
            got=" and ".join(sorted(map(str, dtypes))),
            fix="convert one with map() first",
        )
    shapes = {piece.shape[1:] for piece in pieces}
    if len(shapes) > 1:
        raise ShapeError(
            "[concat] the data sets have samples of different shapes",
            got=" and ".join(map(str, sorted(shapes))),
        )
    return np.concatenate(pieces).take(order, 0)


def _as_array(value: Any) -> NDArray[Any]:
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, plait.Tensor):
        return value.numpy()
    if isinstance(value, float):
        return np.asarray(value, np.float32)
    if isinstance(value, (range, bool, int, np.generic)):
        return np.asarray(value)
    if not isinstance(value, (list, tuple)) and not hasattr(value, "__array__"):
        raise ArgumentTypeError(
            "[dataset] this is no array",
            got=f"a {type(value).__name__}",
            expected="a NumPy array, a tensor, a number, or nested lists of numbers",
        )
    try:
        array = np.asarray(value)
    except ValueError:
        raise ShapeError("[dataset] nested lists have unequal lengths") from None
    return array


def _has_axes(index: Any) -> bool:
    return isinstance(index, (np.ndarray, plait.Tensor)) and index.ndim > 0


def _checked_index(index: Any, length: int) -> int:
    try:
        number = operator.index(index)
    except TypeError:
        raise IndexingError(
            "[dataset] this is no index",
            got=f"a {type(index).__name__}",
            expected="an integer, a slice, a list of integers, or a mask",
        ) from None
    if not -length <= number < length:
        raise _out_of_range(number, length)
    return number + length if number < 0 else number


def _out_of_range(index: int, length: int) -> IndexingError:
    return IndexingError(
        "[dataset] the index is out of range",
        got=str(index),
        expected=f"{-length} to {length - 1}" if length else "an index of no sample",
    )


def _checked_size(name: str, size: Any, least: int = 1) -> int:
    try:
        number = operator.index(size)
    except TypeError:
        number = least - 1
    if number < least or isinstance(size, bool):
        raise ArgumentError(
            f"[{name}] the size must be an integer of at least {least}", got=repr(size)
        )
    return number


def _checked_seed(name: str, seed: Any) -> int:
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if not 0 <= number < 1 << 64:
        raise ArgumentError(
            f"[{name}] the seed must be an integer from 0 to 2**64 - 1", got=repr(seed)
        )
    return number

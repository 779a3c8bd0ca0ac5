"""Batches of tensors out of a data set, pass after pass, prepared ahead if wanted.

Read first: `Loader`.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from queue import SimpleQueue
from typing import Any

import numpy as np

import plait

from ..arguments import Checked, Count, Size
from ..errors import ArgumentError, StateDictError
from .dataset import Dataset, ShuffleDataset, as_dataset

Batches = Iterator[Any]


class Loader(Checked):
    """Iterates over the batches of a data set; each `for` loop is one epoch.

    Batches have the structure of the samples: a tuple or dictionary of tensors. What is
    no array of numbers, such as strings, stays as it is.

    The order depends on the seed and the epoch alone. The first pass is epoch 0, and
    each further one is the next epoch, also after a loop that was left early.

    Args:
        dataset: what `plait.data.as_dataset` takes: a data set, an array or a tuple or
            dictionary of arrays, or a list of samples.
        batch_size: samples in a batch. None: the samples of the data set are batches
            already, as those of `BatchDataset` are.
        shuffle: take the samples in a random order, another in each epoch.
        drop_last: leave out a last batch that is not full.
        seed: of the order, from 0 to 2**64 - 1.
        prefetch: how many batches a thread prepares ahead; 0 for none. Worth it where
            samples are read from files or changed in Python.
        collate: makes a batch of a list of samples. Default: `plait.data.collate`, or
            the data set's own faster way. Arrays that it returns must not change
            afterwards.

    Attributes:
        epoch: the epoch under way, or the next one if none is.

    Raises:
        ArgumentError: a size or number that makes no sense.

    Example:
        >>> images, labels = np.zeros((100, 784), np.float32), np.zeros(100, np.int64)
        >>> for image, label in Loader((images, labels), batch_size=64):
        ...     print(image.shape, label.shape)
        (64, 784) (64,)
        (36, 784) (36,)
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: Count | None = 1,
        *,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        prefetch: Size = 0,
        collate: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        if batch_size is None and (drop_last or collate is not None):
            raise ArgumentError(
                "[Loader] without batch_size nothing is left out and nothing collated",
                fix="give a batch_size, or use dataset.batch(size, 'skip-last')",
            )
        self.dataset = as_dataset(dataset)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = seed
        self.prefetch = prefetch
        self.collate = collate
        self.epoch = 0
        self._position = 0
        self._resumes = False
        self._latest: object = None
        if shuffle:
            self.dataset.shuffle(seed)  # refuses a bad seed now, not at the first batch

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        n = len(self.dataset)
        if self.batch_size is None:
            return n
        return (n if self.drop_last else n + self.batch_size - 1) // self.batch_size

    def __iter__(self) -> Batches:
        if self._resumes:
            self._resumes = False
        elif self._position:
            self.epoch += 1
            self._position = 0
        self._latest = run = object()
        return self._run(run, self.epoch, self._position)

    def _run(self, run: object, epoch: int, position: int) -> Batches:
        """Yield the batches of an epoch from `position` on, and keep count of them."""
        dataset = self.dataset
        if self.shuffle:
            dataset = ShuffleDataset(dataset, self.seed)
        batches = _batches(
            dataset.at_epoch(epoch), self.batch_size, position, len(self), self.collate
        )
        ahead = _Ahead(batches, self.prefetch) if self.prefetch else None
        try:
            for batch in batches if ahead is None else ahead:
                position += 1
                # Of several loops at once, the one begun last is the one on record.
                if self._latest is run:
                    self._position = position
                yield batch
        finally:
            if ahead is not None:
                ahead.close()
        if self._latest is run:
            self.epoch, self._position = epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        """Return where the loader stands: the epoch and the batches taken from it.

        Taken inside a loop, the batch at hand counts as taken; batches that were only
        prepared ahead do not.
        """
        return {
            "epoch": self.epoch,
            "batch": self._position,
            "seed": self.seed,
            "batch_size": self.batch_size or 0,
            "samples": len(self.dataset),
        }

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Stand where another loader of the same data stood.

        The next loop yields exactly the batches that the epoch had left, and the one
        after it is the next epoch.

        Raises:
            StateDictError: an entry is missing or makes no sense, or the batch size or
                the number of samples differs, with which the batches would differ.
        """
        own = self.state_dict()
        if state.keys() != own.keys() or not all(
            type(value) is int and value >= 0 for value in state.values()
        ):
            raise StateDictError(
                "[Loader] this is not the state of a loader",
                got=", ".join(map(repr, state)),
                expected=f"integers named {', '.join(map(repr, own))}",
            )
        for name in ("batch_size", "samples"):
            if state[name] != own[name]:
                raise StateDictError(
                    f"[Loader] the state is of a loader with another {name}",
                    got=str(state[name]),
                    expected=str(own[name]),
                )
        if state["batch"] > len(self):
            raise StateDictError(
                "[Loader] the state is beyond the end of an epoch",
                got=f"batch {state['batch']}",
                expected=f"at most {len(self)}",
            )
        self.seed = state["seed"]
        self.epoch = state["epoch"]
        self._position = state["batch"]
        self._resumes = True


def _batches(
    dataset: Dataset,
    size: int | None,
    start: int,
    stop: int,
    collate: Callable[[list[Any]], Any] | None,
) -> Batches:
    """Yield batches `start` to `stop` of a data set. Knows nothing of the loader."""
    if size is None:
        for index in range(start, stop):
            yield _as_tensors(dataset.item(index))
        return
    every = np.arange(len(dataset), dtype=np.intp)
    gather = dataset.gather
    for index in range(start, stop):
        indices = every[index * size : (index + 1) * size]
        # Nothing here holds the arrays: a step that reads memory which only its tensors
        # hold may still run while the next one is recorded.
        if collate is None:
            yield _as_tensors(gather(indices))
        else:
            yield _as_tensors(collate([dataset[i] for i in indices.tolist()]))


def _as_tensors(batch: Any) -> Any:
    """Return a batch with its arrays as tensors, which share their memory."""
    if isinstance(batch, np.ndarray):
        dtype = batch.dtype
        if dtype.kind in "OSUMm" or dtype.names is not None:
            return batch  # no numbers
        # What `gather` and `collate` return is new, so that nobody else changes it.
        return plait.from_numpy(batch) if dtype.isnative else plait.asarray(batch)
    if type(batch) is tuple:
        return tuple([_as_tensors(part) for part in batch])
    if isinstance(batch, dict):
        return {key: _as_tensors(part) for key, part in batch.items()}
    if isinstance(batch, list):
        return [_as_tensors(part) for part in batch]
    if isinstance(batch, tuple):
        return type(batch)(*[_as_tensors(part) for part in batch])
    return plait.asarray(batch) if isinstance(batch, np.generic) else batch


class _Ahead:
    """An iterator whose elements a thread prepares, a bounded number of them ahead.

    The thread ends when the elements do, when one raises, and when this object is
    closed, forgotten, or outlived by the interpreter.
    """

    def __init__(self, elements: Batches, ahead: int) -> None:
        self._ready: SimpleQueue[Any] = SimpleQueue()
        self._room = threading.Semaphore(ahead)
        stop = threading.Event()
        # The thread must not know this object, or it could never be forgotten.
        thread = threading.Thread(
            target=_prepare,
            args=(elements, self._ready, self._room, stop),
            name="plait loader",
            daemon=True,
        )
        self.close = weakref.finalize(self, _end, thread, self._room, stop)
        thread.start()

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> Any:
        kind, value = self._ready.get()
        self._room.release()
        if kind is _DONE:
            raise StopIteration
        if kind is _FAILED:
            try:
                raise value
            finally:
                del value  # or the error would hold this frame, which holds the error
        return value


_PATIENCE = 5.0  # seconds; a thread that is stuck longer ends by itself, or at exit
_READY, _DONE, _FAILED = "ready", "done", "failed"


def _prepare(
    elements: Batches,
    ready: SimpleQueue[Any],
    room: threading.Semaphore,
    stop: threading.Event,
) -> None:
    """Put elements into `ready` while there is room: what the thread does."""
    try:
        while True:
            room.acquire()
            if stop.is_set():
                return
            try:
                element = next(elements)
            except StopIteration:
                break
            # What the data set recorded belongs to this thread, which runs it.
            plait.flush()
            ready.put((_READY, element))
            del element
        ready.put((_DONE, None))
    except BaseException as error:
        # It goes to whoever waits for the element, with the frames that it came from.
        ready.put((_FAILED, error))


def _end(
    thread: threading.Thread, room: threading.Semaphore, stop: threading.Event
) -> None:
    """Let the thread finish what it is at, and wait for that, but not for ever."""
    stop.set()
    room.release()
    if thread is not threading.current_thread():
        thread.join(_PATIENCE)

"""Random numbers: counter-based, the same on every machine for a seed.

Each draw takes a *key*: a uint32 tensor of shape (4,), two words of seed and two of
stream. A generator hands out keys, one stream after another; `manual_seed` sets the
default generator's seed. Programs that must control every draw pass keys of their own,
made by `key`, `split` and `fold_in`.

Read first: `Generator`, `manual_seed`, `key`.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import operator
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from ..arguments import shown
from ..dtypes import uint32
from ..errors import ArgumentError, ArgumentTypeError, TracingError
from ..names import missing
from ..ops import counts, distribution, philox
from ..ops import random as draws
from .lift import lift
from .tensor import Tensor, concrete
from .trie import recorder


class Generator:
    """Hands out keys: stream 0, 1, 2, ... of one seed.

    Args:
        seed: 0 to 2**64 - 1. Default: from the operating system.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._lock = threading.Lock()
        self.manual_seed(
            int.from_bytes(os.urandom(8), "little") if seed is None else seed
        )

    def manual_seed(self, seed: int) -> Generator:
        """Start again at stream 0 of `seed`; return this generator.

        Raises:
            ArgumentError: the seed is not in 0..2**64-1.
            ArgumentTypeError: it is not an integer.
        """
        philox.key_of(seed)
        with self._lock:
            self._seed = operator.index(seed)
            self._stream = 0
        return self

    @property
    def seed(self) -> int:
        """The seed."""
        return self._seed

    def next_key(self) -> Tensor:
        """Return the key of the next stream.

        Raises:
            TracingError: inside `jit`, where it would be the same key at every call.
        """
        _refuse_in_jit("next_key")
        return self._next_key()

    def _next_key(self) -> Tensor:
        with self._lock:
            stream = self._stream
            self._stream += 1
        return concrete(philox.key_of(self._seed, stream), uint32)

    def following(self) -> Tensor:
        """Return the key of the next stream, but do not hand it out."""
        return concrete(philox.key_of(self._seed, self._stream), uint32)

    def state_dict(self) -> dict[str, int]:
        """Return the seed and the number of the next stream."""
        return {"seed": self._seed, "stream": self._stream}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where `state` was taken.

        Raises:
            ArgumentError: the state has not the entries `seed` and `stream`.
        """
        if set(state) != {"seed", "stream"}:
            raise ArgumentError(
                "[Generator] this is no state of a generator",
                got=f"entries {sorted(state)}",
                expected="seed and stream",
            )
        philox.key_of(state["seed"], state["stream"])
        with self._lock:
            self._seed, self._stream = state["seed"], state["stream"]


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Set the seed of the default generator to `seed`, and return the generator."""
    return default_generator.manual_seed(seed)


def key(seed: int) -> Tensor:
    """Return the key of `seed`: uint32, shape (4,)."""
    return concrete(philox.key_of(seed), uint32)


class Keys:
    """Hands out keys, one stream after another, beginning with that of a key.

    What it hands out for the key of stream s of a seed is what a `Generator` would hand
    out that stands there: streams s, s + 1, ...

    Args:
        key: uint32, shape (4,).

    Attributes:
        count: how many keys were handed out.
    """

    def __init__(self, key: Tensor) -> None:
        self._key = key
        self._trace = recorder.trace
        self.count = 0

    def next_key(self) -> Tensor:
        """Return the key of the next stream."""
        found = self.following()
        self.count += 1
        return found

    def following(self) -> Tensor:
        """Return the key of the next stream, but do not hand it out."""
        return later_stream(self._key, self.count) if self.count else self._key


class _Source(threading.local):
    """Where this thread's draws take their keys from: None is a generator."""

    keys: Keys | None = None


_source = _Source()


def keyed(key: Tensor) -> AbstractContextManager[Any]:
    """Have draws without a key take theirs from `key` inside a `with` block.

    It makes of a module with dropout a function of a key, for `plait.jit`: inside it,
    draws without a key are refused otherwise. Draws with a generator take its keys.

    Args:
        key: uint32, shape (4,), such as `plait.random.key(seed)`. It is used up.

    Returns:
        A `Keys`, whose `following()` is the key to go on with.

    Raises:
        DTypeError, ShapeError: it is no key.

    Example:
        >>> import plait
        >>> @plait.jit
        ... def noise(key):
        ...     with plait.random.keyed(key) as keys:
        ...         return plait.rand(2), keys.following()
        >>> x, key = noise(plait.random.key(1))
        >>> plait.manual_seed(1) and (plait.rand(2) == x).tolist()
        [True, True]
    """
    if not isinstance(key, Tensor):
        raise ArgumentTypeError("[keyed] key must be a tensor", got=shown(key))
    philox.check_one_key("keyed", key._node)
    return _drawing_from(Keys(key))


@contextlib.contextmanager
def _drawing_from(keys: Keys) -> Iterator[Keys]:
    before, _source.keys = _source.keys, keys
    try:
        yield keys
    finally:
        _source.keys = before


def _refuse_in_jit(name: str, keys: Keys | None = None) -> None:
    trace: Any = recorder.trace
    while trace is not None and (keys is None or trace is not keys._trace):
        if trace.function in ("jit", "export"):
            raise TracingError(
                f"[{name}] a draw without a key inside {trace.function} would give the "
                "same numbers at every call",
                fix="pass a key as an argument of the function; plait.random.keyed "
                "hands it to all draws inside",
            )
        trace = trace.outer


def next_key() -> Tensor:
    """Return the key that a draw without one would take.

    Raises:
        TracingError: inside `jit`, but for keys of `keyed`.
    """
    found: Tensor = _key_for("next_key", None, None)
    return found


def _key_for(name: str, given: Any, generator: Generator | None) -> Any:
    if given is not None:
        return given
    if generator is None and _source.keys is not None:
        _refuse_in_jit(name, _source.keys)
        return _source.keys.next_key()
    _refuse_in_jit(name)
    if generator is None:
        return default_generator._next_key()
    if not isinstance(generator, Generator):
        raise ArgumentTypeError(
            f"[{name}] generator must be a Generator",
            got=shown(generator),
            fix="make one with plait.Generator, or leave it out",
        )
    return generator._next_key()


def _is_key(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype is uint32 and value.shape == (4,)


def published(lifted: Any) -> Any:
    """Return a lifted op with its key taken from a generator by default."""
    name = lifted.__name__
    parameters = list(inspect.signature(lifted).parameters.values())
    leads = parameters[0].name == "key"

    @functools.wraps(lifted)
    def draw(
        *args: Any, key: Any = None, generator: Generator | None = None, **named: Any
    ) -> Any:
        if leads and args and _is_key(args[0]):
            raise ArgumentTypeError(
                f"[{name}] a key is given by its name", fix="write key=key"
            )
        key = _key_for(name, key, generator)
        return lifted(key, *args, **named) if leads else lifted(*args, key=key, **named)

    keyword = inspect.Parameter.KEYWORD_ONLY
    extra = [
        inspect.Parameter("key", keyword, default=None, annotation="Tensor | None"),
        inspect.Parameter(
            "generator", keyword, default=None, annotation="Generator | None"
        ),
    ]
    rest = [parameter for parameter in parameters if parameter.name != "key"]
    draw.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*rest, *extra], return_annotation="Tensor"
    )
    draw.__module__ = "plait.random" if leads else "plait"
    return draw


FUNCTIONS: dict[str, Any] = {
    op.__name__: published(lift(op))
    for module in (draws, distribution, counts)
    for op in module.RANDOM_OPS
}
split = lift(philox.split)
fold_in = lift(philox.fold_in)
later_stream = lift(philox.later_stream)

globals().update(FUNCTIONS)


def _shape(shape: tuple[Any, ...]) -> Any:
    return (
        shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    )


def rand(*shape: Any, **named: Any) -> Tensor:
    """Return uniform random numbers in [0, 1) of `shape`; see
    `plait.random.uniform`.
    """
    return FUNCTIONS["uniform"](shape=_shape(shape), **named)  # type: ignore[no-any-return]


def randn(*shape: Any, **named: Any) -> Tensor:
    """Return standard normal random numbers of `shape`; see `plait.random.normal`."""
    return FUNCTIONS["normal"](shape=_shape(shape), **named)  # type: ignore[no-any-return]


def randperm(n: int, **named: Any) -> Tensor:
    """Return `0, ..., n - 1` in random order; see `plait.random.permutation`."""
    return FUNCTIONS["permutation"](n, **named)  # type: ignore[no-any-return]


__all__ = (
    *("Generator", "default_generator", "manual_seed", "next_key"),
    *("key", "keyed", "split", "fold_in", "later_stream", "Keys"),
    *("rand", "randn", "randperm", *FUNCTIONS),
)

if not TYPE_CHECKING:  # else every name would pass for one of ours
    __getattr__ = missing("plait.random")

"""Switches: derivatives on and off, running what is recorded, and on how many threads.

Read first: `no_grad`, `flush`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from ..dtypes import as_dtype, bfloat16, float16
from ..errors import DTypeError
from ..late import late
from ..settings import settings
from . import record, run, trie
from .device import WEBGPU, Device, as_place, place

if TYPE_CHECKING:
    from ..runtime import pool, webgpu
else:
    webgpu = late("plait.runtime.webgpu")
    pool = late("plait.runtime.pool")


def no_grad() -> AbstractContextManager[None]:
    """Record without derivatives, in a `with` block or as a decorator `@no_grad()`."""
    return record.grad_mode(False)


def enable_grad() -> AbstractContextManager[None]:
    """Record with derivatives again, inside a `no_grad` block."""
    return record.grad_mode(True)


def is_grad_enabled() -> bool:
    """Return whether what is recorded now is differentiable."""
    return trie.recorder.grad_enabled


def flush() -> None:
    """Run what this thread has recorded, so that every living tensor has its value.

    Looking at a value does this by itself. Call it to end a step at a place of your
    own, as optimizers do after an update.
    """
    trace = trie.recorder.trace
    if trace.function is None:
        run.flush(trace)


def autocast(
    dtype: Any = bfloat16, enabled: bool = True
) -> AbstractContextManager[None]:
    """Record products in 16 bits, in a `with` block or as a decorator.

    Products of matrices, convolutions and attention round operands of float32 to
    `dtype`, and give results of it; their sums are of 32 bits. Losses, softmax, sums
    over elements and the functions that need it take operands of `dtype` as float32.
    Normalizations compute in float32 and give the type of their input. All others
    compute in the types they are given. Parameters stay of float32, and so do their
    gradients.

    It is for the model and the loss. `backward()` computes as what it differentiates
    did, and optimizers are not affected. Blocks nest; each thread has its own.

    Args:
        dtype: `bfloat16`, or `float16`, whose gradients may vanish without
            `optim.GradScaler`.
        enabled: False to compute in the types that are given, inside another block.

    Raises:
        DTypeError: `dtype` is another.

    Source: P. Micikevicius et al., "Mixed precision training", 2018.

    Example:
        >>> import plait
        >>> model = plait.nn.Linear(3, 2)
        >>> with plait.autocast():
        ...     y = model(plait.ones(1, 3))
        >>> y.dtype, model.weight.dtype
        (plait.bfloat16, plait.float32)
    """
    found = as_dtype(dtype)
    if found not in (bfloat16, float16):
        raise DTypeError(
            "[autocast] products are computed with types of 16 bits",
            got=found.name,
            expected="bfloat16 or float16",
        )
    return record.autocast_mode(found if enabled else None)


def device(what: Any) -> AbstractContextManager[None]:
    """Run programs on another device, in a `with` block or as a decorator.

    What is recorded in the block is run there, in all threads, and compiled at its
    first run. Tensors stay in the CPU's memory: each run copies its inputs to the
    device, and its results back, so it pays for much work on few numbers only. What was
    recorded before the block runs before it.

    WebGPU computes in float32 as the CPU does, up to rounding. Integers of 64 bits and
    float64 are emulated, with the same results, but slowly.

    Args:
        what: "webgpu": a graphics card, or whatever else the package `wgpu` finds;
            "cpu" inside of such a block.

    Raises:
        DeviceError: there is no such device, here or at all; or, when a program is
            run, it needs more memory than the device has for one.
        MissingExtraError: the package `wgpu` is not installed.

    Example:
        >>> import plait
        >>> x = plait.ones(3)
        >>> with plait.device("cpu"):
        ...     y = (x + x).tolist()
        >>> y
        [2.0, 2.0, 2.0]
    """
    found = as_place(what)
    if found == WEBGPU:
        webgpu.device()
    return _running(found)


@contextmanager
def _running(there: Device) -> Iterator[None]:
    flush()
    before, place.device = place.device, there
    try:
        yield
        flush()
    finally:
        place.device = before


def trace_nonfinite(enabled: bool = True) -> AbstractContextManager[None]:
    """Look for the origin of nan and infinity, in a `with` block or as a decorator.

    While it is on, in all threads, a program is stopped by a NonFiniteError when a
    value that is looked at or kept is nan, or a loss or an updated parameter is
    infinite. The message names the layer, the op and the line that were the first to
    make it, forward or backward. Parameters stay as they were before that step.

    Args:
        enabled: False turns it off in the block.

    It costs a look at each result, and that no result is written over its input. The
    setting `PLAIT_TRACE_NONFINITE=1` does the same for a whole run.
    """
    return _tracing(enabled)


@contextmanager
def _tracing(enabled: bool) -> Iterator[None]:
    before, settings.trace_nonfinite = settings.trace_nonfinite, enabled
    try:
        yield
    finally:
        settings.trace_nonfinite = before


def get_num_threads() -> int:
    """Return how many threads run a program: those of `set_num_threads`, else of
    the setting `PLAIT_NUM_THREADS`, else one for each processor.
    """
    return pool.get_num_threads()


def set_num_threads(count: int) -> None:
    """Set how many threads run a program. Results do not depend on it, to the bit.

    Raises:
        ArgumentError: `count` is not an integer of at least 1.
    """
    pool.set_num_threads(count)

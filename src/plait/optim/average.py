"""Averages of a model's weights: stochastic weight averaging and moving averages.

Read first: `AveragedModel`, `update_bn`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import plait
from plait import Tensor, nn

from ..arguments import checked
from ..errors import ArgumentError

Rule = Callable[[Tensor, Tensor, Any], Tensor]


class AveragedModel(nn.Module):
    """A copy of a model, with the average of its parameters over time.

    At the first `update_parameters(model)` the copy takes the model's values. Later,
    with n, the number of updates so far:

    - without `decay`, a = a + (p - a) / (n + 1): the mean of all (SWA);
    - with it, a = a + (1 - decay) * (p - a): an exponential moving average (EMA).

    Averages have the types of the parameters: those of a model in 16 bits lose what is
    less than their rounding, so average a model in float32.

    Called, it is the copy. It is a module like others: its parameters can be saved,
    and `module` be used by itself. With batch normalization, call `update_bn` once
    averages are final, unless `use_buffers`.

    Args:
        model: it is copied; its own tensors are not touched.
        decay: how much of the average is kept at each update; None for the mean.
        avg_fn: another rule in place of `decay`: from the average, the parameter and n
            to the new average. It is recorded: n is a tensor.
        use_buffers: average buffers too, such as those of batch normalization;
            otherwise they are copied. Those that are no floats are always copied.

    Attributes:
        module: the copy.
        n_averaged: the number of updates, int64 of shape (), a buffer.

    Input: that of the model. Result: what the copy makes of it.

    Raises:
        ArgumentError: `decay` is not in 0..1, or given with `avg_fn`.

    Source: P. Izmailov et al., "Averaging weights leads to wider optima and better
    generalization", 2018; B. Polyak, A. Juditsky, "Acceleration of stochastic
    approximation by averaging", 1992; PyTorch, torch.optim.swa_utils.

    Example:
        >>> import plait
        >>> from plait import nn, optim
        >>> model = nn.Linear(3, 2)
        >>> average = optim.AveragedModel(model, decay=0.99)
        >>> average.update_parameters(model)
        >>> average(plait.ones(4, 3)).shape
        (4, 2)
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: nn.Module,
        decay: float | None = None,
        avg_fn: Rule | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if decay is not None and not 0 <= decay <= 1:
            raise ArgumentError(
                "[AveragedModel] decay is not in 0..1", got=f"decay={decay}"
            )
        if decay is not None and avg_fn is not None:
            raise ArgumentError("[AveragedModel] decay and avg_fn are both given")
        self.module = copy.deepcopy(model)
        self.decay = decay
        self.use_buffers = use_buffers
        self._rule = _updating_averages(avg_fn)
        self.register_buffer("n_averaged", plait.tensor(0, dtype=plait.int64))

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Return what the copy makes of the inputs."""
        return self.module(*inputs, **named)

    def update_parameters(self, model: nn.Module) -> None:
        """Take the values that a model has now into the average.

        Args:
            model: with parameters of the names and shapes of the copied one.

        Raises:
            ArgumentError: it lacks one of them.
        """
        own, new = dict(self.module.named_parameters()), dict(model.named_parameters())
        own_buffers, buffers = (dict(m.named_buffers()) for m in (self.module, model))
        lacking = [n for n in own if n not in new]
        lacking += [n for n in own_buffers if n not in buffers]
        if lacking:
            raise ArgumentError(
                "[AveragedModel] the model is not like the one that was copied",
                got=f"no {', '.join(lacking)}",
            )
        averaged: list[tuple[Tensor, Tensor]] = [(own[n], new[n]) for n in own]
        copied: list[tuple[Tensor, Tensor]] = []
        for name, x in own_buffers.items():
            is_mean = self.use_buffers and plait.isdtype(x.dtype, "real floating")
            (averaged if is_mean else copied).append((x, buffers[name]))
        share = -1.0 if self.decay is None else 1 - self.decay
        tensors = [self.n_averaged, *(x for x, _ in averaged), *(x for x, _ in copied)]
        operands = [*(x.detach() for _, x in averaged), *(x for _, x in copied)]
        self._rule(tensors, [*operands, range(len(averaged)), float(share)])


def _updating_averages(avg_fn: Rule | None) -> Callable[..., None]:
    """Return what gives averages and copies their new values, as one program."""
    if avg_fn is None:
        return _averages

    def rule(tensors: Sequence[Tensor], operands: Sequence[Any]) -> list[Tensor]:
        return _averaged(tensors, operands, avg_fn)

    return plait.updating(rule)


def _averaged(
    tensors: Sequence[Tensor], operands: Sequence[Any], avg_fn: Rule
) -> list[Tensor]:
    *values, averaged, _ = operands
    count, *old = tensors
    new = [count + 1]
    for i, (average, value) in enumerate(zip(old, values, strict=True)):
        if i in averaged:
            mean = avg_fn(average, value, count)
            # The first values are taken over as they are.
            value = plait.where(count == 0, value, mean)
        new.append(value.to(average.dtype))
    return new


@plait.updating
def _averages(tensors: Sequence[Tensor], operands: Sequence[Any]) -> list[Tensor]:
    share = operands[-1]

    def mean(average: Tensor, value: Tensor, count: Tensor) -> Tensor:
        wide = plait.result_type(average.dtype, plait.float32)
        equal = 1 / (count.to(wide) + 1)
        part = plait.where(plait.zeros_like(equal) + share < 0, equal, share)
        return average + (value - average) * part

    return _averaged(tensors, operands, mean)


@checked
def update_bn(loader: Iterable[Any], model: nn.Module) -> None:
    """Measure the means and variances of batch normalization anew, for new weights.

    Layers with `running_mean` forget what they have, and take the plain mean over all
    batches. The model is left in its mode.

    Args:
        loader: batches: an input, or a tuple or list whose first part is one.
        model: it is called with each input, in training mode, without gradients.
    """
    layers: list[Any] = [
        one for one in model.modules() if getattr(one, "running_mean", None) is not None
    ]
    if not layers:
        return
    before = [layer.momentum for layer in layers]
    was_training = model.training
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean
    model.train()
    try:
        with plait.no_grad():
            for batch in loader:
                model(batch[0] if isinstance(batch, (tuple, list)) else batch)
                plait.flush()
    finally:
        model.train(was_training)
        for layer, momentum in zip(layers, before, strict=True):
            layer.momentum = momentum

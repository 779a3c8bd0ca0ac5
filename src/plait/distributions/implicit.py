"""Gamma distributed numbers that move with their concentration.

Numbers drawn by rejection have no formula to differentiate. But each has a quantile,
the probability of smaller numbers, and with that held fixed it moves with the
concentration in a known way.

Read first: `log_gamma`.
"""

from __future__ import annotations

import plait
from plait import Tensor


@plait.custom_vjp
def _moving(y: Tensor, concentration: Tensor) -> Tensor:
    return y + plait.zeros_like(concentration)


_moving.defvjp(
    lambda y, concentration: (y + plait.zeros_like(concentration), (y, concentration)),
    lambda kept, ct: (ct, ct * plait.loggamma_slope(kept[1], kept[0])),
)


def log_gamma(key: Tensor, concentration: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return logarithms of gamma distributed numbers of rate 1.

    Gradient: to `concentration`, of first order.

    Args:
        concentration: positive, broadcast to `shape`.

    Source: M. Figurnov, S. Mohamed, A. Mnih, "Implicit reparameterization gradients",
    2018.
    """
    y = plait.random.loggamma(concentration.detach(), shape=shape, key=key)
    moving: Tensor = _moving(y, plait.broadcast_to(concentration, shape))
    return moving


def gamma(key: Tensor, concentration: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return gamma distributed numbers of rate 1; see `log_gamma`.

    Special cases: at least the smallest normal number, so that it has a logarithm.
    """
    least = float(plait.finfo(concentration.dtype).smallest_normal)
    return plait.maximum(plait.exp(log_gamma(key, concentration, shape)), least)

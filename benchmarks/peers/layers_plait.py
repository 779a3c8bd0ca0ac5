"""Single layers and functions in plait; see `layer_work.py`."""

from __future__ import annotations

import layer_work
import protocol

import plait
from plait import nn

LIBRARY = layer_work.Library(
    layers=nn,
    parametrizations=nn,
    functions={
        "sort": plait.sort,
        "argsort": plait.argsort,
        "top 10": lambda x: plait.top_k(x, 10),
        "median": lambda x: plait.median(x, -1),
        "quantile": lambda x: plait.quantile(x, 0.9, -1),
        "cumulative sum": lambda x: plait.cumulative_sum(x, axis=-1),
        "cumulative product": lambda x: plait.cumulative_prod(x, axis=-1),
        "cumulative maximum": lambda x: plait.cumulative_max(x, axis=-1),
        "logcumsumexp": lambda x: plait.logcumsumexp(x, axis=-1),
        "logsumexp": lambda x: plait.logsumexp(x, -1),
        "variance": lambda x: plait.var(x, -1),
        "searchsorted": plait.searchsorted,
        "bincount": lambda x: plait.bincount(x, length=1000),
        "index_add": lambda x, i, y: plait.index_add(x, i, y, axis=0),
        "cdist": plait.cdist,
        "cdist, p = 1": lambda x, y: plait.cdist(x, y, 1.0),
        "pdist": plait.pdist,
        "grid_sample": plait.grid_sample,
        "grid_sample, bicubic": lambda x, grid: plait.grid_sample(
            x, grid, mode="bicubic"
        ),
        "causal attention": lambda q, k, v: plait.scaled_dot_product_attention(
            q, k, v, is_causal=True
        ),
        "einsum": lambda x, y: plait.einsum("bhid,bhjd->bhij", x, y),
        "roll": lambda x: plait.roll(x, (3, 5), axis=(2, 3)),
        "flip": lambda x: plait.flip(x, axis=(2, 3)),
        "kron": plait.kron,
        "erfinv": plait.erfinv,
        "lgamma": plait.lgamma,
        "digamma": plait.digamma,
        "i0": plait.i0,
    },
    tensor=plait.asarray,
    wait=plait.flush,
)
MAKERS: dict[str, protocol.Maker] = {"layer": layer_work.maker(LIBRARY)}

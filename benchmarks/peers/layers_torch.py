"""Single layers and functions in PyTorch, eager; see `layer_work.py`."""

from __future__ import annotations

import layer_work
import protocol
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

LIBRARY = layer_work.Library(
    layers=nn,
    parametrizations=parametrizations,
    functions={
        "sort": torch.sort,
        "argsort": torch.argsort,
        "top 10": lambda x: torch.topk(x, 10),
        "median": lambda x: torch.quantile(x, 0.5, -1),  # of even rows, as NumPy's
        "quantile": lambda x: torch.quantile(x, 0.9, -1),
        "cumulative sum": lambda x: torch.cumsum(x, -1),
        "cumulative product": lambda x: torch.cumprod(x, -1),
        "cumulative maximum": lambda x: torch.cummax(x, -1),
        "logcumsumexp": lambda x: torch.logcumsumexp(x, -1),
        "logsumexp": lambda x: torch.logsumexp(x, -1),
        "variance": lambda x: torch.var(x, -1, correction=0),
        "searchsorted": torch.searchsorted,
        "bincount": lambda x: torch.bincount(x, minlength=1000),
        "index_add": lambda x, i, y: torch.index_add(x, 0, i, y),
        "cdist": torch.cdist,
        "cdist, p = 1": lambda x, y: torch.cdist(x, y, 1.0),
        "pdist": F.pdist,
        "grid_sample": lambda x, grid: F.grid_sample(x, grid, align_corners=False),
        "grid_sample, bicubic": lambda x, grid: F.grid_sample(
            x, grid, mode="bicubic", align_corners=False
        ),
        "causal attention": lambda q, k, v: F.scaled_dot_product_attention(
            q, k, v, is_causal=True
        ),
        "einsum": lambda x, y: torch.einsum("bhid,bhjd->bhij", x, y),
        "roll": lambda x: torch.roll(x, (3, 5), (2, 3)),
        "flip": lambda x: torch.flip(x, (2, 3)),
        "kron": torch.kron,
        "erfinv": torch.erfinv,
        "lgamma": torch.lgamma,
        "digamma": torch.digamma,
        "i0": torch.special.i0,
    },
    tensor=torch.from_numpy,
    wait=lambda: None,
)
MAKERS: dict[str, protocol.Maker] = {"layer": layer_work.maker(LIBRARY)}

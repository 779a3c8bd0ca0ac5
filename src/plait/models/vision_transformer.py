"""ViT: a transformer that reads a picture as a row of patches.

Names are those of torchvision; files of timm and of Hugging Face's transformers can be
read, too.

Read first: `VisionTransformer`.
"""

from __future__ import annotations

import math
import re
from functools import partial

import numpy as np

import plait
from plait import Tensor

from .. import nn
from ..errors import ArgumentError, ShapeError
from .registry import Arrays, Builder, Input, model

_norm = partial(nn.LayerNorm, eps=1e-6)
# What the parts are called in files of timm and of Hugging Face's transformers, and
# were in early ones of torchvision: beginnings of names, and what is within.
_BEGINNINGS = {
    r"(vit\.embeddings\.)?cls_token": "class_token",
    r"vit\.embeddings\.position_embeddings|pos_embed": "encoder.pos_embedding",
    r"vit\.embeddings\.patch_embeddings\.projection|patch_embed\.proj": "conv_proj",
    r"(vit\.encoder\.layer|blocks)\.": "encoder.layers.encoder_layer_",
    r"(vit\.layernorm|norm)\.": "encoder.ln.",
    r"(classifier|head)\.": "heads.head.",
}
_PARTS = {
    r"\.(layernorm_before|norm1)\.": ".ln_1.",
    r"\.(layernorm_after|norm2)\.": ".ln_2.",
    r"\.attention\.attention\.(\w+)\.(\w+)": r".self_attention.in_proj_\2.\1",
    r"\.attn\.qkv\.": ".self_attention.in_proj_",
    r"\.(attention\.output\.dense|attn\.proj)\.": ".self_attention.out_proj.",
    r"\.(intermediate\.dense|mlp\.fc1|mlp\.linear_1)\.": ".mlp.0.",
    r"\.(output\.dense|mlp\.fc2|mlp\.linear_2)\.": ".mlp.3.",
}


class _EncoderBlock(nn.Module):
    """Attention, then two linear maps, each after a normalisation and added."""

    def __init__(
        self, heads: int, width: int, inner: int, dropout: float, attention: float
    ) -> None:
        super().__init__()
        self.ln_1 = _norm(width)
        self.self_attention = nn.MultiheadAttention(
            width, heads, dropout=attention, batch_first=True
        )
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = _norm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, inner), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(inner, width), nn.Dropout(dropout),
        )  # fmt: skip
        for layer in self.mlp:
            if isinstance(layer, nn.Linear) and layer.bias is not None:
                nn.init.xavier_uniform_(layer.weight)
                nn.init.normal_(layer.bias, std=1e-6)

    def forward(self, input: Tensor) -> Tensor:
        normal = self.ln_1(input)
        mixed, _ = self.self_attention(normal, normal, normal, need_weights=False)
        x: Tensor = self.dropout(mixed) + input
        y: Tensor = self.mlp(self.ln_2(x))
        return x + y


class _Encoder(nn.Module):
    """The blocks, after positions are added to the patches."""

    def __init__(
        self, length: int, layers: int, heads: int, width: int, inner: int,
        dropout: float, attention: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.pos_embedding = nn.Parameter(plait.empty((1, length, width)))
        nn.init.normal_(self.pos_embedding, std=0.02)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(
            {
                f"encoder_layer_{i}": _EncoderBlock(
                    heads, width, inner, dropout, attention
                )
                for i in range(layers)
            }
        )
        self.ln = _norm(width)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.ln(self.layers(self.dropout(x + self.pos_embedding)))
        return result


class VisionTransformer(nn.Module):
    """A transformer over the patches of a picture and one more token, for the class.

    `vit_b_16` and the others take weights from files of torchvision, of timm, and of
    Hugging Face's `ViTForImageClassification`.

    Args:
        image_size: height and width of pictures.
        patch_size: of patches, which divides that.
        num_layers, num_heads: of the transformer.
        hidden_dim: how many numbers a patch becomes.
        mlp_dim: within the linear maps.
        dropout: the probability of leaving out a result of a part of a block.
        attention_dropout: the same of a weight of the attention.
        num_classes: how many classes there are.
        representation_size: what a linear map and tanh before the last layer give.
            Default: there is none.

    Attributes:
        class_token: shape (1, 1, hidden_dim), at first 0.
        encoder.pos_embedding: shape (1, patches + 1, hidden_dim).

    Input: shape (n, 3, image_size, image_size). Result: shape (n, num_classes).

    Raises:
        ArgumentError: the patches do not divide the picture.
        ShapeError: (calling it) the picture has another size.

    Source: A. Dosovitskiy et al., "An image is worth 16x16 words: transformers for
    image recognition at scale", 2021.
    """

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        num_classes: int = 1000,
        representation_size: int | None = None,
    ) -> None:
        super().__init__()
        if image_size % patch_size:
            raise ArgumentError(
                "[VisionTransformer] the patches do not divide the picture",
                got=f"image_size={image_size}, patch_size={patch_size}",
            )
        self.image_size = image_size
        self.class_token = nn.Parameter(plait.zeros((1, 1, hidden_dim)))
        self.conv_proj = nn.Conv2d(3, hidden_dim, patch_size, patch_size)
        length = (image_size // patch_size) ** 2 + 1
        self.encoder = _Encoder(
            length, num_layers, num_heads, hidden_dim, mlp_dim, dropout,
            attention_dropout,
        )  # fmt: skip
        heads: dict[str, nn.Module] = {}
        width = hidden_dim
        if representation_size is not None:
            before = nn.Linear(hidden_dim, representation_size)
            _draw(before, hidden_dim)
            heads |= {"pre_logits": before, "act": nn.Tanh()}
            width = representation_size
        head = nn.Linear(width, num_classes)
        self.heads = nn.Sequential({**heads, "head": head})
        _draw(self.conv_proj, 3 * patch_size**2)
        for parameter in head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[2:] != (self.image_size, self.image_size):
            raise ShapeError(
                "[VisionTransformer] the picture has another size",
                got=f"shape {x.shape}",
                expected=f"(n, 3, {self.image_size}, {self.image_size})",
                fix="make the model with another image_size, or resize the pictures",
            )
        patches = plait.flatten(self.conv_proj(x), 2).mT
        shape = (x.shape[0], *self.class_token.shape[1:])
        token = plait.broadcast_to(self.class_token, shape)
        x = self.encoder(plait.concat([token, patches], axis=1))
        result: Tensor = self.heads(x[:, 0])
        return result


def _draw(layer: nn.Conv2d | nn.Linear, inputs: int) -> None:
    nn.init.trunc_normal_(layer.weight, std=math.sqrt(1 / inputs))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _rename(arrays: Arrays) -> Arrays:
    """Return arrays under torchvision's names, out of a file of another library."""
    found: Arrays = {}
    for name, array in arrays.items():
        for pattern, own in _BEGINNINGS.items():
            name = re.sub(f"^({pattern})", own, name)
        for pattern, own in _PARTS.items():
            name = re.sub(pattern, own, name)
        found[name] = array
    # Hugging Face's files have the three maps of the attention one by one.
    for name in [name for name in found if name.endswith(".query")]:
        joint = name.removesuffix(".query")
        parts = [
            found.pop(f"{joint}.{part}", None) for part in ("query", "key", "value")
        ]
        found[joint] = np.concatenate([part for part in parts if part is not None])
    return found


def _vit(
    which: str, parameters: int, patch: int, layers: int, heads: int, width: int,
    input: Input = Input(),  # noqa: B008 (a constant)
) -> Builder[VisionTransformer]:  # fmt: skip
    """Put one on the list: b, l or h, and the size of a patch."""
    return model(
        f"vit_{which}", parameters, f"ViT-{which.upper().replace('_', '/')}",
        VisionTransformer, image_size=224, patch_size=patch, num_layers=layers,
        num_heads=heads, hidden_dim=width, mlp_dim=4 * width, input=input,
        rename=_rename,
    )  # fmt: skip


vit_b_16 = _vit("b_16", 86_567_656, 16, 12, 12, 768)
vit_b_32 = _vit("b_32", 88_224_232, 32, 12, 12, 768)
vit_l_16 = _vit("l_16", 304_326_632, 16, 24, 16, 1024, Input(224, 242))
vit_l_32 = _vit("l_32", 306_535_400, 32, 24, 16, 1024)
vit_h_14 = _vit("h_14", 632_045_800, 14, 32, 16, 1280)

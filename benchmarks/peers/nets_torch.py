"""The nets in PyTorch; what `with_torch.py` runs.

Read first: `train`, `infer`, `transfer`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import cycle, pairwise
from typing import Any

import architecture
import protocol
import torch
import workloads
from torch import Tensor, nn
from torch.nn import functional as F

COMPILED = os.environ.get("BENCHMARK_TORCH") == "compile"


class CNN(nn.Module):
    """A small convolutional net."""

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        inner, side = 3, spec["image"] >> len(spec["widths"])
        self.convs = nn.ModuleList()
        for width in spec["widths"]:
            self.convs.append(nn.Conv2d(inner, width, 3, padding=1))
            inner = width
        self.pool = nn.MaxPool2d(2)
        self.hidden = nn.Linear(inner * side * side, spec["hidden"])
        self.head = nn.Linear(spec["hidden"], spec["classes"])

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = self.pool(torch.relu(conv(x)))
        return self.head(torch.relu(self.hidden(x.flatten(1))))


class TextNet(nn.Module):
    """An LSTM over a frozen table, and the largest over time."""

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        self.table = nn.Parameter(
            torch.empty(spec["vocabulary"], spec["width"]), requires_grad=False
        )
        self.lstm = nn.LSTM(spec["width"], spec["hidden"], batch_first=True)
        self.hidden = nn.Linear(spec["hidden"], 16)
        self.head = nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        x, _ = self.lstm(F.embedding(x, self.table))
        return self.head(torch.relu(self.hidden(x.amax(1))))


class Block(nn.Module):
    """A block of GPT-2."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 4 * width)
        self.shrink = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        three = self.attention(self.norm1(x))
        q, k, v = (
            part.view(batch, length, self.heads, -1).transpose(1, 2)
            for part in three.split(width, 2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(y.transpose(1, 2).reshape(batch, length, width))
        y = F.gelu(self.expand(self.norm2(x)), approximate="tanh")
        return x + self.shrink(y)


class GPT(nn.Module):
    """A decoder as GPT-2's."""

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        width = spec["width"]
        self.table = nn.Parameter(torch.empty(spec["vocabulary"], width))
        self.places = nn.Parameter(torch.empty(spec["context"], width))
        self.blocks = nn.Sequential(
            *[Block(width, spec["heads"]) for _ in range(spec["layers"])]
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, spec["vocabulary"], bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.embedding(x, self.table) + self.places
        return self.head(self.norm(self.blocks(x)))


def shortcut(inner: int, outer: int, stride: int) -> nn.Module:
    """Return what brings a block's input to the shape of its output."""
    if stride == 1 and inner == outer:
        return nn.Identity()
    conv = nn.Conv2d(inner, outer, 1, stride=stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outer))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the input added."""

    def __init__(self, inner: int, middle: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, middle, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, outer, 3, padding=1, bias=False)
        self.last = nn.BatchNorm2d(outer)
        self.shortcut = shortcut(inner, outer, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.last(self.conv2(y)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """Convolutions of 1x1, 3x3 and 1x1 and the input added."""

    def __init__(self, inner: int, middle: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, middle, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, outer, 1, bias=False)
        self.last = nn.BatchNorm2d(outer)
        self.shortcut = shortcut(inner, outer, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        y = torch.relu(self.norm2(self.conv2(y)))
        return torch.relu(self.last(self.conv3(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """A residual net; with bottlenecks for large images, else for small ones."""

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        width, self.large = spec["width"], spec["bottleneck"]
        size, stride = (7, 2) if self.large else (3, 1)
        self.stem = nn.Conv2d(
            3, width, size, stride=stride, padding=size // 2, bias=False
        )
        self.stem_norm = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        kind = Bottleneck if self.large else BasicBlock
        stages: list[list[nn.Module]] = [[] for _ in spec["blocks"]]
        outer = width
        for name, inner, middle, outer, stride in architecture.residual_blocks(spec):
            stages[int(name.split(".")[1])].append(kind(inner, middle, outer, stride))
        self.stages = nn.Sequential(*[nn.Sequential(*stage) for stage in stages])
        self.head = nn.Linear(outer, spec["classes"])

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem_norm(self.stem(x)))
        if self.large:
            x = self.pool(x)
        return self.head(self.stages(x).mean((2, 3)))


class Inverted(nn.Module):
    """A block of MobileNetV2."""

    def __init__(self, inner: int, middle: int, outer: int, stride: int) -> None:
        super().__init__()
        self.wider, self.added = middle > inner, stride == 1 and inner == outer
        if self.wider:
            self.expand = nn.Conv2d(inner, middle, 1, bias=False)
            self.norm1 = nn.BatchNorm2d(middle)
        self.depthwise = nn.Conv2d(
            middle, middle, 3, stride=stride, padding=1, groups=middle, bias=False
        )
        self.norm2 = nn.BatchNorm2d(middle)
        self.shrink = nn.Conv2d(middle, outer, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(outer)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.norm1(self.expand(x))) if self.wider else x
        y = F.relu6(self.norm2(self.depthwise(y)))
        y = self.norm3(self.shrink(y))
        return x + y if self.added else y


class MobileNet(nn.Module):
    """MobileNetV2."""

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, stride=2, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(32)
        shapes = [shape for _, *shape in architecture.inverted_blocks(spec)]
        self.blocks = nn.Sequential(*[Inverted(*shape) for shape in shapes])
        outer = shapes[-1][2]
        self.last = nn.Conv2d(outer, 4 * outer, 1, bias=False)
        self.last_norm = nn.BatchNorm2d(4 * outer)
        self.head = nn.Linear(4 * outer, spec["classes"])

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu6(self.stem_norm(self.stem(x))))
        return self.head(F.relu6(self.last_norm(self.last(x))).mean((2, 3)))


class Features(nn.Module):
    """The convolutions of VGG; gives all their results, by place."""

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        self.features = nn.ModuleList()
        self.pool = nn.MaxPool2d(2)
        inner = 3
        for widths in spec["widths"]:
            convs = nn.ModuleList()
            for width in widths:
                convs.append(nn.Conv2d(inner, width, 3, padding=1))
                inner = width
            self.features.append(convs)

    def forward(self, x: Tensor) -> dict[tuple[int, int], Tensor]:
        found = {}
        for i, convs in enumerate(self.features):
            if i:
                x = self.pool(x)
            for j, conv in enumerate(convs):
                x = found[i, j] = torch.relu(conv(x))
        return found


class VGG(Features):
    """VGG: the convolutions and three linear layers."""

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__(spec)
        side, hidden = spec["image"] >> len(spec["widths"]), spec["hidden"]
        sizes = [spec["widths"][-1][-1] * side * side, hidden, hidden, spec["classes"]]
        self.classifier = nn.ModuleList(
            nn.Linear(inner, outer) for inner, outer in pairwise(sizes)
        )

    def forward(self, x: Tensor) -> Tensor:
        last = super().forward(x).popitem()[1]
        x = self.pool(last).flatten(1)
        for layer in self.classifier[:-1]:
            x = torch.relu(layer(x))
        return self.classifier[-1](x)


MODELS = {
    "cnn": CNN, "text": TextNet, "gpt": GPT, "resnet": ResNet,
    "mobilenet": MobileNet, "vgg": VGG, "style": Features,
}  # fmt: skip


def network(spec: dict[str, Any]) -> nn.Module:
    """Return the net with the given weights."""
    model = MODELS[spec["net"]](spec)
    arrays = architecture.weights(spec)
    model.load_state_dict({name: torch.from_numpy(v) for name, v in arrays.items()})
    return model.to(memory_format=torch.channels_last)


def tensor(x: architecture.Array) -> Tensor:
    """Return an array as a tensor, images in the layout that is fastest."""
    found = torch.from_numpy(x)
    if found.ndim == 4:
        found = found.contiguous(memory_format=torch.channels_last)
    return found


def resident(spec: dict[str, Any]) -> list[tuple[Tensor, Tensor]]:
    """Return batches as tensors."""
    return [(tensor(x), torch.from_numpy(y)) for x, y in architecture.batches(spec)]


def lower_precision(spec: dict[str, Any]) -> AbstractContextManager[Any]:
    """Return what makes convolutions and products of bfloat16, if asked for."""
    if spec.get("autocast"):
        return torch.autocast("cpu", torch.bfloat16)
    return nullcontext()


def compiled(function: Callable[..., Any], frozen: bool = False) -> Callable[..., Any]:
    """Return the function as this peer runs it; `frozen`: weights are constants."""
    if not COMPILED:
        return function
    # Compiled code of earlier work counts toward a limit, and would make sizes that
    # differ from it dynamic.
    torch._dynamo.reset()
    torch._inductor.config.freezing = frozen
    return torch.compile(function)


def optimizer_of(spec: dict[str, Any], parameters: Any) -> torch.optim.Optimizer:
    """Return the optimizer that is asked for, in its fastest form."""
    given = dict(spec["optimizer"])
    return getattr(torch.optim, given.pop("name"))(parameters, fused=True, **given)


def loss_function(spec: dict[str, Any]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss, from scores and labels."""
    if spec["net"] == "text":
        return F.binary_cross_entropy_with_logits
    return lambda scores, y: F.cross_entropy(scores.flatten(0, -2), y.flatten())


def train(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Training steps, with a new batch each; the last loss is looked at."""
    model, loss_from = network(spec), loss_function(spec)
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = optimizer_of(spec, learned)
    data: Iterator[Any] = cycle(resident(spec))

    def forward(x: Tensor, y: Tensor) -> Tensor:
        with lower_precision(spec):
            return loss_from(model(x), y)

    loss_of = compiled(forward)

    def step() -> Tensor:
        loss = loss_of(*next(data))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss

    def run(times: int) -> None:
        for _ in range(times):
            loss = step()
        loss.item()

    return [step().item() for _ in range(spec["check"])], run


@torch.no_grad()
def infer(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Scores of a batch, each looked at."""
    model = network(spec).eval()
    batches = [x for x, _ in resident(spec)]
    data: Iterator[Any] = cycle(batches)

    def forward(x: Tensor) -> Tensor:
        with lower_precision(spec):
            return model(x)

    scores = compiled(forward, frozen=True)

    @torch.no_grad()
    def run(times: int) -> None:
        for _ in range(times):
            scores(next(data)).float().numpy()

    return workloads.some(scores(batches[0]).float().numpy()), run


def gram(x: Tensor) -> Tensor:
    """Return how the channels go together, (channels, channels)."""
    rows = x.flatten(2)[0]
    return rows @ rows.T / rows.numel()


def transfer(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Iterations of style transfer: Adam on an image that begins as the content."""
    model = network(spec).requires_grad_(False)
    content, style = map(tensor, architecture.pictures(spec))
    at, places = tuple(spec["content"]), [tuple(place) for place in spec["style"]]
    wanted = model(content)[at]
    grams = [gram(found) for found in map(model(style).get, places)]
    image = content.clone().requires_grad_(True)
    optimizer = optimizer_of(spec, [image])

    def loss(image: Tensor) -> Tensor:
        found = model(image)
        apart = sum(
            F.mse_loss(gram(found[place]), target)
            for place, target in zip(places, grams, strict=True)
        )
        return F.mse_loss(found[at], wanted) + spec["weight"] * apart

    loss_of = compiled(loss)

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(image)
        loss.backward()
        optimizer.step()
        return loss

    def run(times: int) -> None:
        for _ in range(times):
            loss = step()
        loss.item()

    return [step().item() for _ in range(spec["check"])], run


MAKERS: dict[str, protocol.Maker] = {
    "net-train": train,
    "net-infer": infer,
    "net-transfer": transfer,
}

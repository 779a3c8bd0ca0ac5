"""The nets in plait, plain imperative code; what `with_plait.py` runs.

Read first: `train`, `infer`, `transfer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import cycle, pairwise
from typing import Any

import architecture
import protocol
import workloads

import plait
from plait import Tensor, nn, optim


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
            x = self.pool(plait.relu(conv(x)))
        return self.head(plait.relu(self.hidden(x.flatten(1))))


class TextNet(nn.Module):
    """An LSTM over a frozen table, and the largest over time."""

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        self.table = nn.Buffer(plait.zeros((spec["vocabulary"], spec["width"])))
        self.lstm = nn.LSTM(spec["width"], spec["hidden"], batch_first=True)
        self.hidden = nn.Linear(spec["hidden"], 16)
        self.head = nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        x, _ = self.lstm(plait.embedding(x, self.table))
        return self.head(plait.relu(self.hidden(x.amax(1))))


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
            part.reshape(batch, length, self.heads, -1).transpose(1, 2)
            for part in plait.split(three, width, axis=2)
        )
        y = plait.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(y.transpose(1, 2).reshape(batch, length, width))
        y = plait.gelu(self.expand(self.norm2(x)), approximate="tanh")
        return x + self.shrink(y)


class GPT(nn.Module):
    """A decoder as GPT-2's."""

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        width = spec["width"]
        self.table = nn.Parameter(plait.zeros((spec["vocabulary"], width)))
        self.places = nn.Parameter(plait.zeros((spec["context"], width)))
        self.blocks = nn.Sequential(
            *[Block(width, spec["heads"]) for _ in range(spec["layers"])]
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, spec["vocabulary"], bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = plait.embedding(x, self.table) + self.places
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
        y = plait.relu(self.norm1(self.conv1(x)))
        return plait.relu(self.last(self.conv2(y)) + self.shortcut(x))


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
        y = plait.relu(self.norm1(self.conv1(x)))
        y = plait.relu(self.norm2(self.conv2(y)))
        return plait.relu(self.last(self.conv3(y)) + self.shortcut(x))


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
        x = plait.relu(self.stem_norm(self.stem(x)))
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
        y = plait.relu6(self.norm1(self.expand(x))) if self.wider else x
        y = plait.relu6(self.norm2(self.depthwise(y)))
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
        x = self.blocks(plait.relu6(self.stem_norm(self.stem(x))))
        return self.head(plait.relu6(self.last_norm(self.last(x))).mean((2, 3)))


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
                x = found[i, j] = plait.relu(conv(x))
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
            x = plait.relu(layer(x))
        return self.classifier[-1](x)


MODELS = {
    "cnn": CNN, "text": TextNet, "gpt": GPT, "resnet": ResNet,
    "mobilenet": MobileNet, "vgg": VGG, "style": Features,
}  # fmt: skip


def network(spec: dict[str, Any]) -> nn.Module:
    """Return the net with the given weights."""
    model = MODELS[spec["net"]](spec)
    arrays = architecture.weights(spec)
    model.load_state_dict({name: plait.asarray(v) for name, v in arrays.items()})
    return model


def resident(spec: dict[str, Any]) -> list[tuple[Tensor, Tensor]]:
    """Return batches as tensors."""
    return [(plait.asarray(x), plait.asarray(y)) for x, y in architecture.batches(spec)]


def lower_precision(spec: dict[str, Any]) -> AbstractContextManager[Any]:
    """Return what makes convolutions and products of bfloat16, if asked for."""
    if spec.get("autocast"):
        return plait.autocast(dtype=plait.bfloat16)
    return nullcontext()


def optimizer_of(spec: dict[str, Any], parameters: Any) -> optim.Optimizer:
    """Return the optimizer that is asked for."""
    given = dict(spec["optimizer"])
    return getattr(optim, given.pop("name"))(parameters, **given)


def loss_function(spec: dict[str, Any]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss, from scores and labels."""
    if spec["net"] == "text":
        return plait.binary_cross_entropy_with_logits
    return lambda scores, y: plait.cross_entropy(scores.flatten(0, -2), y.flatten())


def train(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Training steps, with a new batch each; the last loss is looked at."""
    model, loss_from = network(spec), loss_function(spec)
    optimizer = optimizer_of(spec, model.parameters())
    data: Iterator[Any] = cycle(resident(spec))

    def step() -> Tensor:
        x, y = next(data)
        with lower_precision(spec):
            loss = loss_from(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def run(times: int) -> None:
        for _ in range(times):
            loss = step()
        loss.item()

    return [step().item() for _ in range(spec["check"])], run


@plait.no_grad()
def infer(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Scores of a batch, each looked at."""
    model = network(spec).eval()
    batches = [x for x, _ in resident(spec)]
    data: Iterator[Any] = cycle(batches)

    @plait.no_grad()
    def scores(x: Tensor) -> architecture.Array:
        with lower_precision(spec):
            return plait.astype(model(x), plait.float32).numpy()

    def run(times: int) -> None:
        for _ in range(times):
            scores(next(data))

    return workloads.some(scores(batches[0])), run


def gram(x: Tensor) -> Tensor:
    """Return how the channels go together, (channels, channels)."""
    rows = x.flatten(2)[0]
    return rows @ rows.T / rows.size


def transfer(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Iterations of style transfer: Adam on an image that begins as the content."""
    model = network(spec).requires_grad_(False)
    content, style = map(plait.asarray, architecture.pictures(spec))
    at, places = tuple(spec["content"]), [tuple(place) for place in spec["style"]]
    wanted = model(content)[at]
    grams = [gram(found) for found in map(model(style).get, places)]
    plait.flush()
    image = nn.Parameter(content)
    optimizer = optimizer_of(spec, [image])

    def step() -> Tensor:
        found = model(image)
        apart = sum(
            plait.mse_loss(gram(found[place]), target)
            for place, target in zip(places, grams, strict=True)
        )
        loss = plait.mse_loss(found[at], wanted) + spec["weight"] * apart
        optimizer.zero_grad()
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

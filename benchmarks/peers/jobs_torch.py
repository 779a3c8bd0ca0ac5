"""The example jobs in PyTorch, with the data that `jobs_plait.py` has prepared.

Read first: `train`.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

Arrays = dict[str, Tensor]


# --- models


def mnist(config: dict[str, Any]) -> nn.Module:
    """Two linear layers."""
    (hidden,) = config["hidden"]
    return nn.Sequential(nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def cifar(config: dict[str, Any]) -> nn.Module:
    """Three convolutions and two linear layers."""
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        *(nn.Linear(1024, 512), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(512, len(config["classes"])),
    )


class Reader(nn.Module):
    """An LSTM, and the largest over time."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        size, hidden = config["size"], config["hidden"]
        self.embedding = nn.Embedding(len(config["tokens"]) + 2, size, padding_idx=0)
        self.lstm = nn.LSTM(size, hidden, batch_first=True)
        self.hidden = nn.Linear(hidden, 16)
        self.dropout = nn.Dropout(0.5)
        self.output = nn.Linear(16, len(config["classes"]))

    def forward(self, words: Tensor) -> Tensor:
        states, _ = self.lstm(self.dropout(self.embedding(words)))
        return self.output(F.relu(self.hidden(states.amax(1))))


class Writer(nn.Module):
    """A transformer like GPT-2."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        letters, width = len(config["letters"]) + 1, config["width"]
        self.letters = nn.Embedding(letters, width)
        self.places = nn.Embedding(config["context"], width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                *(width, config["heads"], 4 * width, 0.0, "gelu"),
                batch_first=True, norm_first=True,
            )
            for _ in range(config["layers"])
        )  # fmt: skip
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, letters, bias=False)
        mask = nn.Transformer.generate_square_subsequent_mask(config["context"])
        self.register_buffer("mask", mask)

    def forward(self, text: Tensor) -> Tensor:
        x = self.letters(text) + self.places.weight
        for layer in self.layers:
            x = layer(x, self.mask, is_causal=True)
        return self.output(self.norm(x))


MODELS: dict[str, Any] = {
    "mnist": mnist, "cifar": cifar, "sentiment": Reader, "chars": Writer,
}  # fmt: skip


# --- training


def train(spec: dict[str, Any], data: Arrays) -> float:
    """Train, and return the last evaluation's accuracy or loss."""
    job, batch, epochs = spec["job"], spec["batch"], spec["epochs"]
    torch.manual_seed(spec["seed"])
    model = MODELS[job](spec["config"])
    if job == "sentiment":
        weight, known = model.embedding.weight, data["found"][:, None]
        weight.data = torch.where(known, data["table"], 0.1 * weight.data)
    context = spec["config"].get("context", 0)
    steps = 200 if context else -(-len(data["x"]) // batch)
    optimizer, schedule = optimization(spec, model, steps * epochs)
    for _ in range(epochs):
        model.train()
        total: Any = 0
        right: Any = 0
        for x, y in (
            windows(data["x"], context, batch) if context else shuffled(data, batch)
        ):
            scores = model(x)
            loss = F.cross_entropy(scores.flatten(0, -2), y.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total = total + loss.detach()
            if spec["accuracy"]:
                right = right + (scores.argmax(1) == y).sum()
        score = evaluated(spec, model, data)
    return score


def optimization(spec: dict[str, Any], model: nn.Module, steps: int) -> Any:
    """Return the optimizer and the schedule of its rate."""
    rate, job = spec["rate"], spec["job"]
    if job == "chars":
        optimizer: Any = torch.optim.AdamW(
            model.parameters(), lr=rate, weight_decay=0.1, fused=True
        )

        def factor(step: int) -> float:
            progress = step / steps
            if progress < 0.05:
                return progress / 0.05
            return 0.5 + 0.5 * math.cos(math.pi * (progress - 0.05) / 0.95)
    else:
        kind = torch.optim.AdamW if job == "cifar" else torch.optim.Adam
        optimizer = kind(model.parameters(), lr=rate, fused=True)

        def factor(step: int) -> float:
            return 1 - step / steps

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def shuffled(data: Arrays, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches cut from tensors: faster than torch's own DataLoader."""
    for chosen in torch.randperm(len(data["x"])).split(batch):
        yield data["x"][chosen], data["y"][chosen]


def windows(text: Tensor, context: int, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pieces of a text at random, with the same pieces one letter later."""
    pieces = text.unfold(0, context + 1, 1)
    for _ in range(200):
        taken = pieces[torch.randint(len(pieces), (batch,))]
        yield taken[:, :-1], taken[:, 1:]


def evaluated(spec: dict[str, Any], model: nn.Module, data: Arrays) -> float:
    """Return the accuracy or the loss on the data for testing."""
    size = {"mnist": 1000}.get(spec["job"], 200)
    parts = zip(data["test_x"].split(size), data["test_y"].split(size), strict=True)
    model.eval()
    total: Any = 0
    with torch.no_grad():
        for x, y in parts:
            scores = model(x)
            if spec["accuracy"]:
                total = total + (scores.argmax(1) == y).sum()
            else:
                loss = F.cross_entropy(scores.flatten(0, -2), y.flatten())
                total = total + loss * len(x)
    return total.item() / len(data["test_x"])


# --- style


def features(data: Arrays) -> nn.Sequential:
    """Return the convolutions of a VGG network, as far as they are looked at."""
    layers: list[nn.Module] = []
    for name, weight in data.items():
        if not (name.startswith("features.") and name.endswith("weight")):
            continue
        if int(name.split(".")[1]) > len(layers):
            layers.append(nn.AvgPool2d(2))
        conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
        bias = data[name.replace("weight", "bias")]
        conv.load_state_dict({"weight": weight, "bias": bias})
        layers += [conv, nn.ReLU()]
    return nn.Sequential(*layers).requires_grad_(False)


def seen(layers: nn.Sequential, x: Tensor) -> list[Tensor]:
    """Return what follows each convolution of VGG-16, as far as the eleventh."""
    found: list[Tensor] = []
    for layer in layers:
        x = layer(x)
        if isinstance(layer, nn.ReLU):
            found.append(x)
        if len(found) == 11:
            break
    return found


def gram(x: Tensor) -> Tensor:
    """Return how much each two features occur together."""
    flat = x.flatten(2)[0]
    return flat @ flat.T / flat.shape[1]


def paint(spec: dict[str, Any], data: Arrays) -> float:
    """Paint, and return the last loss."""
    layers, styles = features(data), (0, 2, 4, 7, 10)
    with torch.no_grad():
        things = seen(layers, data["content"])[8]
        of_style = seen(layers, data["style"])
        textures = [gram(of_style[i]) for i in styles]
    x = nn.Parameter(data["content"].clone())
    optimizer = torch.optim.Adam([x], lr=spec["rate"], fused=True)
    for _ in range(spec["epochs"]):
        of_x = seen(layers, x)
        parts = [
            ((gram(of_x[i]) - wanted) ** 2).mean() / (wanted**2).mean()
            for i, wanted in zip(styles, textures, strict=True)
        ]
        content = F.mse_loss(of_x[8], things) / (things**2).mean()
        loss = content + 30.0 * sum(parts) / len(parts)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def main() -> None:
    """Do what the argument says; print what was found as JSON."""
    spec = json.loads(sys.argv[1])
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    with np.load(spec["file"]) as file:
        data = {name: torch.from_numpy(file[name]) for name in file}
    for name in ("y", "test_y"):
        if name in data:
            data[name] = data[name].long()
    start = time.perf_counter()
    score = (paint if spec["job"] == "style" else train)(spec, data)
    seconds = time.perf_counter() - start
    facts = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    print(json.dumps({"seconds": seconds, "score": score, "facts": facts}))


if __name__ == "__main__":
    main()

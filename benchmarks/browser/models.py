"""The nets, and what all peers get of them: weights, batches, models as files.

Weights have PyTorch's names, shapes and layouts; peers that want others convert them.

Read first: `net`, `describe`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import workloads
from processes import Missing

import plait
from plait import nn, optim
from plait.train import TrainStep

try:
    import onnx
except ImportError:
    onnx = None

Array = np.ndarray
BATCHES = 8
CLASSES = 10


def net(spec: dict[str, Any]) -> nn.Sequential:
    """Return the net of a specification, with the weights that all peers begin with."""
    if spec["net"] == "cnn":
        layers: list[nn.Module] = [
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(),
            nn.Linear(128, CLASSES),
        ]  # fmt: skip
    else:
        layers, inner = [], 784
        for _ in range(spec["depth"]):
            layers += [nn.Linear(inner, spec["width"]), nn.ReLU()]
            inner = spec["width"]
        layers.append(nn.Linear(inner, CLASSES))
    found = nn.Sequential(*layers)
    rng = np.random.default_rng(1)
    state = {}
    for name, value in found.state_dict().items():
        inner = int(np.prod(value.shape[1:])) if value.ndim > 1 else inner
        drawn = rng.uniform(-(inner**-0.5), inner**-0.5, value.shape)
        state[name] = plait.asarray(drawn.astype(np.float32))
    found.load_state_dict(state)
    return found


def batches(spec: dict[str, Any]) -> list[tuple[Array, Array]]:
    """Return images between 0 and 1 that look like those of their class, and labels."""
    rng = np.random.default_rng(2)
    patterns = rng.uniform(size=(CLASSES, 784))
    found = []
    for _ in range(BATCHES):
        labels = rng.integers(0, CLASSES, spec["batch"])
        noise = rng.normal(0, 0.3, (spec["batch"], 784))
        images = np.clip(0.7 * patterns[labels] + noise, 0, 1).astype(np.float32)
        shape = (-1, 1, 28, 28) if spec["net"] == "cnn" else (-1, 784)
        found.append((images.reshape(shape), labels.astype(np.int32)))
    return found


def layers(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what a page must know of each layer that computes.

    `channels` says into how many maps the inputs of a linear layer are divided.
    """
    modules = list(net(spec))
    for i, module in enumerate(modules):
        names = {"weight": f"{i}.weight", "bias": f"{i}.bias"}
        relu = isinstance(modules[min(i + 1, len(modules) - 1)], nn.ReLU)
        if isinstance(module, nn.Conv2d):
            yield {"kind": "conv", "relu": relu, **names}
        elif isinstance(module, nn.MaxPool2d):
            yield {"kind": "pool"}
        elif isinstance(module, nn.Linear):
            channels = 64 if isinstance(modules[i - 1], nn.Flatten) else 1
            yield {"kind": "linear", "relu": relu, "channels": channels, **names}


def arrays(spec: dict[str, Any]) -> dict[str, Array]:
    """Return all arrays that the pages get: weights, and batches as x0, y0, x1, ..."""
    found = {name: value.numpy() for name, value in net(spec).state_dict().items()}
    for i, (x, y) in enumerate(batches(spec)):
        found |= {f"x{i}": x, f"y{i}": y}
    return found


def expected(spec: dict[str, Any]) -> list[float]:
    """Return what plait finds in Python: losses, or some of the scores."""
    model, data = net(spec), batches(spec)
    if spec["kind"] == "infer":
        with plait.no_grad():
            return workloads.some(model(plait.asarray(data[0][0])).numpy())
    optimizer = optim.SGD(model.parameters(), lr=spec["lr"])
    losses = []
    for i in range(spec["check"]):
        x, y = data[i % len(data)]
        loss = plait.cross_entropy(model(plait.asarray(x)), plait.asarray(y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def export(spec: dict[str, Any], folder: Path) -> None:
    """Write the net's training step and its inference as plait exports them."""
    model, (x, y) = net(spec), batches(spec)[0]
    optimizer = optim.SGD(model.parameters(), lr=spec["lr"])
    step = TrainStep(model, plait.cross_entropy, optimizer)
    rows = spec["rows"]
    plait.export(step, folder, inputs=x, target=y, rows=rows, page=False, quiet=True)


def onnx_model(spec: dict[str, Any]) -> bytes:
    """Return the net as a model from `x` to `scores`.

    Raises:
        Missing: ONNX, the Python package, is not installed.
    """
    if onnx is None:
        raise Missing("models for onnxruntime-web need onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    state = {name: value.numpy() for name, value in net(spec).state_dict().items()}
    nodes, name = [], "x"
    for i, layer in enumerate(layers(spec)):
        parts = [layer["weight"], layer["bias"]] if "weight" in layer else []
        if layer["kind"] == "conv":
            new = helper.make_node("Conv", [name, *parts], [f"c{i}"], pads=[1] * 4)
        elif layer["kind"] == "pool":
            options = {"kernel_shape": [2, 2], "strides": [2, 2]}
            new = helper.make_node("MaxPool", [name], [f"p{i}"], **options)
        else:
            if layer["channels"] > 1:
                nodes.append(helper.make_node("Flatten", [name], [f"f{i}"]))
                name = f"f{i}"
            result = f"l{i}" if layer["relu"] else "scores"
            new = helper.make_node("Gemm", [name, *parts], [result], transB=1)
        nodes.append(new)
        name = new.output[0]
        if layer.get("relu"):
            nodes.append(helper.make_node("Relu", [name], [f"r{i}"]))
            name = f"r{i}"
    shape = batches(spec)[0][0].shape
    graph = helper.make_graph(
        nodes, spec["net"],
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("scores", kind, (spec["batch"], CLASSES))],
        [onnx.numpy_helper.from_array(w, name) for name, w in state.items()],
    )  # fmt: skip
    opset = helper.make_opsetid("", 21)
    made = helper.make_model(graph, opset_imports=[opset], ir_version=10)
    return bytes(made.SerializeToString())

"""The work in plait: plain imperative code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import layers_plait
import nets_plait
import protocol
import workloads

import plait
from plait import Tensor, distributions, nn, optim


def network(spec: dict[str, Any]) -> nn.Module:
    """Return a multilayer perceptron with the given weights."""
    layers: list[nn.Module] = []
    for w, b in workloads.weights(spec):
        linear = nn.Linear(w.shape[1], w.shape[0])
        linear.load_state_dict({"weight": plait.asarray(w), "bias": plait.asarray(b)})
        layers += [linear, nn.ReLU() if spec["activation"] == "relu" else nn.Sigmoid()]
    return nn.Sequential(*layers[:-1])


def resident(spec: dict[str, Any]) -> list[tuple[Tensor, Tensor]]:
    """Return batches as tensors."""
    return [(plait.asarray(x), plait.asarray(y)) for x, y in workloads.batches(spec)]


def train(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Training steps, with a new batch each; the last loss is looked at."""
    model = network(spec)
    optimizer = optim.SGD(model.parameters(), **spec["sgd"])
    data: Iterator[Any] = cycle(resident(spec))

    def step() -> Tensor:
        x, y = next(data)
        loss = plait.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def run(times: int) -> None:
        for _ in range(times):
            loss = step()
        loss.item()

    return [step().item() for _ in range(spec["check"])], run


def infer(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Scores of a batch, each looked at."""
    model = network(spec)
    batches = [x for x, _ in resident(spec)]
    data: Iterator[Any] = cycle(batches)

    def run(times: int) -> None:
        with plait.no_grad():
            for _ in range(times):
                model(next(data)).numpy()

    with plait.no_grad():
        return workloads.some(model(batches[0]).numpy()), run


FUNCTIONS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "negative": lambda x, w, b: -x,
    "gelu chain": lambda x, w, b: plait.gelu(x * 1.1 + 0.1) * plait.sigmoid(x),
    "softmax": lambda x, w, b: plait.softmax(x, axis=1),
    "layer norm": lambda x, w, b: plait.layer_norm(x, x.shape[1], w, b),
}


def elementwise(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """A function of a large array, and its derivatives if `backward`."""
    given = {name: plait.asarray(v) for name, v in workloads.plane(spec).items()}
    function, g = FUNCTIONS[spec["function"]], given.pop("g")
    inputs = tuple(v.requires_grad_(spec["backward"]) for v in given.values())

    def call() -> Tensor:
        y = function(*inputs)
        if spec["backward"]:
            for v in inputs:
                v.grad = None
            y.backward(g)
        plait.flush()
        return y

    def run(times: int) -> None:
        for _ in range(times):
            y = call()
        del y

    check = workloads.some(call().detach().numpy())
    if spec["backward"]:
        for v in inputs:
            check += [] if v.grad is None else workloads.some(v.grad.numpy())
    return check, run


def matmul(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """A matrix product."""
    dtype = getattr(plait, spec["dtype"])
    x, y = (plait.astype(plait.asarray(v), dtype) for v in workloads.factors(spec))
    first, second = spec["transposed"]
    plait.flush()

    def call() -> Tensor:
        z = (x.T if first else x) @ (y.T if second else y)
        plait.flush()
        return z

    def run(times: int) -> None:
        for _ in range(times):
            z = call()
        del z

    return workloads.some(plait.astype(call(), plait.float32).numpy()), run


def optimizer(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Steps of an optimizer, with the same gradients each time."""
    parameters = []
    for w, g in workloads.trained(spec):
        parameters.append(nn.Parameter(plait.asarray(w)))
        parameters[-1].grad = plait.asarray(g)
    own = getattr(optim, spec["name"])(parameters, **spec["settings"])

    def run(times: int) -> None:
        for _ in range(times):
            own.step()
        parameters[-1].numpy()

    run(3)
    return workloads.some(parameters[0].numpy()), run


def draw(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Random numbers of a distribution."""
    settings = {name: plait.tensor(x) for name, x in spec["settings"].items()}
    own = getattr(distributions, spec["name"])(**settings)

    def run(times: int) -> None:
        for _ in range(times):
            own.sample((spec["count"],)).numpy()

    return [], run  # numbers of which no two are alike


def facts() -> dict[str, Any]:
    """Return versions and threads."""
    return {"plait": plait.__version__, "threads": plait.settings.num_threads}


MAKERS: dict[str, protocol.Maker] = {
    "train": train,
    "infer": infer,
    "elementwise": elementwise,
    "matmul": matmul,
    "optimizer": optimizer,
    "draw": draw,
    **nets_plait.MAKERS,
    **layers_plait.MAKERS,
}

if __name__ == "__main__":
    protocol.serve(MAKERS, facts)

"""The work in PyTorch, eager or, with the argument `compile`, through torch.compile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import layers_torch
import nets_torch
import protocol
import torch
import workloads
from nets_torch import compiled
from torch import Tensor, nn


def network(spec: dict[str, Any]) -> nn.Module:
    """Return a multilayer perceptron with the given weights."""
    layers: list[nn.Module] = []
    for w, b in workloads.weights(spec):
        linear = nn.Linear(w.shape[1], w.shape[0])
        linear.load_state_dict(
            {"weight": torch.from_numpy(w), "bias": torch.from_numpy(b)}
        )
        layers += [linear, nn.ReLU() if spec["activation"] == "relu" else nn.Sigmoid()]
    return nn.Sequential(*layers[:-1])


def resident(spec: dict[str, Any]) -> list[tuple[Tensor, Tensor]]:
    """Return batches as tensors."""
    pairs = workloads.batches(spec)
    return [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in pairs]


def train(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Training steps, with a new batch each; the last loss is looked at."""
    model = network(spec)
    optimizer = torch.optim.SGD(model.parameters(), **spec["sgd"])
    data: Iterator[Any] = cycle(resident(spec))
    loss_of = compiled(lambda x, y: nn.functional.cross_entropy(model(x), y))

    def step() -> Tensor:
        x, y = next(data)
        loss = loss_of(x, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss

    def run(times: int) -> None:
        for _ in range(times):
            loss = step()
        loss.item()

    return [step().item() for _ in range(spec["check"])], run


@torch.inference_mode()
def infer(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Scores of a batch, each looked at."""
    model = network(spec)
    batches = [x for x, _ in resident(spec)]
    data: Iterator[Any] = cycle(batches)
    scores = compiled(model)

    @torch.inference_mode()
    def run(times: int) -> None:
        for _ in range(times):
            scores(next(data)).numpy()

    return workloads.some(scores(batches[0]).numpy()), run


FUNCTIONS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "negative": lambda x, w, b: -x,
    "gelu chain": lambda x, w, b: nn.functional.gelu(x * 1.1 + 0.1) * torch.sigmoid(x),
    "softmax": lambda x, w, b: torch.softmax(x, 1),
    "layer norm": lambda x, w, b: nn.functional.layer_norm(x, (x.shape[1],), w, b),
}


def elementwise(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """A function of a large array, and its derivatives if `backward`."""
    given = {name: torch.from_numpy(v) for name, v in workloads.plane(spec).items()}
    function, g = compiled(FUNCTIONS[spec["function"]]), given.pop("g")
    inputs = tuple(v.requires_grad_(spec["backward"]) for v in given.values())

    def call() -> Tensor:
        y = function(*inputs)
        if spec["backward"]:
            for v in inputs:
                v.grad = None
            y.backward(g)
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
    dtype = getattr(torch, spec["dtype"])
    x, y = (torch.from_numpy(v).to(dtype) for v in workloads.factors(spec))
    first, second = spec["transposed"]

    def call() -> Tensor:
        return (x.T if first else x) @ (y.T if second else y)

    def run(times: int) -> None:
        for _ in range(times):
            z = call()
        del z

    return workloads.some(call().float().numpy()), run


def optimizer(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Steps of an optimizer, with the same gradients each time."""
    parameters = []
    for w, g in workloads.trained(spec):
        parameters.append(nn.Parameter(torch.from_numpy(w)))
        parameters[-1].grad = torch.from_numpy(g)
    own = getattr(torch.optim, spec["name"])(parameters, **spec["settings"])

    def run(times: int) -> None:
        for _ in range(times):
            own.step()

    run(3)
    return workloads.some(parameters[0].detach().numpy()), run


def draw(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Random numbers of a distribution."""
    settings = {name: torch.tensor(x) for name, x in spec["settings"].items()}
    own = getattr(torch.distributions, spec["name"])(**settings)

    def run(times: int) -> None:
        for _ in range(times):
            own.sample((spec["count"],)).numpy()

    return [], run  # numbers of which no two are alike


def facts() -> dict[str, Any]:
    """Return versions and threads."""
    return {"torch": torch.__version__, "threads": torch.get_num_threads()}


MAKERS: dict[str, protocol.Maker] = {
    "train": train,
    "infer": infer,
    "elementwise": elementwise,
    "matmul": matmul,
    "optimizer": optimizer,
    "draw": draw,
    **nets_torch.MAKERS,
    **layers_torch.MAKERS,
}

if __name__ == "__main__":
    protocol.serve(MAKERS, facts)

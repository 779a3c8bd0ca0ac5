"""Inference of the nets with ONNX Runtime; the models are made here, node by node."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import architecture
import functional
import numpy as np
import onnx
import onnxruntime
import protocol
import workloads
from onnx import helper, numpy_helper

OPSET = 21


class Name(str):
    """The name of a value in a model; `+` adds a node."""

    ops: Operations

    def __add__(self, other: str) -> Name:
        return self.ops.node("Add", [self, other])


class Operations:
    """Adds nodes to a model; see `functional.Operations`."""

    def __init__(self, arrays: dict[str, architecture.Array]) -> None:
        self.arrays, self.weights = arrays, {name: name for name in arrays}
        self.nodes: list[onnx.NodeProto] = []

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> Name:
        """Return the result of a new node."""
        result = Name(f"{kind}{len(self.nodes)}")
        result.ops = self
        self.nodes.append(helper.make_node(kind, inputs, [result], **attributes))
        return result

    def layer(
        self, kind: str, x: Name, name: str, parts: str, **attributes: Any
    ) -> Name:
        """Return the result of a layer that takes those of the parts that there are."""
        given = [f"{name}.{part}" for part in parts.split()]
        there = [part for part in given if part in self.arrays]
        return self.node(kind, [x, *there], **attributes)

    def conv(self, x: Name, name: str, stride: int = 1, groups: int = 1) -> Name:
        half = self.arrays[f"{name}.weight"].shape[2] // 2
        return self.layer(
            "Conv", x, name, "weight bias", strides=[stride] * 2, pads=[half] * 4,
            group=groups,
        )  # fmt: skip

    def linear(self, x: Name, name: str) -> Name:
        return self.layer("Gemm", x, name, "weight bias", transB=1)

    def batch_norm(self, x: Name, name: str) -> Name:
        parts = "weight bias running_mean running_var"
        return self.layer("BatchNormalization", x, name, parts, epsilon=1e-5)

    def relu(self, x: Name) -> Name:
        return self.node("Relu", [x])

    def relu6(self, x: Name) -> Name:
        self.arrays |= {"zero": np.float32(0), "six": np.float32(6)}
        return self.node("Clip", [x, "zero", "six"])

    def max_pool(self, x: Name, size: int, stride: int, padding: int = 0) -> Name:
        return self.node(
            "MaxPool", [x], kernel_shape=[size] * 2, strides=[stride] * 2,
            pads=[padding] * 4,
        )  # fmt: skip

    def image_mean(self, x: Name) -> Name:
        return self.flatten(self.node("GlobalAveragePool", [x]))

    def flatten(self, x: Name) -> Name:
        return self.node("Flatten", [x])


def model(spec: dict[str, Any], shape: tuple[int, ...]) -> onnx.ModelProto:
    """Return the net as a model from `x` to its scores."""
    arrays = {
        name: w
        for name, w in architecture.weights(spec).items()
        if not name.endswith("num_batches_tracked")
    }
    ops = Operations(arrays)
    x = Name("x")
    x.ops = ops
    scores = functional.NETS[spec["net"]](ops, x, spec)
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        ops.nodes, spec["net"],
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(scores, kind, None)],
        [numpy_helper.from_array(w, name) for name, w in ops.arrays.items()],
    )  # fmt: skip
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=10)


def infer(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Scores of a batch, each looked at."""
    batches = [x for x, _ in architecture.batches(spec)]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    session = onnxruntime.InferenceSession(
        model(spec, batches[0].shape).SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
    )
    data: Iterator[Any] = cycle(batches)

    def run(times: int) -> None:
        for _ in range(times):
            session.run(None, {"x": next(data)})

    return workloads.some(session.run(None, {"x": batches[0]})[0]), run


def facts() -> dict[str, Any]:
    """Return versions and threads, as they were asked for."""
    threads = int(os.environ["OMP_NUM_THREADS"])
    return {"onnxruntime": onnxruntime.__version__, "threads": threads}


MAKERS: dict[str, protocol.Maker] = {"net-infer": infer}

if __name__ == "__main__":
    protocol.serve(MAKERS, facts)

"""Modules of an export: its functions compiled, once for each kind of machine.

Read first: `build_modules`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..compile import wgsl
from ..compile.llvm import target as machines
from ..compile.pipeline import compile_graph
from ..compile.whole import header as c
from ..compile.whole import module as whole
from ..errors import ArgumentError
from ..program import Program
from ..transform.simplify import simplify
from .graphs import Entry, Function, Port
from .layout import Layout

# The builds of WebAssembly: what the module is called, what a browser must have, and
# what it is compiled for.
FEATURES = {
    "simd": ("program.wasm", ("simd128",), "wasm"),
    "relaxed": ("program.relaxed.wasm", ("simd128", "relaxed-simd"), "wasm-relaxed"),
    "threads": (
        "program.threads.wasm", ("simd128", "relaxed-simd", "threads"), "wasm-relaxed",
    ),
}  # fmt: skip


class Module(NamedTuple):
    """A module for one kind of browser.

    Attributes:
        file: its name.
        features: what the browser must have.
        built: what the compiler made.
    """

    file: str
    features: Sequence[str]
    built: whole.Built


def build_wasm(
    functions: Sequence[Function],
    layout: Layout,
    features: Sequence[str],
    say: Callable[[str], None],
) -> list[Module]:
    """Return a module of WebAssembly for each of the features.

    Raises:
        ArgumentError: there is no such feature, or an op cannot be exported.
    """
    for feature in features:
        if feature not in FEATURES:
            raise ArgumentError(
                "[export] there is no such build of wasm",
                got=repr(feature),
                expected=", ".join(FEATURES),
            )
    made = []
    for feature in (name for name in FEATURES if name in features):
        file, needs, name = FEATURES[feature]
        say(f"compiling {file}")
        compiled = compiled_for(name, functions, layout)
        built = whole.build_wasm(
            compiled,
            machines.named(name),
            layout.end,
            state_end=layout.state_end,
            threads=feature == "threads",
        )
        made.append(Module(file, needs, built))
    return made


def build_webgpu(functions: Sequence[Function], layout: Layout) -> bytes:
    """Return what graphics cards run: see `compile.wgsl`."""
    compiled = [
        whole.Function(
            one.symbol,
            wgsl.compile_graph(simplify(one.graph), alone=True),
            places.inputs,
            places.outputs,
        )
        for one, places in zip(functions, layout.functions, strict=True)
    ]
    return wgsl.build_webgpu(compiled, layout.end)


def build_object(
    name: str,
    functions: Sequence[Function],
    state: Mapping[str, Entry],
    layout: Layout,
    machine: str,
) -> tuple[whole.Built, str]:
    """Return an object file for C, with the state in it, and its header.

    Args:
        name: begins all names in C.
        machine: the name of a target; "" for what all processors of this kind run.
    """
    machine = machine or ("sse4" if machines.host().is_x86 else "neon")
    compiled = [
        inner._replace(symbol=c_symbol(name, one))
        for one, inner in zip(
            functions, compiled_for(machine, functions, layout), strict=True
        )
    ]
    contents = [
        (layout.state[label], entry.value.detach().numpy().tobytes())
        for label, entry in state.items()
    ]
    built = whole.build_object(
        compiled,
        machines.named(machine),
        layout.end,
        state_end=layout.state_end,
        name=name,
        contents=contents,
    )
    signatures = [
        c.Signature(
            one.symbol.removeprefix("call_"),
            inner.symbol,
            _tensors(one.inputs, places.inputs),
            _tensors(one.outputs, places.outputs),
            [short(line) for line in built.alarms[inner.symbol]],
        )
        for one, inner, places in zip(
            functions, compiled, layout.functions, strict=True
        )
    ]
    kept = [
        c.Tensor(
            label, x.value.shape, x.value.dtype, layout.state[label],
            x.role == "optimizer",
        )
        for label, x in state.items()
    ]  # fmt: skip
    header = c.c_header(name, signatures, kept, embedded=True)
    return built, header


def c_symbol(name: str, function: Function) -> str:
    """Return what a function is called in the object file."""
    return f"{name}_run_{function.symbol}"


def _tensors(ports: Sequence[Port], places: Sequence[int]) -> list[c.Tensor]:
    return [
        c.Tensor(port.name, port.type.shape, port.type.dtype, at)
        for port, at in zip(ports, places, strict=True)
        if port.kind != "state"
    ]


def short(line: str) -> str:
    """Return a line of the user's without its folder, which is nobody's business."""
    return Path(line).name


def compiled_for(
    name: str, functions: Sequence[Function], layout: Layout
) -> list[whole.Function]:
    """Return the functions as programs for a target, with their addresses."""
    return [
        whole.Function(one.symbol, _program(one, name), places.inputs, places.outputs)
        for one, places in zip(functions, layout.functions, strict=True)
    ]


def _program(function: Function, name: str) -> Program:
    # What changes the state has nothing to keep from run to run.
    lasts = not any(port.kind == "state" for port in function.outputs)
    target = replace(machines.named(name), alone=True)
    return compile_graph(simplify(function.graph), target, lasts=lasts)

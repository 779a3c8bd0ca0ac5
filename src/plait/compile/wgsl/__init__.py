"""Programs for graphics processors: WGSL from the same Loop IR as machine code.

    program = compile_graph(graph)                     # made for WebGPU
    build_webgpu(functions, start) -> bytes            # of JSON, for webgpu.js

`build_webgpu` takes the functions of an export, as `compile.whole` does (any objects
with `symbol`, `program`, `inputs`, `outputs`: absolute addresses of each input and
output), whose programs come from `compile_graph` of this package, and the first free
address after state, inputs and outputs. What no such device can run is our error,
`ExportError` of the export or `DeviceError` here, naming the line.

Read first: `emit.emit`; the decisions are in docs/design/0014-webgpu.md.
"""

from __future__ import annotations

from .module import build_webgpu
from .target import WEBGPU, compile_graph

__all__ = ["WEBGPU", "build_webgpu", "compile_graph"]

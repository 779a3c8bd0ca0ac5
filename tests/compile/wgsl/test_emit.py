"""WGSL of kernels: barriers where they must be, and nothing left to compilers."""

import json
import re
from typing import NamedTuple

import pytest

from plait.compile.loops.parse import from_text
from plait.compile.wgsl import build_webgpu, compile_graph
from plait.compile.wgsl.emit import emit
from plait.dtypes import float32, float64, int64
from plait.errors import ArgumentError, DeviceError
from plait.ir.build import make_input
from plait.ir.graph import Graph
from plait.ops import elementwise as e
from plait.ops import index, linalg, movement
from plait.program import Host
from plait.transform.simplify import simplify


def kernel(body, buffers="  x: float32[64] in\n  y: float32[64] out\n"):
    return from_text(f'kernel "k"\n{buffers}chunks 2\n{body}')


def main_of(text):
    return text[text.index("fn kernel(") :]


SCRATCH = "  x: float32[64] in\n  y: float32[64] out\n  s: float32[32] scratch\n"


@pytest.mark.parametrize(
    ("place", "waits"), [("j", 0), ("16 + j", 0), ("15 - j", 1), ("1 + j", 1)]
)
def test_lanes_wait_for_what_others_have_stored(place, waits):
    text = emit(
        kernel(
            "  vector j in 16 of 16:\n"
            "    s[j] = x[chunk * 32 + j]\n"
            "    s[16 + j] = x[chunk * 32 + 16 + j]\n"
            "  vector j in 16 of 16:\n"
            f"    y[chunk * 32 + j] = s[{place}]\n",
            SCRATCH,
        )
    ).text
    assert main_of(text).count("workgroupBarrier();") == waits


def test_all_wait_for_what_the_first_has_stored():
    text = emit(
        kernel(
            "  s[0] = x[chunk]\n"
            "  vector j in 16 of 16:\n"
            "    y[chunk * 32 + j] = s[0]\n",
            SCRATCH,
        )
    ).text
    main = main_of(text)
    assert (
        main.index("lane == 0u") < main.index("workgroupBarrier") < main.index("put_")
    )


def test_a_turn_waits_for_the_one_before():
    text = emit(
        kernel(
            "  for i in 2:\n"
            "    vector j in 16 of 16:\n"
            "      s[j] = x[i * 16 + j]\n"
            "    vector j in 16 of 16:\n"
            "      y[chunk * 32 + i * 16 + j] = s[15 - j]\n",
            SCRATCH,
        )
    ).text
    assert main_of(text).count("workgroupBarrier();") == 2


def test_sums_that_the_first_stores_are_waited_for():
    """Adding up lanes is a barrier of its own, but comes before the store."""
    text = emit(
        kernel(
            "  registers total: float32[1 x 16]\n"
            "  vector j in 16 of 16:\n"
            "    total[0] = x[chunk * 16 + j]\n"
            "  s[0] = fold add total[0]\n"
            "  vector j in 16 of 16:\n"
            "    y[chunk * 16 + j] = s[0]\n",
            SCRATCH,
        )
    ).text
    main = main_of(text)
    assert main.index("s0[0i] = ") < main.index("workgroupBarrier") < main.index("put_")


def test_loops_are_waited_for_before_they_begin():
    text = emit(
        kernel(
            "  registers total: float32[1 x 16]\n"
            "  vector j in 16 of 16:\n"
            "    s[j] = x[chunk * 16 + j]\n"
            "  for i in 16:\n"
            "    vector j in 16 of 16:\n"
            "      total[0] = total[0] + s[i]\n"
            "  vector j in 16 of 16:\n"
            "    y[chunk * 16 + j] = total[0]\n",
            SCRATCH,
        )
    ).text
    main = main_of(text)
    assert main.count("workgroupBarrier();") == 1
    assert main.index("workgroupBarrier") < main.index("for (")


def test_memory_of_all_has_barriers_of_its_own():
    far = SCRATCH.replace("s: float32[32]", "s: float32[4096]")
    text = emit(
        kernel(
            "  vector j in 16 of 16:\n    s[j] = x[chunk * 16 + j]\n"
            "  vector j in 16 of 16:\n    y[chunk * 16 + j] = s[15 - j]\n",
            far,
        )
    ).text
    assert main_of(text).count("storageBarrier();") == 1
    assert "workgroupBarrier" not in main_of(text)


def test_float16_as_the_device_has_it():
    body = "  y[chunk] = cast(cast(x[chunk], float32) * float32(3.0), float16)\n"
    buffers = "  x: float16[64] in\n  y: float16[64] out\n"
    plain, native = (emit(kernel(body, buffers), half=x).text for x in (False, True))
    assert "f16" not in plain
    assert "atomicXor" in plain
    assert native.startswith("enable f16;")
    assert "memory: array<f16>;" in native
    # Where other numbers lie in memory too, bits are converted.
    mixed = "  x: float16[64] in\n  y: float32[64] out\n"
    body = "  y[chunk] = cast(x[chunk], float32)\n"
    assert "unpack2x16float" in emit(kernel(body, mixed), half=True).text


def test_barriers_are_reached_by_all():
    """What decides on them is made the same for all, as WGSL's analysis demands."""
    text = emit(
        kernel(
            "  n = cast(x[0], int64)\n"
            "  for i in n:\n"
            "    s[0] = x[1]\n"
            "    vector j in 16 of 16:\n"
            "      y[chunk * 32 + j] = s[0]\n",
            SCRATCH,
        )
    ).text
    assert "agreed(" in main_of(text)


def test_one_lane_is_one_invocation():
    text = emit(kernel("  y[chunk] = x[chunk]\n")).text
    assert "@workgroup_size(1)" in text
    assert "lane == 0u" not in text


def test_nan_is_told_by_its_bits():
    body = "  v = x[chunk]\n  y[chunk] = v if v == v else float32(nan)\n"
    text = emit(kernel(body.replace("v if v == v else float32(nan)", "v"))).text
    assert "is_nan" not in text
    select = "  v = x[chunk]\n  y[chunk] = select(v != v, float32(inf), v)\n"
    main = main_of(emit(kernel(select)).text)
    assert "is_nan(" in main
    assert "as_float(2139095040u)" in main


def test_too_many_lanes_are_an_error():
    body = "  vector j in 512 of 512:\n    y[chunk * 512 + j] = x[chunk * 512 + j]\n"
    buffers = "  x: float32[1024] in\n  y: float32[1024] out\n"
    with pytest.raises(DeviceError, match="more lanes than a workgroup has"):
        emit(kernel(body, buffers))


def test_large_scratch_memory_is_the_launchs():
    body = (
        "  vector j in 16 of 16:\n    s[j] = x[chunk * 16 + j]\n"
        "  vector j in 16 of 16:\n    y[chunk * 16 + j] = s[j]\n"
    )
    buffers = "  x: float32[64] in\n  y: float32[64] out\n  s: float32[4096] scratch\n"
    shader = emit(kernel(body, buffers))
    assert shader.scratch == 4 * 4096
    assert "var<workgroup> s" not in shader.text


def test_powers_of_float64_are_a_loop():
    x, y = make_input((), float64), make_input((), float64)
    (code,) = compile_graph(Graph([x, y], [e.pow(x, y)])).kernels
    text = code.build().decode()
    assert text.count("f64_multiply(x, y)") == 1
    assert len(text) < 30_000
    # Results whose last use is over make room for others.
    (size,) = re.findall(r"_values: array<vec2<u32>, (\d+)>;", text)
    assert int(size) < 60


# Modules


class Function(NamedTuple):
    symbol: str
    program: object
    inputs: list
    outputs: list


def test_a_module_of_functions():
    x, y = make_input((5,), float32), make_input((5,), float32)
    program = compile_graph(Graph([x, y], [movement.flip(x, axis=(0,)), e.add(x, y)]))
    # Both results take the place of inputs, though the first one may not.
    function = Function("step", program, [1024, 1088], [1024, 1088])
    data = json.loads(build_webgpu([function, function._replace(symbol="b")], 1152))
    assert set(data["functions"]) == {"step", "b"}
    assert {one["name"] for one in data["kernels"]} >= {"copy_5"}
    function = data["functions"]["step"]
    assert function["slots"][:2] == [1024, 1088]
    assert function["slots"][-1] in (1024, 1088)
    last, number, target, *_ = function["steps"][-1]
    assert (last, data["kernels"][number]["name"]) == ("launch", "copy_5")
    assert function["slots"][target] in (1024, 1088)
    assert data["memory"] > data["scratch"] >= 1152
    assert 1152 <= data["verdict"] < data["scratch"]
    assert data["gate"] == ""


def test_alarms_close_a_gate():
    x, at = make_input((5,), float32), make_input((3,), int64)
    program = compile_graph(simplify(Graph([x, at], [index.take(x, at, axis=0)])))
    function = Function("f", program, [1024, 1088], [1152])
    data = json.loads(build_webgpu([function], 1216))
    names = [name for name, *_ in data["functions"]["f"]["steps"]]
    assert "alarm" in names
    assert "fn kernel(" in data["gate"]


def test_what_runs_in_python_is_no_module():
    x = make_input((3, 3), float32)
    program = compile_graph(simplify(Graph([x], list(linalg.eigh(x)))))
    if not any(isinstance(one, Host) for one in program.instructions):
        program.instructions = [Host(linalg.eigh, (), (), "model.py:3")]
    with pytest.raises(ArgumentError, match="runs in Python"):
        build_webgpu([Function("f", program, [1024], [1088, 1152])], 1216)

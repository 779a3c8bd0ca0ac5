"""Modules with threads, in Node: as many threads as one likes give the same bits."""

import base64
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import plait
from plait.compile.llvm.assemble import assemble
from plait.compile.llvm.target import named
from plait.compile.whole import webassembly
from plait.compile.whole.module import Built, Function, build_wasm
from plait.compile.whole.threads import FEATURES
from plait.ir.evaluate import interpret
from plait.program import Parts, Repeat
from plait.tensor.compare import compare
from plait.transform.simplify import simplify

from .. import nets
from .wasm import Machine, compiled, laid_out

NODE = shutil.which("node")
SCRIPT = Path(__file__).with_name("threads.mjs")
STEPS = 12
pytestmark = pytest.mark.skipif(NODE is None, reason="there is no Node")


def floats(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def traced(function, *arrays):
    tensors = tuple(map(plait.asarray, arrays))
    trace = plait.jit(function).trace(*tensors)
    return simplify(trace.graph), trace.values(tensors, {})


def asked(built, threads, writes, reads, calls):
    """Return what is printed by the script."""
    given = {
        "code": base64.b64encode(built.code).decode(),
        "memory": built.memory,
        "scratch": built.scratch,
        "threads": threads,
        "writes": [(at, base64.b64encode(x.tobytes()).decode()) for at, x in writes],
        "calls": calls,
        "reads": reads,
    }
    done = subprocess.run(
        [NODE, SCRIPT],
        input=json.dumps(given).encode(),
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    found["reads"] = [base64.b64decode(one) for one in found["reads"]]
    return found


def run(built, threads, writes, reads):
    found = asked(built, threads, writes, reads, [["go", 0]] * STEPS)
    assert found["results"] == [0] * STEPS
    return found["reads"]


def training():
    """Wide enough for threads to share most of it."""
    return nets.mlp(2, 128, 64)


def loop():
    """A loop whose turns threads share, as its rows mix."""

    def turn(h, x):
        h = plait.tanh(h @ x)
        return h, h - h.mean(axis=0)

    def function(h, xs):
        return plait.scan(turn, h, xs)

    return traced(function, floats(128, 128), floats(4, 128, 128, seed=1))


def parts():
    """A loop that threads run for rows of their own."""

    def function(w, h, xs):
        def cell(h, x):
            h = plait.tanh(x + h @ w)
            return h, h

        return plait.scan(cell, h, xs)

    return traced(function, floats(128, 128) / 9, floats(128, 128), floats(5, 128, 128))


@pytest.mark.parametrize("name", ["training", "loop", "parts"])
def test_results_do_not_depend_on_the_number_of_threads(name):
    graph, arrays = globals()[name]()
    program = compiled(graph)
    if name != "training":
        kind = Repeat if name == "loop" else Parts
        assert any(isinstance(one, kind) for one in program.instructions)
        assert any(isinstance(one, Parts) for one in program.instructions) == (
            name == "parts"
        )
    inputs, outputs, end = laid_out(program)
    if name == "training":
        # The parameters are updated where they lie.
        outputs = [outputs[0], *inputs[: len(outputs) - 1]]
    function = Function("go", program, inputs, outputs)
    writes = [
        (at, np.asarray(value, type.dtype.numpy))
        for at, type, value in zip(inputs, program.inputs, arrays, strict=True)
    ]
    reads = [(at, x.nbytes) for at, x in zip(outputs, program.outputs, strict=True)]
    built = build_wasm([function], named("wasm"), end, threads=True)
    assert b"work" in built.code
    results = [run(built, threads, writes, reads) for threads in (1, 2, 5)]
    assert results[0] == results[1] == results[2]
    # And the same as without threads.
    machine = Machine(build_wasm([function], named("wasm"), end))
    for at, array in writes:
        machine.write(at, array)
    assert [machine.call("go") for _ in range(STEPS)] == [0] * STEPS
    types = program.outputs
    alone = [machine.read(at, x) for at, x in zip(outputs, types, strict=True)]
    assert [x.tobytes() for x in alone] == results[0]
    if name != "training":
        expected = interpret(graph, [np.array(x) for x in arrays])
        compare(graph, arrays, expected, alone)


def test_a_host_says_whether_threads_share():
    graph, arrays = loop()
    program = compiled(graph)
    inputs, outputs, end = laid_out(program)
    function = Function("go", program, inputs, outputs)
    built = build_wasm([function], named("wasm"), end, threads=True)
    writes = [
        (at, np.asarray(value, type.dtype.numpy))
        for at, type, value in zip(inputs, program.inputs, arrays, strict=True)
    ]
    reads = [(at, x.nbytes) for at, x in zip(outputs, program.outputs, strict=True)]
    calls = [["go", 0], ["sharing", 0], *[["go", 0]] * 4]
    calls += [["sharing", 1], *[["go", 0]] * 4, ["sharing", 1]]
    found = asked(built, 2, writes, reads, calls)
    results, changed = found["results"], found["changed"]
    count = results[1]
    assert count > 0
    assert results[6] == 5 * count
    assert results[11] == 9 * count
    # As all calls give the same, they change what threads tell each other: alone only
    # how many launches there were, and else which of them it is. Once the other thread
    # may say that it falls asleep.
    assert min(changed[2:6]) == 1
    assert min(changed[7:11]) >= 2
    assert found["reads"] == run(built, 1, writes, reads)


STACKS = f"""
target triple = "wasm32-unknown-unknown"
@{webassembly.END} = external global i8
@memory = external global [16 x i32]

define void @work(i32 %number) {{
  %a = alloca [4 x i32]
  store volatile i32 %number, ptr %a
  %end = getelementptr i8, ptr @{webassembly.END}, i32 0
  %place = ptrtoint ptr %a to i32
  %zero = ptrtoint ptr %end to i32
  %distance = sub i32 %place, %zero
  %at = getelementptr i32, ptr @memory, i32 %number
  store atomic i32 %distance, ptr %at seq_cst, align 4
  ret void
}}
define i32 @go() {{
  br label %look
look:
  %one = load atomic i32, ptr getelementptr (i8, ptr @memory, i32 4) seq_cst, align 4
  %two = load atomic i32, ptr getelementptr (i8, ptr @memory, i32 8) seq_cst, align 4
  %both = and i32 %one, %two
  %ready = icmp ne i32 %both, 0
  br i1 %ready, label %out, label %look
out:
  ret i32 0
}}
"""


def test_each_thread_has_a_stack_of_its_own():
    stride = webassembly.STACK + 640
    target = replace(named("wasm"), features=f"+simd128,{FEATURES}")
    data = assemble(STACKS, target)
    worker = webassembly.Worker("work", stride)
    places = {"memory": 1024}
    code = webassembly.finish(data, ["go", "work"], 0, addresses=places, worker=worker)
    memory = webassembly.memory_bytes(data, 0)
    (found,) = run(Built(code, memory, {}, [], stride), 3, [], [(1028, 8)])
    for number, distance in enumerate(np.frombuffer(found, np.int32), 1):
        assert 16 <= number * stride - distance < 64


def test_small_programs_are_not_shared():
    graph, _ = nets.mlp(2, 8, 4)
    program = compiled(graph)
    inputs, outputs, end = laid_out(program)
    function = Function("go", program, inputs, outputs)
    alone = build_wasm([function], named("wasm"), end)
    shared = build_wasm([function], named("wasm"), end, threads=True)
    assert len(shared.code) - len(alone.code) < 800  # what `work` takes
    assert b"atomic" not in alone.code
    assert alone.scratch == 0 < shared.scratch

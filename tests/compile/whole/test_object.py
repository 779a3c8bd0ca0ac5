"""Object files for C: linked by a C compiler, and run."""

import shutil
import subprocess

import numpy as np
import pytest
from safetensors.numpy import save_file

from plait.compile.llvm.target import host, named
from plait.compile.pipeline import compile_graph
from plait.compile.schedule.arena import aligned
from plait.compile.whole.header import Signature, Tensor, c_header
from plait.compile.whole.module import Function, build_object
from plait.dtypes import float32, int32
from plait.errors import ArgumentError
from plait.ir.build import make_input
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph
from plait.ops import contract, convolution, index
from plait.ops import elementwise as e

COMPILER = shutil.which("gcc") or shutil.which("cc")
NATIVE = host().is_x86 and COMPILER is not None

# Two functions of one net: the second one changes the bias.
MAIN = r"""
#include "net.h"
int main(int count, char **paths) {
  int32_t words[3] = {4, 0, 6}, wrong[3] = {1, 2, 7};
  float output[15];
  int i, n;
  (void)count;
#ifdef LOAD
  if (net_load("nothing") != -1 || net_load("net.h") != -2) return 9;
  if (net_load(paths[1]) != 0) return 1;
#endif
  for (n = 0; n < 2; n++) {
    if (net_look_up(words, output)) return 2;
    for (i = 0; i < 15; i++) printf("%.9g\n", output[i]);
    if (net_learn(0.5f)) return 3;
  }
  if (net_state("bias") || *(float *)net_state("a \"bias\"") == 0) return 5;
  n = net_look_up(wrong, NULL);
  if (n != 1 || !strstr(net_look_up_error(n), "test_object")) return 4;
  return paths[0] == NULL;
}
"""


def values():
    rng = np.random.default_rng(0)
    return {
        "table": rng.normal(size=(7, 20)).astype(np.float32),
        "weight": rng.normal(size=(20, 5)).astype(np.float32),
        'a "bias"': rng.normal(size=5).astype(np.float32),
    }


def look_up():
    words = make_input((3,), int32)
    table, weight, bias = [make_input(x.shape, float32) for x in values().values()]
    rows = index.take(table, words, axis=0)
    y = e.add(contract.matmul(rows, weight), bias)
    return Graph([table, weight, bias, words], [y])


def learn():
    bias, rate = (
        make_input((5,), float32),
        make_input((), float32),
    )
    return Graph([bias, rate], [e.subtract(bias, e.multiply(bias, rate))])


def built(target, embedded=False):
    """Return the object, and its header."""
    at, state = 1024, []
    for name, array in values().items():
        state.append(Tensor(name, array.shape, float32, at, name == "table"))
        at += aligned(array.nbytes)
    end = at
    words, output = (
        Tensor("words", (3,), int32, at),
        Tensor("output", (3, 5), float32, at + 64),
    )
    rate = Tensor("rate", (), float32, at)
    bias = state[2]
    programs = [compile_graph(graph, target) for graph in (look_up(), learn())]
    places = [x.at for x in state]
    functions = [
        Function("net_run", programs[0], [*places, words.at], [output.at]),
        Function("net_step", programs[1], [bias.at, rate.at], [bias.at]),
    ]
    contents = [
        (x.at, array.tobytes())
        for x, array in zip(state, values().values(), strict=True)
    ]
    found = build_object(
        functions,
        target,
        at + 128,
        state_end=end,
        name="net",
        contents=contents if embedded else (),
    )
    signatures = [
        Signature("look up", "net_run", [words], [output], found.alarms["net_run"]),
        Signature("learn", "net_step", [rate], []),
    ]
    return found, c_header("net", signatures, state, embedded)


def compiled_in_c(folder, found, header, main, *flags):
    """Return what a program prints."""
    (folder / "net.o").write_bytes(found.code)
    (folder / "net.h").write_text(header)
    (folder / "main.c").write_text(main)
    strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", *flags]
    command = [COMPILER, *strict, "main.c", "net.o", "-o", "main"]
    subprocess.run(command, cwd=folder, check=True)
    command = ["./main", "net.safetensors"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return done.stdout


@pytest.mark.skipif(not NATIVE, reason="there is no C compiler for x86-64")
@pytest.mark.parametrize(
    ("target", "embedded"), [("sse4", False), ("avx2", True), ("avx2", False)]
)
def test_a_program_in_c_gives_the_same(target, embedded, tmp_path):
    if not named(target).runs:
        pytest.skip("this processor cannot run it")
    found, header = built(named(target), embedded)
    save_file(values(), tmp_path / "net.safetensors")
    flags = [] if embedded else ["-DLOAD"]
    output = compiled_in_c(tmp_path, found, header, MAIN, *flags)
    got = np.array(output.split(), np.float32).reshape(2, 3, 5)
    table, weight, bias = values().values()
    words = np.array([4, 0, 6], np.int32)
    for y, b in zip(got, (bias, bias / 2), strict=True):
        (expected,) = interpret(look_up(), [table, weight, b, words])
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


MISSING = r"""
#include "net.h"
int main(void) {
  const float *table = net_state("table"), *weight = net_state("weight");
  int i;
  if (net_load("net.safetensors") || table[139] == 0 || weight[99] == 0) return 1;
  if (net_load("table.safetensors") != -2) return 2;
  if (net_load("others.safetensors") || weight[99] == 0) return 3;
  for (i = 0; i < 140; i++)
    if (table[i] != 0) return 4;
  puts("well");
  return 0;
}
"""


@pytest.mark.skipif(not NATIVE, reason="there is no C compiler for x86-64")
def test_what_may_be_missing_in_a_file_is_zero_then(tmp_path):
    found, header = built(named("sse4"))
    save_file(values(), tmp_path / "net.safetensors")
    others = values()
    save_file({"table": others.pop("table")}, tmp_path / "table.safetensors")
    save_file(others, tmp_path / "others.safetensors")
    assert compiled_in_c(tmp_path, found, header, MISSING) == b"well\n"


# The kernels of a convolution are copied in another order, which lasts.
LASTING = r"""
#include "net.h"
int main(void) {
  static float x[4 * 16 * 14 * 14], y[4 * 32 * 12 * 12];
  float *weight = (float *)net_state("weight");
  int i, n;
  for (i = 0; i < 4 * 16 * 14 * 14; i++) x[i] = (float)(i % 13 - 6);
  for (n = 1; n <= 2; n++) {
    for (i = 0; i < 32 * 16 * 9; i++) weight[i] = (float)(n * (i % 7 - 3));
    net_written();
    if (net_go(x, y)) return 1;
    weight[0] += 1;
    if (net_go(x, y)) return 2;
    for (i = 0; i < 10; i++) printf("%.9g\n", y[i]);
  }
  return 0;
}
"""


@pytest.mark.skipif(not NATIVE, reason="there is no C compiler for x86-64")
@pytest.mark.parametrize("embedded", [False, True])
def test_what_lasts_is_made_again_when_it_is_said(embedded, tmp_path):
    x, w = make_input((4, 16, 14, 14), float32), make_input((32, 16, 3, 3), float32)
    graph = Graph([w, x], [convolution.convolution(x, w)])
    program = compile_graph(graph, named("sse4"), lasts=True)
    assert program.lasts
    weight = Tensor("weight", w.shape, float32, 1024)
    image = Tensor("x", x.shape, float32, 1024 + w.type.nbytes)
    result = Tensor("y", (4, 32, 12, 12), float32, image.at + x.type.nbytes)
    found = build_object(
        [Function("net_run", program, [weight.at, image.at], [result.at])],
        named("sse4"),
        result.at + graph.outputs[0].type.nbytes,
        state_end=image.at,
        name="net",
        contents=[(1024, b"\1")] if embedded else (),
    )
    go = Signature("go", "net_run", [image], [result])
    output = compiled_in_c(tmp_path, found, c_header("net", [go], [weight]), LASTING)
    got = np.array(output.split(), np.float32).reshape(2, 10)
    numbers = (np.arange(x.size) % 13 - 6).astype(np.float32).reshape(x.shape)
    for n, y in enumerate(got, 1):
        kernels = n * (np.arange(w.size) % 7 - 3).astype(np.float32).reshape(w.shape)
        (expected,) = interpret(graph, [kernels, numbers])
        np.testing.assert_allclose(y, expected.ravel()[:10], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["sse4", "avx2", "avx512", "neon"])
def test_it_is_an_object_for_the_machine(name):
    found, _ = built(named(name))
    assert found.code[:5] == b"\x7fELF\x02"
    machine = int.from_bytes(found.code[18:20], "little")
    assert machine == (183 if name == "neon" else 62)
    assert found.memory > 1024


def test_tiles_are_refused():
    with pytest.raises(ArgumentError, match="avx512bf16"):
        built(named("amx"))

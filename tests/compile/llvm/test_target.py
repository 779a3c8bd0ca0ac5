"""Targets: their names, what they can do, and the keys of their code."""

import pytest

from plait.compile.llvm import target
from plait.compile.llvm.target import NAMES, Target, host, named
from plait.dtypes import bool_, float32, float64
from plait.errors import ArgumentError


def test_lanes_are_those_of_memory():
    assert named("avx512").lanes(float32) == 16
    assert named("sse4").lanes(float64) == 2
    assert named("avx2").lanes(bool_) == 32


def test_keys_tell_targets_apart():
    keys = [named(name).key for name in NAMES if name != "host"]
    assert len(set(keys)) == len(keys)
    assert Target("x", "t", "c").key == Target("y", "t", "c").key


def test_host_is_one_of_the_families():
    assert named("host") is host()
    assert host().vector_bits in (128, 256, 512)
    assert host().fma <= (host().vector_bits > 128 or not host().is_x86)


def test_webassembly_runs_elsewhere():
    plain, relaxed = named("wasm"), named("wasm-relaxed")
    assert not plain.runs
    assert not relaxed.runs
    assert plain.index_type == "i32"
    assert host().index_type == "i64"
    assert plain.lanes(float32) == 4
    assert not plain.fma, "its operation with one rounding would be a call"
    assert relaxed.relaxed


def test_unknown_target():
    with pytest.raises(ArgumentError, match="not a target") as caught:
        named("z80")
    assert "sse4" in str(caught.value)


class System:
    """Stands for the C library of a system that gives some answer."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    @property
    def syscall(self):
        def call(*numbers):
            self.asked.append([number.value for number in numbers])
            return self.answer

        return call


@pytest.mark.parametrize(
    ("answer", "system", "machine", "granted"),
    [(0, "linux", "x86_64", True), (-1, "linux", "x86_64", False),
     (0, "win32", "AMD64", False), (0, "linux", "aarch64", False)],
)  # fmt: skip
def test_tiles_are_asked_for(answer, system, machine, granted, monkeypatch):
    library = System(answer)
    monkeypatch.setattr(target.ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(target.sys, "platform", system)
    monkeypatch.setattr(target.platform, "machine", lambda: machine)
    assert target.may_use_tiles.__wrapped__() is granted
    # arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)
    assert library.asked in ([], [[158, 0x1023, 18]])


@pytest.mark.parametrize("granted", [True, False])
@pytest.mark.parametrize("there", [True, False])
def test_host_has_tiles_that_it_may_use(there, granted, monkeypatch):
    names = ("sse4.2", "avx2", "fma", "f16c", "avx512f", "avx512vl", "avx512bw",
             "avx512dq", "avx512bf16", "amx-tile", "amx-bf16")  # fmt: skip

    class Library:
        def get_process_triple(self):
            return "x86_64-unknown-linux-gnu"

        def get_host_cpu_name(self):
            return "sapphirerapids"

        def get_host_cpu_features(self):
            features = dict.fromkeys(names, True) | {"amx-int8": there}
            return type(host_features)(features)

    host_features = target.library().get_host_cpu_features()
    monkeypatch.setattr(target, "library", Library)
    monkeypatch.setattr(target, "may_use_tiles", lambda: granted)
    assert target.host.__wrapped__().amx is (there and granted)

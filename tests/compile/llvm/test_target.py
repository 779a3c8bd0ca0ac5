"""Targets: their names, what they can do, and the keys of their code."""

import pytest

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


def test_unknown_target():
    with pytest.raises(ArgumentError, match="not a target") as caught:
        named("z80")
    assert "sse4" in str(caught.value)

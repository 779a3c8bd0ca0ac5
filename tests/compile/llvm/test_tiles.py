"""Tiles in code: which registers they get, of which sizes, and when."""

import dataclasses

import numpy as np
import pytest

from plait.compile.llvm.assemble import assemble, assembly
from plait.compile.llvm.emit import emit
from plait.compile.llvm.target import host, named
from plait.compile.loops.interpret import interpret
from plait.compile.loops.text import from_text

from ..tile_model import modelled, run

# Two products of different sizes, one after the other, in two chunks.
TEXT = """\
kernel "two products"
  x: uint32[128] in
  y: uint32[128] in
  z: float32[512] inout
  sums: float32[256] scratch
chunks 2
  for turn in 2:
    tile total: float32[16 x 16]
    tile left: uint32[16 x 3]
    tile right: uint32[3 x 16]
    for step in 2:
      tile left = x[step * 3 + turn] by 7
      tile right = y[step * 64] by 16
      tile total += left @ right
    tile sums[0] by 16 = total
    for i in 256:
      z[chunk * 256 + i] = z[chunk * 256 + i] + sums[i]
  tile total: float32[5 x 2]
  tile other: float32[5 x 2]
  tile left: uint32[5 x 8]
  tile right: uint32[8 x 2]
  tile total = sums[3] by 2
  tile left = x[8] by 10
  tile right = y[1] by 3
  tile total += left @ right
  tile sums[3] by 2 = total
  for i in 10:
    z[chunk * 256 + i] = z[chunk * 256 + i] + sums[i + 3]
"""


def test_registers_and_sizes():
    text = emit(from_text(TEXT), named("amx"))
    sizes = next(line for line in text.splitlines() if line.startswith("@tiles"))
    data = bytes.fromhex(sizes.split('"')[1].replace("\\", ""))
    assert data[0] == 1
    assert list(data[16:32:2]) == [64, 12, 64, 8, 8, 32, 8, 0]
    assert list(data[48:56]) == [16, 16, 3, 5, 5, 5, 8, 0]
    assert not any(data[1:16])
    assert not any(data[56:])


def test_code_has_each_instruction_once():
    found = assembly(emit(from_text(TEXT), named("amx")), named("amx"))
    counts = {
        name: found.count(f"\t{name}\t")
        for name in ("ldtilecfg", "tileloadd", "tilestored", "tilezero", "tdpbf16ps")
    }
    assert counts == {
        "ldtilecfg": 1, "tileloadd": 5, "tilestored": 2, "tilezero": 7, "tdpbf16ps": 2
    }  # fmt: skip
    assert found.count("tilerelease") == 1
    # The sums that a tile was stored as are read after that.
    assert assemble(emit(from_text(TEXT), named("amx")), named("amx"))[:4] == b"\x7fELF"


def test_code_does_what_is_meant():
    kernel = from_text(TEXT)
    random = np.random.default_rng(0)
    pairs = [
        (random.standard_normal(256).astype(np.float32).view(np.uint32) >> 16)
        .astype(np.uint16)
        .view(np.uint32)
        for _ in range(2)
    ]
    results = [np.ones(512, np.float32) for _ in range(2)]
    interpret(kernel, [*pairs, results[0]])
    run(kernel, [*pairs, results[1]])
    np.testing.assert_array_equal(*results)
    assert len(np.unique(results[0])) > 200


def test_model_has_no_denormals():
    """As the processor, unlike Loop IR."""
    text = """\
kernel "small"
  x: uint32[4] in
  z: float32[2] inout
  sums: float32[2] scratch
chunks 1
  for i in 2:
    sums[i] = z[i]
  tile total: float32[1 x 2]
  tile left: uint32[1 x 1]
  tile right: uint32[1 x 2]
  tile total = sums[0] by 2
  tile left = x[0] by 1
  tile right = x[1] by 2
  tile total += left @ right
  tile sums[0] by 2 = total
  for i in 2:
    z[i] = sums[i]
"""
    small, one, root = (np.float32(x).view(np.uint32) >> 16 for x in (1e-39, 1, 1e-20))
    x = np.array([one, small, root, 0], np.uint32)
    for first, start, expected in (
        (one, 1.0, [1.0, 1.0 + 1e-20]),  # 1e-39 counts for nothing
        (root, 0.0, [0.0, 0.0]),  # and neither does 1e-40
        (one, 1e-39, [0.0, 1e-20]),
    ):
        x[0] = first
        z = np.full(2, start, np.float32)
        run(from_text(text), [x, z])
        np.testing.assert_allclose(z, np.array(expected, np.float32), rtol=1e-2)


def test_model_finds_what_the_processor_refuses(monkeypatch):
    text = emit(from_text(TEXT), named("amx"))
    assert "@model.tdpbf16ps" in modelled(text)
    broken = TEXT.replace("left: uint32[5 x 8]", "left: uint32[5 x 7]")
    arrays = [np.zeros(128, np.uint32)] * 2 + [np.zeros(512, np.float32)]
    with pytest.raises(AssertionError, match="faults"):
        run(from_text(broken), arrays)


def test_targets_without_tiles():
    plain = dataclasses.replace(host(), amx=False)
    with pytest.raises(AssertionError, match="the target has no tiles"):
        emit(from_text(TEXT), plain)

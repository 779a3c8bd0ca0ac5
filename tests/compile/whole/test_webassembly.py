"""LLVM's objects made into modules that run."""

import struct

import pytest
import wasmtime

from plait.compile.llvm.assemble import assemble
from plait.compile.llvm.target import named
from plait.compile.whole.webassembly import (
    PAGE,
    STACK,
    Worker,
    finish,
    memory_bytes,
    signed,
    unsigned,
)
from plait.errors import ArgumentError

HEAD = 'target triple = "wasm32-unknown-unknown"\n'
# Constants, memory that is 0, variables of others, a stack, and function pointers.
TEXT = (
    HEAD
    + """
@numbers = internal constant [3 x i32] [i32 11, i32 22, i32 33]
@nothing = internal global [4 x i32] zeroinitializer
@places = internal constant [2 x ptr]
  [ptr getelementptr (i8, ptr @numbers, i32 4), ptr @outside]
@outside = external global i32
@two = internal constant [2 x ptr] [ptr @plus, ptr @minus]

define internal i32 @plus(i32 %x) { %y = add i32 %x, 1
 ret i32 %y }
define internal i32 @minus(i32 %x) { %y = sub i32 %x, 1
 ret i32 %y }

define i32 @number(i32 %i) {
  %p = getelementptr i32, ptr @numbers, i32 %i
  %x = load i32, ptr %p
  ret i32 %x
}
define i32 @by_place(i32 %i) {
  %p = getelementptr ptr, ptr @places, i32 %i
  %q = load ptr, ptr %p
  %x = load i32, ptr %q
  ret i32 %x
}
define i32 @count() {
  %old = load i32, ptr @nothing
  %new = add i32 %old, 1
  store i32 %new, ptr @nothing
  %out = load i32, ptr getelementptr (i8, ptr @outside, i32 4)
  %sum = add i32 %out, %new
  ret i32 %sum
}
define i32 @either(i32 %i, i32 %x) {
  %p = getelementptr ptr, ptr @two, i32 %i
  %f = load ptr, ptr %p
  %y = call i32 %f(i32 %x)
  ret i32 %y
}
define i32 @on_stack(i32 %i) {
  %a = alloca [4 x i32]
  %last = getelementptr i32, ptr %a, i32 3
  store i32 7, ptr %last
  call void @elsewhere(ptr %a)
  %p = getelementptr i32, ptr %a, i32 %i
  %x = load i32, ptr %p
  ret i32 %x
}
define void @elsewhere(ptr %a) noinline {
  store i32 5, ptr %a
  ret void
}
"""
)
NAMES = ["number", "by_place", "count", "either", "on_stack"]


def module_of(text, names, memory=4096, **options):
    code = finish(assemble(text, named("wasm")), names, memory, **options)
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    module = wasmtime.Module(engine, code)
    return code, wasmtime.Instance(store, module, []).exports(store), store


def test_numbers_are_short():
    for number in (0, 1, 63, 64, 127, 128, 8191, 8192, 2**31 - 1):
        assert len(unsigned(number)) == max(-(-number.bit_length() // 7), 1)
        for x in (number, -number - 1):
            assert len(signed(x)) == number.bit_length() // 7 + 1
    assert unsigned(624485) == b"\xe5\x8e\x26"
    assert signed(-123456) == b"\xc0\xbb\x78"


def test_static_data_have_another_address_and_references_follow():
    code, exports, store = module_of(
        TEXT, NAMES, addresses={"outside": 128}, contents=[(128, b"\x63\0\0\0\x0a")]
    )
    assert [exports["number"](store, i) for i in range(3)] == [11, 22, 33]
    assert [exports["by_place"](store, i) for i in range(2)] == [22, 99]
    assert [exports["count"](store) for _ in range(2)] == [11, 12]
    assert [exports["either"](store, i, 5) for i in range(2)] == [6, 4]
    assert [exports["on_stack"](store, i) for i in (0, 3)] == [5, 7]
    memory = exports["memory"]
    assert memory.read(store, 0, 128) == bytes(128)
    assert memory.read(store, 4096, 4108) == struct.pack("<iii", 11, 22, 33)
    assert b"target_features" not in code
    assert b"linking" not in code


def test_what_is_not_used_is_not_there():
    text = HEAD + "define i32 @one() {\n  ret i32 1\n}"
    code, exports, store = module_of(text, ["one"])
    assert exports["one"](store) == 1
    assert len(code) < 60


def test_it_needs_no_more_memory_than_is_said():
    data = assemble(TEXT, named("wasm"))
    assert memory_bytes(data, 0) == PAGE
    assert memory_bytes(data, PAGE - 256) == 2 * PAGE  # for the stack
    assert STACK < PAGE
    _, exports, store = module_of(TEXT, NAMES, 3 * PAGE, addresses={"outside": 64})
    assert exports["memory"].data_len(store) == memory_bytes(data, 3 * PAGE) == 4 * PAGE


def test_zeros_are_left_out():
    text = HEAD + "define i32 @one() {\n  ret i32 1\n}"
    parts = [(64, bytes(100) + b"\1" + bytes(50) + b"\2\0\0\3" + bytes(9))]
    code, exports, store = module_of(text, ["one"], contents=parts)
    assert len(code) < 90
    assert exports["memory"].read(store, 64, 64 + len(parts[0][1])) == parts[0][1]
    plain, *_ = module_of(text, ["one"], contents=[(64, bytes(1000))])
    assert len(plain) < 60


def test_what_is_not_there_is_named():
    text = HEAD + (
        "declare float @sinf(float)\n@far = external global i32\n"
        "define float @f(float %x) {\n  %y = call float @sinf(float %x)\n"
        "  store i32 1, ptr @far\n  ret float %y\n}"
    )
    with pytest.raises(ArgumentError, match="Got: sinf, far"):
        module_of(text, ["f"])


def test_shared_memory_is_imported():
    data = assemble(TEXT, named("wasm"))
    worker = Worker("on_stack", STACK)
    code = finish(data, NAMES, PAGE, addresses={"outside": 64}, worker=worker)
    config = wasmtime.Config()
    config.wasm_threads = True
    config.shared_memory = True
    module = wasmtime.Module(wasmtime.Engine(config), code)
    (memory,) = module.imports
    assert (memory.module, memory.name) == ("env", "memory")
    assert memory.type.limits.min == 2
    assert {one.name for one in module.exports} == {*NAMES}

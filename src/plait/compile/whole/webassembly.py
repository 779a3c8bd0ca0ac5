"""From LLVM's relocatable WebAssembly object to a module that runs, without a linker.

LLVM fills each place that a linker would (a *site*) with what is right for the object
taken alone: numbers of functions, types and tables count what is in it, and its static
data begin at address 0. So what is left to do is little: static data get another
address, what is imported from a linker is defined, what shall be seen is exported, and
numbers, which LLVM writes with five bytes to have room for any, become short.

A module has no imports, but for its memory if threads share that.

Source: WebAssembly Core Specification 2.0, chapter 5, "Binary Format"; tool
conventions, "WebAssembly Object File Linking" (github.com/WebAssembly/tool-conventions,
Linking.md).

Read first: `finish`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ...errors import ArgumentError

PAGE = 1 << 16
_MOST_PAGES = 1 << 16

_HEADER = b"\0asm\x01\0\0\0"
(
    _CUSTOM, _TYPE, _IMPORT, _FUNCTION, _TABLE, _MEMORY, _GLOBAL, _EXPORT, _START,
    _ELEMENT, _CODE, _DATA,
) = range(12)  # fmt: skip
# Kinds of imports and exports.
_OF_FUNCTION, _OF_TABLE, _OF_MEMORY, _OF_GLOBAL = range(4)

_I32, _FUNCTION_REFERENCE, _MUTABLE = 0x7F, 0x70, 1
_CONSTANT_I32, _END = 0x41, 0x0B
_LOCAL_GET, _GLOBAL_SET, _ADD, _MULTIPLY = 0x20, 0x24, 0x6A, 0x6C
_MAXIMUM, _SHARED = 1, 2  # flags of the limits of a memory

# The part of the section "linking" that has the symbols.
_SYMBOLS = 8
# Kinds of symbols, and their flags.
_SYMBOL_FUNCTION, _SYMBOL_DATA, _SYMBOL_SECTION = 0, 1, 3
_UNDEFINED, _EXPLICIT_NAME = 0x10, 0x40

# What a site holds, by the type of its relocation: a number of something, or an address
# in memory. Each as unsigned or signed LEB128, or as a word.
_UNSIGNED, _SIGNED, _WORD = range(3)
_SITES = {
    0: (False, _UNSIGNED),  # FUNCTION_INDEX_LEB
    1: (False, _SIGNED),  # TABLE_INDEX_SLEB
    2: (False, _WORD),  # TABLE_INDEX_I32
    3: (True, _UNSIGNED),  # MEMORY_ADDR_LEB
    4: (True, _SIGNED),  # MEMORY_ADDR_SLEB
    5: (True, _WORD),  # MEMORY_ADDR_I32
    6: (False, _UNSIGNED),  # TYPE_INDEX_LEB
    7: (False, _UNSIGNED),  # GLOBAL_INDEX_LEB
    20: (False, _UNSIGNED),  # TABLE_NUMBER_LEB
}
# Relocations with a number to add, those with an address in memory among them.
_WITH_ADDEND = {3, 4, 5, 8, 9, 11, 14, 15, 16, 17, 21, 22, 23, 25}


def finish(
    data: bytes,
    exports: Sequence[str],
    memory: int,
    *,
    addresses: Mapping[str, int] | None = None,
    contents: Sequence[tuple[int, bytes]] = (),
    worker: Worker | None = None,
) -> bytes:
    """Return a module that a host can instantiate.

    Its memory is exported as "memory", or imported as "env.memory" if threads share it.
    Where functions keep something on a stack, that lies at the end of the memory. The
    variable `END`, which the object does not define, lies after all of it.

    Args:
        data: LLVM's object.
        exports: names of the functions to export.
        memory: bytes of it that are taken. The object's own static data, and a stack,
            come after them.
        addresses: where each variable lies that the object does not define.
        contents: what lies in the memory at the beginning: addresses, and bytes.
        worker: what other threads call, if threads share the memory.

    Raises:
        ArgumentError: functions are called, or variables used, that are not there.
    """
    module = _parsed(data)
    base, end = _aligned(memory), _end(module, memory)
    known = {**(addresses or {}), END: _pages(end) * PAGE}
    _check(module, known)
    return _written(module, exports, base, end, known, contents, worker)


# Bytes of stack for each thread. Kernels keep an array there now and then.
STACK = 1 << 14
END = "memory.end"


class Worker(NamedTuple):
    """The function that each further thread calls, given its number, from 1 on.

    Attributes:
        name: of the function.
        stride: bytes of memory of each thread, from `END` on. Its stack ends with them.
    """

    name: str
    stride: int


def memory_bytes(data: bytes, memory: int) -> int:
    """Return how many bytes `finish` gives the module's memory.

    Args:
        data, memory: see there.
    """
    return _pages(_end(_parsed(data), memory)) * PAGE


def _end(module: _Module, memory: int) -> int:
    """Return the end of static data and the stack, which come after `memory` bytes."""
    end = _aligned(_aligned(memory) + module.static_bytes)
    return end + STACK if module.has_stack else end


def unsigned(number: int) -> bytes:
    """Return a number as unsigned LEB128, as short as can be."""
    found = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        if not number:
            found.append(low)
            return bytes(found)
        found.append(low | 0x80)


def signed(number: int) -> bytes:
    """Return a number as signed LEB128, as short as can be."""
    found = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        if number == -(low >> 6):
            found.append(low)
            return bytes(found)
        found.append(low | 0x80)


class _Reader:
    """Reads what lies one after the other."""

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self.data = data
        self.at = at
        self.end = len(data) if end is None else end

    @property
    def more(self) -> bool:
        return self.at < self.end

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def unsigned(self) -> int:
        found = shift = 0
        while True:
            byte = self.byte()
            found |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return found

    def signed(self) -> int:
        found = shift = 0
        while True:
            byte = self.byte()
            found |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return found - (1 << shift) if byte & 0x40 else found

    def bytes(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]

    def name(self) -> str:
        return self.bytes(self.unsigned()).decode()

    def limits(self) -> None:
        if self.byte() & _MAXIMUM:
            self.unsigned()
        self.unsigned()


class _Symbol(NamedTuple):
    """Something with a name.

    Attributes:
        at: the number of a function, or the address of data in the object.
    """

    kind: int
    flags: int
    name: str
    at: int


class _Site(NamedTuple):
    """Where a linker would write.

    Attributes:
        offset: in its section.
        kind: the type of the relocation.
        symbol: the number of the symbol that belongs there.
        addend: what is added to an address.
    """

    offset: int
    kind: int
    symbol: int
    addend: int


class _Segment(NamedTuple):
    """Static data.

    Attributes:
        address: in the object, where static data begin at 0.
        offset: of the bytes in the section.
    """

    address: int
    offset: int
    content: bytes


@dataclass
class _Module:
    """An object, taken apart.

    Attributes:
        sections: the contents of each, by its number.
        symbols: in their order.
        sites: by the number of the section they are in.
        segments: of static data.
        imports: kind and name of each.
    """

    sections: dict[int, bytes] = field(default_factory=dict)
    symbols: list[_Symbol] = field(default_factory=list)
    sites: dict[int, list[_Site]] = field(default_factory=dict)
    segments: list[_Segment] = field(default_factory=list)
    imports: list[tuple[int, str]] = field(default_factory=list)

    @property
    def static_bytes(self) -> int:
        """Return how much memory static data take."""
        return max([one.address + len(one.content) for one in self.segments], default=0)

    @property
    def has_stack(self) -> bool:
        """Return whether functions keep something on a stack."""
        return (_OF_GLOBAL, "__stack_pointer") in self.imports


def _parsed(data: bytes) -> _Module:
    """Take an object apart."""
    module = _Module()
    reader = _Reader(data, len(_HEADER))
    order: list[int] = []  # numbers of sections by their place in the file
    customs: list[tuple[str, _Reader]] = []
    while reader.more:
        number, size = reader.byte(), reader.unsigned()
        order.append(number)
        end = reader.at + size
        if number == _CUSTOM:
            inside = _Reader(data, reader.at, end)
            customs.append((inside.name(), inside))
        else:
            module.sections[number] = data[reader.at : end]
        reader.at = end
    module.segments = list(_segments(module.sections.get(_DATA, b"\0")))
    module.imports = list(_imports(module.sections.get(_IMPORT, b"\0")))
    for name, inside in customs:
        if name == "linking":
            module.symbols = list(_symbols(inside, module))
        elif name.startswith("reloc."):
            section = order[inside.unsigned()]
            module.sites[section] = list(_sites(inside))
    return module


def _segments(section: bytes) -> Iterator[_Segment]:
    reader = _Reader(section)
    for _ in range(reader.unsigned()):
        assert reader.byte() == 0, "static data with an address are expected"
        assert reader.byte() == _CONSTANT_I32
        address = reader.signed()
        assert reader.byte() == _END
        size = reader.unsigned()
        yield _Segment(address, reader.at, reader.bytes(size))


def _imports(section: bytes) -> Iterator[tuple[int, str]]:
    reader = _Reader(section)
    for _ in range(reader.unsigned()):
        reader.name()
        name, kind = reader.name(), reader.byte()
        if kind == _OF_FUNCTION:
            reader.unsigned()
        elif kind == _OF_TABLE:
            reader.byte()
            reader.limits()
        elif kind == _OF_MEMORY:
            reader.limits()
        else:
            reader.bytes(2)
        yield kind, name


def _symbols(reader: _Reader, module: _Module) -> Iterator[_Symbol]:
    assert reader.unsigned() == 2, "the version of the section"
    while reader.more:
        part, size = reader.byte(), reader.unsigned()
        if part != _SYMBOLS:
            reader.bytes(size)
            continue
        for _ in range(reader.unsigned()):
            yield _symbol(reader, module)


def _symbol(reader: _Reader, module: _Module) -> _Symbol:
    kind, flags = reader.byte(), reader.unsigned()
    defined = not flags & _UNDEFINED
    if kind == _SYMBOL_SECTION:
        reader.unsigned()
        return _Symbol(kind, flags, "", 0)
    if kind == _SYMBOL_DATA:
        name, at = reader.name(), 0
        if defined:
            segment, offset, _ = (reader.unsigned() for _ in range(3))
            at = module.segments[segment].address + offset
        return _Symbol(kind, flags, name, at)
    at, name = reader.unsigned(), ""
    if defined or flags & _EXPLICIT_NAME:
        name = reader.name()
    elif kind == _SYMBOL_FUNCTION:
        names = [name for kind, name in module.imports if kind == _OF_FUNCTION]
        name = names[at]
    return _Symbol(kind, flags, name, at)


def _sites(reader: _Reader) -> Iterator[_Site]:
    for _ in range(reader.unsigned()):
        kind, offset, symbol = reader.byte(), reader.unsigned(), reader.unsigned()
        yield _Site(
            offset, kind, symbol, reader.signed() if kind in _WITH_ADDEND else 0
        )


def _check(module: _Module, addresses: Mapping[str, int]) -> None:
    """Refuse an object that does not have all it needs."""
    missing = [name for kind, name in module.imports if kind == _OF_FUNCTION]
    missing += [
        one.name
        for one in module.symbols
        if one.kind == _SYMBOL_DATA
        and one.flags & _UNDEFINED
        and one.name not in addresses
    ]
    if missing:
        raise ArgumentError(
            "[export] the code calls functions that a WebAssembly module does not have",
            got=", ".join(missing),
            where="",
        )
    for sites in module.sites.values():
        for site in sites:
            assert site.kind in _SITES, f"a relocation of type {site.kind}"


def _written(
    module: _Module,
    exports: Sequence[str],
    base: int,
    end: int,
    addresses: Mapping[str, int],
    contents: Sequence[tuple[int, bytes]],
    worker: Worker | None,
) -> bytes:
    numbers = {
        one.name: one.at for one in module.symbols if one.kind == _SYMBOL_FUNCTION
    }
    listed = [(name, _OF_FUNCTION, numbers[name]) for name in exports]
    pages = _pages(end)
    found = {
        number: module.sections[number]
        for number in (_TYPE, _FUNCTION, _ELEMENT)
        if number in module.sections
    }
    if worker is not None:
        limits = bytes([_MAXIMUM | _SHARED]) + unsigned(pages) + unsigned(_MOST_PAGES)
        wanted = _name("env") + _name("memory") + bytes([_OF_MEMORY]) + limits
        found[_IMPORT] = _vector([wanted])
    else:
        found[_MEMORY] = _vector([b"\0" + unsigned(pages)])
        listed.insert(0, ("memory", _OF_MEMORY, 0))
    if _ELEMENT in found:
        count = unsigned(_table_size(found[_ELEMENT]))
        limits = bytes([_MAXIMUM]) + count * 2
        found[_TABLE] = _vector([bytes([_FUNCTION_REFERENCE]) + limits])
    if module.has_stack:
        start = bytes([_CONSTANT_I32]) + signed(end) + bytes([_END])
        found[_GLOBAL] = _vector([bytes([_I32, _MUTABLE]) + start])
    found[_EXPORT] = _vector(
        [_name(name) + bytes([kind]) + unsigned(at) for name, kind, at in listed]
    )
    bodies = _functions(module, base, addresses)
    if worker is not None and module.has_stack:
        number = numbers[worker.name]
        bodies[number] = _with_stack(bodies[number], addresses[END], worker.stride)
    found[_CODE] = _vector([unsigned(len(body)) + body for body in bodies])
    segments = [*contents, *_moved(module, base, addresses)]
    pieces = [piece for one in segments for piece in _without_zeros(*one)]
    if pieces:
        found[_DATA] = _vector([_segment(at, content) for at, content in pieces])
    parts = [_HEADER]
    for number in sorted(found):
        parts += [bytes([number]), unsigned(len(found[number])), found[number]]
    return b"".join(parts)


def _table_size(elements: bytes) -> int:
    """Return how many entries the table must have for the elements."""
    reader = _Reader(elements)
    size = 0
    for _ in range(reader.unsigned()):
        assert reader.byte() == 0
        assert reader.byte() == _CONSTANT_I32
        first = reader.signed()
        assert reader.byte() == _END
        count = reader.unsigned()
        for _ in range(count):
            reader.unsigned()
        size = max(size, first + count)
    return size


def _functions(module: _Module, base: int, addresses: Mapping[str, int]) -> list[bytes]:
    """Return the body of each function, with short numbers."""
    section = module.sections.get(_CODE, b"\0")
    sites = iter([*module.sites.get(_CODE, ()), None])
    site = next(sites)
    reader = _Reader(section)
    bodies = []
    for _ in range(reader.unsigned()):
        end = reader.unsigned() + reader.at
        body = bytearray()
        while site is not None and site.offset < end:
            body += section[reader.at : site.offset]
            reader.at = site.offset
            is_signed = _SITES[site.kind][1] == _SIGNED
            value = reader.signed() if is_signed else reader.unsigned()
            value = _value(module, site, value, base, addresses)
            body += signed(value) if is_signed else unsigned(value)
            site = next(sites)
        body += reader.bytes(end - reader.at)
        bodies.append(bytes(body))
    return bodies


def _with_stack(body: bytes, end: int, stride: int) -> bytes:
    """Return the body of a worker's function, which sets where its stack begins."""
    reader = _Reader(body)
    for _ in range(reader.unsigned()):  # its variables come first
        reader.unsigned()
        reader.byte()
    number = bytes([_LOCAL_GET, 0, _CONSTANT_I32]) + signed(stride)
    address = number + bytes([_MULTIPLY, _CONSTANT_I32]) + signed(end)
    begin = address + bytes([_ADD, _GLOBAL_SET, 0])
    return body[: reader.at] + begin + body[reader.at :]


def _moved(
    module: _Module, base: int, addresses: Mapping[str, int]
) -> Iterator[tuple[int, bytes]]:
    """Yield static data, and where they lie when they begin at `base`."""
    for address, offset, content in module.segments:
        changed = bytearray(content)
        for site in module.sites.get(_DATA, ()):
            at = site.offset - offset
            if 0 <= at < len(content):
                value = int.from_bytes(content[at : at + 4], "little")
                value = _value(module, site, value, base, addresses)
                changed[at : at + 4] = value.to_bytes(4, "little")
        yield base + address, bytes(changed)


def _value(
    module: _Module, site: _Site, value: int, base: int, addresses: Mapping[str, int]
) -> int:
    """Return what belongs at a site, given what LLVM has written there."""
    is_address, _ = _SITES[site.kind]
    symbol = module.symbols[site.symbol]
    if not is_address:
        return value
    if symbol.flags & _UNDEFINED:
        return addresses[symbol.name] + site.addend
    assert value == symbol.at + site.addend
    return base + value


# A run of as many zeros is left out: more would be needed to say where the rest lies.
_ZEROS = bytes(12)


def _without_zeros(address: int, content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the parts of static data that are not 0."""
    at, end = 0, len(content)
    while at < end:
        if not content[at]:
            at += 1
            continue
        stop = content.find(_ZEROS, at)
        stop = end if stop < 0 else stop
        yield address + at, content[at:stop].rstrip(b"\0")
        at = stop


def _segment(address: int, content: bytes) -> bytes:
    place = bytes([0, _CONSTANT_I32]) + signed(address) + bytes([_END])
    return place + unsigned(len(content)) + content


def _name(text: str) -> bytes:
    data = text.encode()
    return unsigned(len(data)) + data


def _vector(items: Sequence[bytes]) -> bytes:
    return unsigned(len(items)) + b"".join(items)


def _aligned(nbytes: int) -> int:
    return -(-nbytes // 64) * 64


def _pages(nbytes: int) -> int:
    return max(-(-nbytes // PAGE), 1)

"""The header in C of an object file that `build_object` has made.

All of it is one block of memory with fixed places, so there is nothing to create and
nothing to free, and one thread at a time may use it.

Read first: `c_header`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from ...dtypes import DType

_TYPES = {
    "float32": "float",
    "float64": "double",
    "bool": "uint8_t",
    # C has no type for these that is found everywhere: their bits.
    "float16": "uint16_t",
    "bfloat16": "uint16_t",
}
# As files of weights name them.
_STORED = {
    "float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16",
    "bool": "BOOL", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64",
    "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64",
}  # fmt: skip


class Tensor(NamedTuple):
    """A tensor in the memory.

    Attributes:
        name: for people, and in files of weights.
        at: its address.
        may_be_zero: it is, where a file of weights does not have it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType
    at: int
    may_be_zero: bool = False

    @property
    def nbytes(self) -> int:
        """Return how many bytes it takes."""
        count = 1
        for size in self.shape:
            count *= size
        return count * self.dtype.itemsize


class Signature(NamedTuple):
    """A function.

    Attributes:
        name: what users call it.
        symbol: the name that it has in the object, another one.
        inputs, outputs: its tensors.
        alarms: the user's lines that may end it.
    """

    name: str
    symbol: str
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    alarms: Sequence[str] = ()


def c_header(
    name: str,
    signatures: Sequence[Signature],
    state: Sequence[Tensor],
    embedded: bool = False,
) -> str:
    """Return the text of a header in C (C99, or C++).

    For each function it has `int NAME_function(inputs..., outputs...)`, which copies
    the inputs in and the outputs out, and returns 0, or k if the k-th alarm ended it,
    of which `NAME_function_error(k)` tells the line. Numbers are passed by value.
    `NAME_load(path)` reads weights from a file in the format of safetensors, and
    `NAME_state(name)` tells where one lies.

    Args:
        name: begins all names; also that of the memory, `NAME_memory`.
        signatures: the functions.
        state: the weights.
        embedded: the state is in the object already.
    """
    guard = f"{_identifier(name).upper()}_H"
    parts = [
        _beginning(name, guard, embedded),
        *(_function(name, one) for one in signatures),
        *((_place(name, state), _load(name, state)) if state else ()),
        f"#ifdef __cplusplus\n}}\n#endif\n#endif /* {guard} */\n",
    ]
    return "\n".join(part for part in parts if part)


def _beginning(name: str, guard: str, embedded: bool) -> str:
    weights = (
        f"The weights are there already; {name}_load reads others."
        if embedded
        else f"Call {name}_load first, which reads the weights."
    )
    return f"""\
/* Made by plait. Link with the object file of the same name.

   {weights}

   Everything lies in one static block of memory: nothing is allocated, and only one
   thread at a time may use it. Arrays are in row-major order. */
#ifndef {guard}
#define {guard}

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {{
#endif

extern unsigned char {name}_memory[];
/* Call this after weights were written there by other means than {name}_load. */
void {name}_written(void);
"""


def _function(name: str, one: Signature) -> str:
    tensors = [*one.inputs, *one.outputs]
    names = _names([x.name for x in tensors])
    count = len(one.inputs)
    listed, copies = [], []
    for i, (x, own) in enumerate(zip(tensors, names, strict=True)):
        place = f"{name}_memory + {x.at}"
        if i >= count:
            listed.append(f"{_type(x.dtype)} *{own}")
            copies.append(f"  if ({own}) memcpy({own}, {place}, {x.nbytes});")
        elif x.shape == ():
            listed.append(f"{_type(x.dtype)} {own}")
            copies.append(f"  memcpy({place}, &{own}, {x.nbytes});")
        else:
            listed.append(f"const {_type(x.dtype)} *{own}")
            copies.append(f"  memcpy({place}, {own}, {x.nbytes});")
    copies.insert(count, f"  if ((result = {one.symbol}()) != 0) return result;")
    told = "\n".join(
        f"     {own}: {x.dtype.name} {list(x.shape)}"
        for x, own in zip(tensors, names, strict=True)
    )
    own = f"{name}_{_identifier(one.name)}"
    lines = "\n".join(copies)
    errors = ""
    if one.alarms:
        cases = "\n".join(
            f"    case {k}: return {_quoted(text)};"
            for k, text in enumerate(one.alarms, 1)
        )
        errors = (
            f"\nstatic inline const char *{own}_error(int result) {{\n"
            f'  switch (result) {{\n{cases}\n    default: return "";\n  }}\n}}\n'
        )
    ends = "\n   Or the number of the error that ended it, such as a wrong index."
    return f"""\
int {one.symbol}(void);

/* {one.name}. Returns 0.{ends if one.alarms else ""}
{told}
   An output may be NULL if it is not wanted. */
static inline int {own}({", ".join(listed) or "void"}) {{
  int result;
{lines}
  return 0;
}}
{errors}"""


def _place(name: str, state: Sequence[Tensor]) -> str:
    rows = "\n".join(
        f"  if (!strcmp(name, {_quoted(x.name)})) return {name}_memory + {x.at};"
        f" /* {x.dtype.name} {list(x.shape)} */"
        for x in state
    )
    return f"""\
/* Returns where a tensor of the weights lies, or NULL if there is none of this name. */
static inline void *{name}_state(const char *name) {{
{rows}
  return NULL;
}}
"""


def _load(name: str, state: Sequence[Tensor]) -> str:
    rows = ",\n".join(
        f"    {{{json.dumps(json.dumps(x.name) + ':{')}, "
        f'"\\"dtype\\":\\"{_STORED[x.dtype.name]}\\"", {x.at}, {x.nbytes}, '
        f"{int(x.may_be_zero)}}}"
        for x in state
    )
    return f"""\
/* Reads the weights from a file in the format of safetensors. Returns 0; -1 if the file
   cannot be read; or -2 if it does not have these weights. Some may have been
   overwritten then. */
static inline int {name}_load(const char *path) {{
  static const struct {{
    const char *name, *dtype;
    size_t at, size;
    int may_be_zero;
  }} state[] = {{
{rows}
  }};
  unsigned char head[8];
  char *text = NULL;
  uint64_t length = 0;
  size_t i;
  int result = -2;
  FILE *file = fopen(path, "rb");
  if (!file) return -1;
  if (fread(head, 1, 8, file) == 8) {{
    for (i = 0; i < 8; i++) length |= (uint64_t)head[i] << (8 * i);
    if (length < 100000000) text = (char *)malloc((size_t)length + 1);
  }}
  if (text && fread(text, 1, (size_t)length, file) == length) {{
    text[length] = 0;
    for (i = 0, result = 0; i < sizeof state / sizeof *state && !result; i++) {{
      const char *entry = strstr(text, state[i].name);
      const char *end = entry ? strchr(entry, '}}') : NULL;
      const char *dtype = entry ? strstr(entry, state[i].dtype) : NULL;
      const char *place = entry ? strstr(entry, "\\"data_offsets\\":[") : NULL;
      char *rest;
      unsigned long long begin, stop;
      if (!entry && state[i].may_be_zero) {{
        memset({name}_memory + state[i].at, 0, state[i].size);
        continue;
      }}
      result = -2;
      if (!end || !dtype || dtype > end || !place || place > end) break;
      begin = strtoull(place + 16, &rest, 10);
      if (*rest != ',') break;
      stop = strtoull(rest + 1, NULL, 10);
      if (stop < begin || stop - begin != state[i].size) break;
      result = -1;
      if (fseek(file, (long)(8 + length + begin), SEEK_SET)) break;
      if (fread({name}_memory + state[i].at, 1, state[i].size, file) != state[i].size)
        break;
      result = 0;
    }}
  }}
  free(text);
  fclose(file);
  {name}_written();
  return result;
}}
"""


def _quoted(text: str) -> str:
    """Return text as JSON and C write it, which is the same for what is in use."""
    return json.dumps(text, ensure_ascii=False)


def _type(dtype: DType) -> str:
    return _TYPES.get(dtype.name, f"{dtype.name}_t")


def _identifier(text: str) -> str:
    found = re.sub(r"\W", "_", text, flags=re.ASCII)
    return f"_{found}" if found[:1].isdigit() else found


_WORDS = {
    "auto", "break", "case", "char", "const", "continue", "default", "do", "double",
    "else", "enum", "extern", "float", "for", "goto", "if", "inline", "int", "long",
    "register", "restrict", "return", "short", "signed", "sizeof", "static", "struct",
    "switch", "typedef", "union", "unsigned", "void", "volatile", "while", "result",
    "class", "new", "delete", "this", "template", "operator", "private", "public",
}  # fmt: skip


def _names(texts: Sequence[str]) -> list[str]:
    """Return names of parameters, each once."""
    found: list[str] = []
    for text in texts:
        name = _identifier(text)
        if name in _WORDS:
            name += "_"
        while name in found:
            name += "_"
        found.append(name)
    return found

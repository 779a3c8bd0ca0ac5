"""Functions in WGSL that kernels call, each with what it needs.

They are integers of 64 bits, and whatever WGSL leaves open, such as the lesser of nan
and a number.

No constant is an infinity or a nan, no test compares a number with itself, as compilers
may take it for granted that there are none. Read first: `text_of`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .float64 import FLOAT64

_CALL = re.compile(r"\b([a-z_][a-z_0-9]*)\(")

_BASIC = """
fn as_float(bits: u32) -> f32 {
  return bitcast<f32>(bits);
}
fn exact(x: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) ^ nothing);
}
fn is_nan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}
fn lesser(x: f32, y: f32) -> f32 {
  return select(select(y, x, x < y), x, is_nan(x));
}
fn greater(x: f32, y: f32) -> f32 {
  return select(select(y, x, x > y), x, is_nan(x));
}
fn floor_divide_i(x: i32, y: i32) -> i32 {
  if (y == 0i) { return 0i; }
  if (y == -1i) { return 0i - x; }
  let q = x / y;
  return select(q, q - 1i, ((x ^ y) < 0i) && (q * y != x));
}
fn remainder_i(x: i32, y: i32) -> i32 {
  if (y == 0i || y == -1i) { return 0i; }
  let r = x % y;
  return select(r, r + y, r != 0i && ((r ^ y) < 0i));
}
fn floor_divide_u(x: u32, y: u32) -> u32 {
  return select(x / max(y, 1u), 0u, y == 0u);
}
fn remainder_u(x: u32, y: u32) -> u32 {
  return select(x % max(y, 1u), 0u, y == 0u);
}
fn shift_left(x: u32, y: u32) -> u32 {
  return select(0u, x << (y & 31u), y < 32u);
}
fn shift_right(x: u32, y: u32) -> u32 {
  return select(0u, x >> (y & 31u), y < 32u);
}
fn to_int(x: f32) -> i32 {
  if (!(abs(x) < 2147483648.0f)) { return -2147483647i - 1i; }
  return i32(x);
}
fn to_word(x: f32) -> u32 {
  return long_of_float(x).x;
}
fn widen_half(bits: u32) -> f32 {
  let body = bits & 0x7fffu;
  let moved = body << 13u;
  let scaled = bitcast<u32>(bitcast<f32>(moved) * 5192296858534828e18f);
  let small = bitcast<u32>(f32(body) * 5.9604644775390625e-8f);
  var number = select(scaled, small, body < 0x400u);
  number = select(number, moved | 0x7f800000u, body > 0x7bffu);
  return bitcast<f32>(number | ((bits & 0x8000u) << 16u));
}
fn round_half(x: f32) -> f32 {
  return widen_half(narrow_half(x));
}
fn narrow_half(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let sign = (bits >> 16u) & 0x8000u;
  let body = bits & 0x7fffffffu;
  let odd = (body >> 13u) & 1u;
  let normal = (body + 0xfffu - 0x38000000u + odd) >> 13u;
  let small = bitcast<u32>(bitcast<f32>(body) + 0.5f) - 0x3f000000u;
  var number = select(normal, small, body < 0x38800000u);
  number = select(number, 0x7c00u, body > 0x477fefffu);
  number = select(number, 0x7e00u, body > 0x7f800000u);
  return number | sign;
}
fn narrow_bfloat(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let upper = bits >> 16u;
  let rounded = (bits + 0x7fffu + (upper & 1u)) >> 16u;
  return select(rounded, upper | 0x40u, is_nan(x));
}
"""

_LONG = """
fn long_of(x: i32) -> vec2<u32> {
  return vec2<u32>(bitcast<u32>(x), bitcast<u32>(x >> 31u));
}
fn long_add(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let low = a.x + b.x;
  return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}
fn long_subtract(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  return vec2<u32>(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}
fn word_product(a: u32, b: u32) -> vec2<u32> {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let one = (a >> 16u) * (b & 0xffffu);
  let two = (a & 0xffffu) * (b >> 16u);
  let middle = (low >> 16u) + (one & 0xffffu) + (two & 0xffffu);
  let high = (a >> 16u) * (b >> 16u) + (one >> 16u) + (two >> 16u) + (middle >> 16u);
  return vec2<u32>((middle << 16u) | (low & 0xffffu), high);
}
fn long_multiply(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let low = word_product(a.x, b.x);
  return vec2<u32>(low.x, low.y + a.x * b.y + a.y * b.x);
}
fn long_equal(a: vec2<u32>, b: vec2<u32>) -> bool {
  return a.x == b.x && a.y == b.y;
}
fn long_less_u(a: vec2<u32>, b: vec2<u32>) -> bool {
  return a.y < b.y || (a.y == b.y && a.x < b.x);
}
fn long_less_i(a: vec2<u32>, b: vec2<u32>) -> bool {
  return bitcast<i32>(a.y) < bitcast<i32>(b.y) || (a.y == b.y && a.x < b.x);
}
fn long_left(a: vec2<u32>, n: u32) -> vec2<u32> {
  if (n == 0u) { return a; }
  if (n > 63u) { return vec2<u32>(0u, 0u); }
  if (n > 31u) { return vec2<u32>(0u, a.x << (n - 32u)); }
  return vec2<u32>(a.x << n, (a.y << n) | (a.x >> (32u - n)));
}
fn long_right_u(a: vec2<u32>, n: u32) -> vec2<u32> {
  if (n == 0u) { return a; }
  if (n > 63u) { return vec2<u32>(0u, 0u); }
  if (n > 31u) { return vec2<u32>(a.y >> (n - 32u), 0u); }
  return vec2<u32>((a.x >> n) | (a.y << (32u - n)), a.y >> n);
}
fn long_right_i(a: vec2<u32>, n: u32) -> vec2<u32> {
  if (n == 0u) { return a; }
  let top = bitcast<i32>(a.y);
  let sign = bitcast<u32>(top >> 31u);
  if (n > 63u) { return vec2<u32>(sign, sign); }
  if (n > 31u) { return vec2<u32>(bitcast<u32>(top >> (n - 32u)), sign); }
  return vec2<u32>((a.x >> n) | (a.y << (32u - n)), bitcast<u32>(top >> n));
}
fn long_negative(a: vec2<u32>) -> vec2<u32> {
  return long_subtract(vec2<u32>(0u, 0u), a);
}
fn long_magnitude(a: vec2<u32>) -> vec2<u32> {
  if ((a.y >> 31u) == 1u) { return long_negative(a); }
  return a;
}
fn long_divided(a: vec2<u32>, b: vec2<u32>) -> vec4<u32> {
  var q = vec2<u32>(0u, 0u);
  var r = vec2<u32>(0u, 0u);
  if (b.x == 0u && b.y == 0u) { return vec4<u32>(0u, 0u, 0u, 0u); }
  for (var i = 63i; i >= 0i; i--) {
    let carried = r.y >> 31u;
    r = long_left(r, 1u);
    r.x |= long_right_u(a, u32(i)).x & 1u;
    if (carried == 1u || !long_less_u(r, b)) {
      r = long_subtract(r, b);
      let bit = long_left(vec2<u32>(1u, 0u), u32(i));
      q = q | bit;
    }
  }
  return vec4<u32>(q.x, q.y, r.x, r.y);
}
fn long_floor_divide_u(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  return long_divided(a, b).xy;
}
fn long_remainder_u(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  return long_divided(a, b).zw;
}
fn long_floor_divide_i(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let found = long_divided(long_magnitude(a), long_magnitude(b));
  if (((a.y ^ b.y) >> 31u) == 0u) { return found.xy; }
  let negative = long_negative(found.xy);
  if ((found.z | found.w) == 0u) { return negative; }
  return long_subtract(negative, vec2<u32>(1u, 0u));
}
fn long_remainder_i(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  if ((b.x | b.y) == 0u) { return b; }
  return long_subtract(a, long_multiply(long_floor_divide_i(a, b), b));
}
fn float_of_long_u(a: vec2<u32>) -> f32 {
  if (a.y == 0u) { return f32(a.x); }
  let n = 32u - countLeadingZeros(a.y);
  let kept = long_right_u(a, n);
  let lost = long_left(kept, n).x != a.x;
  let sticky = kept.x | select(0u, 1u, lost);
  return f32(sticky) * bitcast<f32>((127u + n) << 23u);
}
fn float_of_long_i(a: vec2<u32>) -> f32 {
  let size = float_of_long_u(long_magnitude(a));
  return select(size, 0.0f - size, (a.y >> 31u) == 1u);
}
fn long_of_float(x: f32) -> vec2<u32> {
  let bits = bitcast<u32>(x);
  let power = i32((bits >> 23u) & 255u) - 150i;
  if (power > 40i) { return vec2<u32>(0u, 0x80000000u); }
  let whole = vec2<u32>((bits & 0x7fffffu) | 0x800000u, 0u);
  var size = vec2<u32>(0u, 0u);
  if (power >= 0i) {
    size = long_left(whole, u32(power));
  } else if (power > -24i) {
    size = long_right_u(whole, u32(0i - power));
  }
  if ((bits >> 31u) == 1u) { return long_negative(size); }
  return size;
}
"""


def _parsed(text: str) -> dict[str, str]:
    found = {}
    for part in ("\n" + text).split("\nfn ")[1:]:
        found[part[: part.index("(")]] = f"fn {part.rstrip()}\n"
    return found


FUNCTIONS = {**_parsed(_BASIC), **_parsed(_LONG), **_parsed(FLOAT64)}


# The same where there is the feature "shader-f16". What is narrowed has been rounded.
_NATIVE = {
    "round_half": """\
fn round_half(x: f32) -> f32 { return f32(f16(x)); }
""",
    "widen_half": """\
fn widen_half(bits: u32) -> f32 { return unpack2x16float(bits).x; }
""",
    "narrow_half": """\
fn narrow_half(x: f32) -> u32 { return pack2x16float(vec2<f32>(f32(f16(x)), 0.0f)); }
""",
}


def text_of(body: Iterable[str], half: bool = False) -> str:
    """Return the functions that some text calls, and those that they call.

    Args:
        half: the device has numbers of float16.
    """
    functions = FUNCTIONS | _NATIVE if half else FUNCTIONS
    wanted: set[str] = set()
    waiting = [name for line in body for name in _CALL.findall(line)]
    while waiting:
        name = waiting.pop()
        if name in functions and name not in wanted:
            wanted.add(name)
            waiting.extend(_CALL.findall(functions[name]))
    return "".join(text for name, text in functions.items() if name in wanted)

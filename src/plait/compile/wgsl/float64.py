"""Arithmetic of float64 in WGSL, on the bits, exact to the last one.

WGSL has no float64. It is emulated, which is slow, and meant for the few numbers of a
training step that need it: learning rates, powers, corrections. Pairs of f32 would be
faster, but compilers may exchange the additions that make them up.

A number is (-1)^sign * sig * 2^(exp - 1084), where `sig` is an integer of 64 bits. Its
highest bit set is made bit 62, and ten bits are rounded off at the end (`f64_pack`).
Source: IEEE 754-2019 for the meaning.
"""

from __future__ import annotations

FLOAT64 = """
fn f64_is_nan(a: vec2<u32>) -> bool {
  let top = a.y & 0x7fffffffu;
  return top > 0x7ff00000u || (top == 0x7ff00000u && a.x != 0u);
}
fn f64_is_zero(a: vec2<u32>) -> bool {
  return (a.x | (a.y << 1u)) == 0u;
}
fn f64_exponent(a: vec2<u32>) -> i32 {
  return i32((a.y >> 20u) & 0x7ffu);
}
fn f64_negative(a: vec2<u32>) -> vec2<u32> {
  return vec2<u32>(a.x, a.y ^ 0x80000000u);
}
fn f64_abs(a: vec2<u32>) -> vec2<u32> {
  return vec2<u32>(a.x, a.y & 0x7fffffffu);
}
fn f64_leading_zeros(a: vec2<u32>) -> u32 {
  return select(countLeadingZeros(a.y), 32u + countLeadingZeros(a.x), a.y == 0u);
}
fn f64_right_sticky(a: vec2<u32>, n: u32) -> vec2<u32> {
  if (n == 0u) { return a; }
  if (n > 63u) { return vec2<u32>(select(0u, 1u, (a.x | a.y) != 0u), 0u); }
  var kept = long_right_u(a, n);
  let back = long_left(kept, n);
  kept.x |= select(0u, 1u, back.x != a.x || back.y != a.y);
  return kept;
}
fn f64_pack(sign: u32, power: i32, whole: vec2<u32>) -> vec2<u32> {
  var sig = whole;
  var exp = power;
  if (exp < 0i) {
    sig = f64_right_sticky(sig, u32(0i - exp));
    exp = 0i;
  }
  let low = sig.x & 0x3ffu;
  sig = long_right_u(long_add(sig, vec2<u32>(0x200u, 0u)), 10u);
  if (low == 0x200u) { sig.x &= 0xfffffffeu; }
  if (exp > 0x7fdi || (exp == 0x7fdi && sig.y >= 0x200000u)) {
    return vec2<u32>(0u, sign | 0x7ff00000u);
  }
  return vec2<u32>(sig.x, sign | ((u32(exp) << 20u) + sig.y));
}
fn f64_normal(sign: u32, exp: i32, sig: vec2<u32>) -> vec2<u32> {
  if ((sig.x | sig.y) == 0u) { return vec2<u32>(0u, sign); }
  let zeros = f64_leading_zeros(sig);
  var moved = long_left(sig, max(zeros, 1u) - 1u);
  if (zeros == 0u) { moved = f64_right_sticky(sig, 1u); }
  return f64_pack(sign, exp - i32(zeros) + 1i, moved);
}
fn f64_whole(a: vec2<u32>) -> vec2<u32> {
  let hidden = select(0u, 0x100000u, f64_exponent(a) != 0i);
  return vec2<u32>(a.x, (a.y & 0xfffffu) | hidden);
}
fn f64_add(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  if (f64_is_nan(a)) { return a; }
  if (f64_is_nan(b)) { return b; }
  var x = a;
  var y = b;
  if (long_less_u(f64_abs(a), f64_abs(b))) {
    x = b;
    y = a;
  }
  let differ = ((x.y ^ y.y) >> 31u) == 1u;
  if (f64_exponent(x) == 0x7ffi) {
    if (differ && f64_exponent(y) == 0x7ffi) {
      return vec2<u32>(0u, 0x7ff80000u);
    }
    return x;
  }
  let high = max(f64_exponent(x), 1i);
  let low = max(f64_exponent(y), 1i);
  let one = long_left(f64_whole(x), 9u);
  let two = f64_right_sticky(long_left(f64_whole(y), 9u), u32(high - low));
  let sign = x.y & 0x80000000u;
  var sum = long_add(one, two);
  if (differ) {
    sum = long_subtract(one, two);
    if ((sum.x | sum.y) == 0u) { return vec2<u32>(0u, 0u); }
  }
  return f64_normal(sign, high, sum);
}
fn f64_subtract(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  if (f64_is_nan(b)) { return b; }
  return f64_add(a, f64_negative(b));
}
fn f64_multiply(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  if (f64_is_nan(a)) { return a; }
  if (f64_is_nan(b)) { return b; }
  let sign = (a.y ^ b.y) & 0x80000000u;
  let nothing = f64_is_zero(a) || f64_is_zero(b);
  if (f64_exponent(a) == 0x7ffi || f64_exponent(b) == 0x7ffi) {
    if (nothing) { return vec2<u32>(0u, 0x7ff80000u); }
    return vec2<u32>(0u, sign | 0x7ff00000u);
  }
  if (nothing) { return vec2<u32>(0u, sign); }
  let x_whole = f64_whole(a);
  let y_whole = f64_whole(b);
  let x_zeros = f64_leading_zeros(x_whole);
  let y_zeros = f64_leading_zeros(y_whole);
  let x = long_left(x_whole, x_zeros);
  let y = long_left(y_whole, y_zeros);
  let exp = max(f64_exponent(a), 1i) + max(f64_exponent(b), 1i)
    - i32(x_zeros) - i32(y_zeros) - 1002i;
  let low = word_product(x.x, y.x);
  let one = word_product(x.x, y.y);
  let two = word_product(x.y, y.x);
  let high = word_product(x.y, y.y);
  let first = long_add(vec2<u32>(low.y, 0u), vec2<u32>(one.x, 0u));
  let middle = long_add(first, vec2<u32>(two.x, 0u));
  var top = long_add(high, vec2<u32>(one.y, 0u));
  top = long_add(top, vec2<u32>(two.y, 0u));
  top = long_add(top, vec2<u32>(middle.y, 0u));
  top.x |= select(0u, 1u, (low.x | middle.x) != 0u);
  return f64_normal(sign, exp, top);
}
fn f64_divide(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  if (f64_is_nan(a)) { return a; }
  if (f64_is_nan(b)) { return b; }
  let sign = (a.y ^ b.y) & 0x80000000u;
  let endless = f64_exponent(a) == 0x7ffi;
  if (endless && f64_exponent(b) == 0x7ffi) { return vec2<u32>(0u, 0x7ff80000u); }
  if (f64_is_zero(a) && f64_is_zero(b)) { return vec2<u32>(0u, 0x7ff80000u); }
  if (endless || f64_is_zero(b)) { return vec2<u32>(0u, sign | 0x7ff00000u); }
  if (f64_is_zero(a) || f64_exponent(b) == 0x7ffi) { return vec2<u32>(0u, sign); }
  let x_whole = f64_whole(a);
  let y_whole = f64_whole(b);
  let x_zeros = f64_leading_zeros(x_whole);
  let y_zeros = f64_leading_zeros(y_whole);
  var rest = long_left(x_whole, x_zeros - 4u);
  let y = long_left(y_whole, y_zeros - 4u);
  var q = vec2<u32>(0u, 0u);
  for (var i = 62u; i > 0u; i--) {
    if (!long_less_u(rest, y)) {
      rest = long_subtract(rest, y);
      q = q | long_left(vec2<u32>(1u, 0u), i);
    }
    rest = long_left(rest, 1u);
  }
  q.x |= select(0u, 1u, (rest.x | rest.y) != 0u);
  let exp = max(f64_exponent(a), 1i) - i32(x_zeros)
    - max(f64_exponent(b), 1i) + i32(y_zeros) + 1022i;
  return f64_normal(sign, exp, q);
}
fn f64_sqrt(a: vec2<u32>) -> vec2<u32> {
  if (f64_is_nan(a) || f64_is_zero(a)) { return a; }
  if ((a.y >> 31u) == 1u) { return vec2<u32>(0u, 0x7ff80000u); }
  if (f64_exponent(a) == 0x7ffi) { return a; }
  let zeros = f64_leading_zeros(f64_whole(a));
  var m = long_left(f64_whole(a), zeros - 11u);
  var e = max(f64_exponent(a), 1i) - i32(zeros) + 11i - 1023i;
  if ((e & 1i) == 1i) {
    m = long_left(m, 1u);
    e -= 1i;
  }
  m = long_left(m, 10u);
  var root = vec2<u32>(0u, 0u);
  var rest = vec2<u32>(0u, 0u);
  for (var i = 0u; i < 55u; i++) {
    rest = long_left(rest, 2u);
    rest.x |= m.y >> 30u;
    m = long_left(m, 2u);
    var trial = long_left(root, 2u);
    trial.x |= 1u;
    root = long_left(root, 1u);
    if (!long_less_u(rest, trial)) {
      rest = long_subtract(rest, trial);
      root.x |= 1u;
    }
  }
  root = long_left(root, 8u);
  root.x |= select(0u, 1u, (rest.x | rest.y) != 0u);
  return f64_pack(0u, (e >> 1u) + 1022i, root);
}
fn f64_equal(a: vec2<u32>, b: vec2<u32>) -> bool {
  if (f64_is_nan(a) || f64_is_nan(b)) { return false; }
  return long_equal(a, b) || (f64_is_zero(a) && f64_is_zero(b));
}
fn f64_ordered(a: vec2<u32>) -> vec2<u32> {
  if ((a.y >> 31u) == 1u) { return long_negative(f64_abs(a)); }
  return a;
}
fn f64_less(a: vec2<u32>, b: vec2<u32>) -> bool {
  if (f64_is_nan(a) || f64_is_nan(b)) { return false; }
  return long_less_i(f64_ordered(a), f64_ordered(b));
}
fn f64_less_equal(a: vec2<u32>, b: vec2<u32>) -> bool {
  return f64_less(a, b) || f64_equal(a, b);
}
fn f64_lesser(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  if (f64_is_nan(a) || f64_less(a, b)) { return a; }
  return b;
}
fn f64_greater(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  if (f64_is_nan(a) || f64_less(b, a)) { return a; }
  return b;
}
fn f64_trunc(a: vec2<u32>) -> vec2<u32> {
  let e = f64_exponent(a);
  if (e < 1023i) { return vec2<u32>(0u, a.y & 0x80000000u); }
  if (e >= 1075i) { return a; }
  let lost = u32(1075i - e);
  return long_left(long_right_u(a, lost), lost);
}
fn f64_floor(a: vec2<u32>) -> vec2<u32> {
  let whole = f64_trunc(a);
  if ((a.y >> 31u) == 0u || f64_is_nan(a) || long_equal(a, whole)) { return whole; }
  return f64_add(whole, vec2<u32>(0u, 0xbff00000u));
}
fn f64_ceil(a: vec2<u32>) -> vec2<u32> {
  return f64_negative(f64_floor(f64_negative(a)));
}
fn f64_round(a: vec2<u32>) -> vec2<u32> {
  if (f64_exponent(a) >= 1075i) { return a; }
  let sign = a.y & 0x80000000u;
  let big = vec2<u32>(0u, sign | 0x43300000u);
  let whole = f64_subtract(f64_add(a, big), big);
  return vec2<u32>(whole.x, (whole.y & 0x7fffffffu) | sign);
}
fn f64_of_float(x: f32) -> vec2<u32> {
  let bits = bitcast<u32>(x);
  let sign = bits & 0x80000000u;
  let e = (bits >> 23u) & 255u;
  let body = bits & 0x7fffffu;
  if (e == 255u) { return vec2<u32>(body << 29u, sign | 0x7ff00000u | (body >> 3u)); }
  if (e == 0u) {
    return f64_normal(sign, 935i, vec2<u32>(body, 0u));
  }
  return vec2<u32>(body << 29u, sign | ((e + 896u) << 20u) | (body >> 3u));
}
fn f64_to_float(a: vec2<u32>) -> f32 {
  let sign = a.y & 0x80000000u;
  if (f64_is_nan(a)) { return bitcast<f32>(sign | 0x7fc00000u); }
  var e = f64_exponent(a) - 896i;
  if (e > 254i) { return bitcast<f32>(sign | 0x7f800000u); }
  var sig = f64_right_sticky(f64_whole(a), 22u).x;
  if (e < 1i) {
    let lost = u32(1i - e);
    let kept = shift_right(sig, lost);
    sig = kept | select(0u, 1u, shift_left(kept, lost) != sig);
    e = 1i;
  }
  let low = sig & 0x7fu;
  var rounded = (sig + 0x40u) >> 7u;
  if (low == 0x40u) { rounded &= 0xfffffffeu; }
  return bitcast<f32>(sign | ((u32(e - 1i) << 23u) + rounded));
}
fn f64_of_long_u(a: vec2<u32>) -> vec2<u32> {
  return f64_normal(0u, 1084i, a);
}
fn f64_of_long_i(a: vec2<u32>) -> vec2<u32> {
  return f64_normal(a.y & 0x80000000u, 1084i, long_magnitude(a));
}
fn f64_to_long_u(a: vec2<u32>) -> vec2<u32> {
  let e = f64_exponent(a);
  if (e >= 1087i) { return vec2<u32>(0u, 0x80000000u); }
  let size = f64_whole(a);
  var whole = vec2<u32>(0u, 0u);
  if (e >= 1075i) {
    whole = long_left(size, u32(e - 1075i));
  } else {
    whole = long_right_u(size, u32(1075i - e));
  }
  if ((a.y >> 31u) == 1u) { return long_negative(whole); }
  return whole;
}
fn f64_to_long(a: vec2<u32>) -> vec2<u32> {
  if (f64_exponent(a) >= 1086i) { return vec2<u32>(0u, 0x80000000u); }
  return f64_to_long_u(a);
}
fn f64_to_short(a: vec2<u32>) -> f32 {
  let near = f64_to_float(a);
  if (f64_is_nan(a)) { return near; }
  let back = f64_of_float(near);
  if (f64_equal(a, back)) { return near; }
  let beyond = f64_less(f64_abs(a), f64_abs(back));
  let bits = bitcast<u32>(near) - select(0u, 1u, beyond);
  return bitcast<f32>(bits | 1u);
}
"""

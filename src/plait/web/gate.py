"""The kernel that stops what comes after a wrong index on a graphics card: WGSL.

A flag in memory says that an index was wrong. This kernel runs when it is known, and if
it is set, writes into the table of what later launches are told that they have no
chunks: nothing is written over. Its number is the verdict, which the host reads when it
reads something else anyway.

Read first: `GATE`.
"""

from __future__ import annotations

# Group 0: binding 0 is all memory; binding 1 says, in words of 32 bits: the address of
# the flag, a byte; the number of the alarm, from 1; the first launch of the table that
# comes after, and the number of all; words in the table for each launch; and the word
# of the verdict, 0 if all is well. Binding 2 is the table. In the launch's second word
# stands the number of chunks.
GATE = """\
@group(0) @binding(0) var<storage, read_write> memory: array<u32>;
struct Gate {
  flag: u32,
  number: u32,
  first: u32,
  launches: u32,
  stride: u32,
  verdict: u32,
}
@group(0) @binding(1) var<uniform> gate: Gate;
@group(0) @binding(2) var<storage, read_write> table: array<u32>;
@compute @workgroup_size(1)
fn kernel() {
  let byte = (memory[gate.flag / 4u] >> (8u * (gate.flag % 4u))) & 255u;
  if (memory[gate.verdict] == 0u && byte == 0u) { return; }
  if (memory[gate.verdict] == 0u) { memory[gate.verdict] = gate.number; }
  for (var i = gate.first; i < gate.launches; i++) {
    table[i * gate.stride + 1u] = 0u;
  }
}
"""

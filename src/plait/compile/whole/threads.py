"""Threads of a WebAssembly module: launches that several of them share.

A thread is an instance of the module, in a worker, on one shared memory. It calls
`work(index)`, which never returns: it waits for a *region*, a launch whose chunks are
shared, takes chunks of it until there are none, and waits for the next one. The thread
that runs a function of the module posts regions, takes chunks like the others, and then
waits for chunks that others have taken. It does so in a loop, as the main thread of a
page may not sleep; the others sleep when there was nothing to do for a while.

A host says by `sharing(0)` that regions shall run on one thread for now, which is
faster where other programs need the cores, and by `sharing(1)` that they are shared,
which wakes threads up. It returns how many regions there have been.

Each thread has a part of the chunks that it takes first, half of what is left at a
time, so that it meets in its caches what it worked on before: the weights that it
updated are those that it reads in the next step. Then it takes what others have left.
Who computes a chunk changes nothing in it.

Read first: `Regions`.
"""

from __future__ import annotations

from collections.abc import Callable

from .webassembly import END

# Words that threads share, on lines of their own, by their distance in bytes: which
# region it is, its chunks, and in how many parts; how many chunks are done; how many
# threads sleep; the number of regions posted so far, at which they sleep; how many
# threads there are besides the first; and what is left of each part. Of the first
# thread alone are: whether it shall share nothing, and how many regions there were.
_REGION, _CHUNKS, _PARTS = 0, 4, 8
_DONE, _SLEEPING, _POSTED, _WORKERS, _LEFT = 64, 128, 192, 256, 320
_ALONE, _COUNT = 260, 264
_MOST_PARTS = 16
NBYTES = _LEFT + 64 * _MOST_PARTS

# How often a thread looks for something to do before it sleeps: some hundred
# microseconds, which is longer than what is not shared takes between regions, and than
# a script takes between two steps. To wake a thread up takes as long as a small step.
_LOOKS = 1 << 18
# Features of the machine that threads need.
FEATURES = "+atomics,+bulk-memory"


class Regions:
    """The regions of a module.

    Args:
        spell: says an address in LLVM's text.
        control: where the words lie that threads share.
        scratch: scratch memory of the thread that runs functions.
        stride: bytes of memory that each further thread has for itself.
    """

    def __init__(
        self, spell: Callable[[int], str], control: int, scratch: int, stride: int
    ) -> None:
        self._spell = spell
        self._control = control
        self._scratch = scratch
        self._stride = stride
        self._names: list[str] = []

    def post(self, name: str, chunks: int, wake: bool) -> str:
        """Return an instruction that runs a region.

        Args:
            name: of a function, `void (i32 start, i32 stop, ptr scratch)`.
            chunks: how many there are.
            wake: threads that sleep are woken up for it.
        """
        if name not in self._names:
            self._names.append(name)
        number = self._names.index(name)
        flag = str(wake).lower()
        return f"call void @threads.region(i32 {number}, i32 {chunks}, i1 {flag})"

    def text(self) -> str:
        """Return the functions in LLVM's text."""
        cases = "".join(f"i32 {i}, label %r{i} " for i in range(len(self._names)))
        calls = "".join(
            f"r{i}:\n  call void @{name}(i32 %start, i32 %stop, ptr %scratch)\n"
            "  ret void\n"
            for i, name in enumerate(self._names)
        )
        at = {
            name: self._spell(self._control + distance)
            for name, distance in (
                ("region", _REGION),
                ("chunks", _CHUNKS),
                ("parts", _PARTS),
                ("workers", _WORKERS),
                ("left", _LEFT),
                ("done", _DONE),
                ("sleeping", _SLEEPING),
                ("posted", _POSTED),
                ("alone", _ALONE),
                ("count", _COUNT),
            )
        }
        return _TEXT.format(
            cases=cases,
            calls=calls,
            scratch=self._spell(self._scratch),
            stride=self._stride,
            looks=_LOOKS,
            most=_MOST_PARTS,
            end=END,
            **at,
        )


_TEXT = """
@{end} = external global [0 x i8], align 64

define internal void @threads.run(
    i32 %region, i32 %start, i32 %stop, ptr %scratch) nounwind {{
  switch i32 %region, label %none [ {cases}]
none:
  ret void
{calls}}}

define internal i32 @threads.begin(i32 %part, i32 %chunks, i32 %parts) nounwind {{
  %before = mul i32 %part, %chunks
  %begin = udiv i32 %before, %parts
  ret i32 %begin
}}

define internal void @threads.share(i32 %own, ptr %own.scratch) nounwind {{
entry:
  %parts = load atomic i32, ptr {parts} seq_cst, align 4
  br label %look
look:
  %past = phi i32
    [ 0, %entry ], [ %past, %lost ], [ %past, %won ], [ %past.next, %next ]
  %number = add i32 %own, %past
  %part = urem i32 %number, %parts
  %offset = shl i32 %part, 6
  %left.at = getelementptr i8, ptr {left}, i32 %offset
  %left = load atomic i32, ptr %left.at seq_cst, align 4
  %none = icmp eq i32 %left, 0
  br i1 %none, label %next, label %take
next:
  %past.next = add i32 %past, 1
  %all = icmp uge i32 %past.next, %parts
  br i1 %all, label %out, label %look
take:
  %rest = lshr i32 %left, 1
  %pair = cmpxchg ptr %left.at, i32 %left, i32 %rest seq_cst seq_cst, align 4
  %is.won = extractvalue {{ i32, i1 }} %pair, 1
  br i1 %is.won, label %won, label %lost
lost:
  br label %look
won:
  ; The region does not end before these chunks are done: so it is this one.
  %region = load i32, ptr {region}, align 4
  %chunks = load i32, ptr {chunks}, align 4
  %parts.now = load atomic i32, ptr {parts} seq_cst, align 4
  %following = add i32 %part, 1
  %end = call i32 @threads.begin(i32 %following, i32 %chunks, i32 %parts.now)
  %start = sub i32 %end, %left
  %stop = sub i32 %end, %rest
  call void @threads.run(i32 %region, i32 %start, i32 %stop, ptr %own.scratch)
  %taken = sub i32 %left, %rest
  %old = atomicrmw add ptr {done}, i32 %taken seq_cst, align 4
  br label %look
out:
  ret void
}}

define internal void @threads.region(i32 %region, i32 %chunks, i1 %wake) nounwind {{
  %old.count = load i32, ptr {count}, align 4
  %count = add i32 %old.count, 1
  store i32 %count, ptr {count}, align 4
  %workers = load atomic i32, ptr {workers} seq_cst, align 4
  %wanted = load i32, ptr {alone}, align 4
  %nobody = icmp eq i32 %workers, 0
  %not.wanted = icmp ne i32 %wanted, 0
  %alone = or i1 %nobody, %not.wanted
  br i1 %alone, label %serial, label %post
serial:
  call void @threads.run(i32 %region, i32 0, i32 %chunks, ptr {scratch})
  ret void
post:
  %threads = add i32 %workers, 1
  %parts = call i32 @llvm.umin.i32(i32 %threads, i32 {most})
  store i32 %region, ptr {region}, align 4
  store i32 %chunks, ptr {chunks}, align 4
  store atomic i32 %parts, ptr {parts} seq_cst, align 4
  store atomic i32 0, ptr {done} seq_cst, align 4
  br label %open
open:
  %part = phi i32 [ 0, %post ], [ %part.next, %open ]
  %begin = call i32 @threads.begin(i32 %part, i32 %chunks, i32 %parts)
  %part.next = add i32 %part, 1
  %end = call i32 @threads.begin(i32 %part.next, i32 %chunks, i32 %parts)
  %left = sub i32 %end, %begin
  %offset = shl i32 %part, 6
  %left.at = getelementptr i8, ptr {left}, i32 %offset
  store atomic i32 %left, ptr %left.at seq_cst, align 4
  %more = icmp ult i32 %part.next, %parts
  br i1 %more, label %open, label %opened
opened:
  %before = atomicrmw add ptr {posted}, i32 1 seq_cst, align 4
  br i1 %wake, label %notify, label %help
notify:
  call void @threads.wake()
  br label %help
help:
  call void @threads.share(i32 0, ptr {scratch})
  br label %wait
wait:
  %finished = load atomic i32, ptr {done} seq_cst, align 4
  %ready = icmp eq i32 %finished, %chunks
  br i1 %ready, label %out, label %wait
out:
  ret void
}}

define internal void @threads.wake() nounwind {{
  %sleeping = load atomic i32, ptr {sleeping} seq_cst, align 4
  %some = icmp ne i32 %sleeping, 0
  br i1 %some, label %notify, label %out
notify:
  %woken = call i32 @llvm.wasm.memory.atomic.notify(ptr {posted}, i32 -1)
  br label %out
out:
  ret void
}}

define i32 @sharing(i32 %on) nounwind {{
  %alone = xor i32 %on, 1
  store i32 %alone, ptr {alone}, align 4
  %none = icmp eq i32 %on, 0
  br i1 %none, label %out, label %wake
wake:
  call void @threads.wake()
  br label %out
out:
  %count = load i32, ptr {count}, align 4
  ret i32 %count
}}

define void @work(i32 %index) nounwind {{
entry:
  %before = sub i32 %index, 1
  %offset = mul i32 %before, {stride}
  %scratch = getelementptr i8, ptr @{end}, i32 %offset
  %old = atomicrmw add ptr {workers}, i32 1 seq_cst, align 4
  br label %begin
begin:
  %known = phi i32 [ 0, %entry ], [ %posted, %busy ], [ %known, %awake ]
  br label %look
look:
  %turn = phi i32 [ 0, %begin ], [ %turn.next, %idle ]
  %posted = load atomic i32, ptr {posted} seq_cst, align 4
  %new = icmp ne i32 %posted, %known
  br i1 %new, label %busy, label %idle
busy:
  call void @threads.share(i32 %index, ptr %scratch)
  br label %begin
idle:
  %turn.next = add i32 %turn, 1
  %tired = icmp eq i32 %turn.next, {looks}
  br i1 %tired, label %sleep, label %look
sleep:
  ; Not if another region has been posted since then.
  %more = atomicrmw add ptr {sleeping}, i32 1 seq_cst, align 4
  %why = call i32 @llvm.wasm.memory.atomic.wait32(ptr {posted}, i32 %known, i64 -1)
  %less = atomicrmw sub ptr {sleeping}, i32 1 seq_cst, align 4
  br label %awake
awake:
  br label %begin
}}
"""

"""How threads share the chunks of a launch, in LLVM IR.

    work(worker)    what a thread of the pool does until it has been idle for a while
    region          runs all chunks of a launch, together with whoever comes
    post(frame)     offers a whole run to the threads of the pool
    settle(frame)   helps with that run until nothing can go wrong any more
    assist(frame)   helps with it until it is over

Chunks are shared like this. A *region* is one launch. Its chunks are cut into as many
parts as the pool has threads, one after another. Each thread begins with the part of
its own number, takes half of what is left there again and again, and then helps with
the parts of others. So a thread works in all launches on the same share of the rows,
which are in the caches of its processor, and yet none waits while there is work.

The fields of a region are written first; then the word of each part is set to its
number of chunks (release). Whoever wants to take some, the launching thread included,
lowers that word by compare-and-exchange (acquire), and owns the chunks by which it was
lowered. It may read the fields only then: they stay as they are until all chunks are
done, because the launching thread opens no other region before `done` (release;
acquire) has reached the number of chunks. So a thread that comes late, from whichever
region it was looking at, either gets chunks of the region that is open now, or none.
The launching thread waits for chunks that were taken, never for threads. `remaining`,
how many chunks nobody has taken, only tells threads whether to look.

A run is *posted* like this. `posted` is set to the frame (release). The thread that
sets it back to 0 by compare-and-exchange (acquire) runs it. If none does so soon, as
they are about to sleep, the one that posted it takes it back, and runs it as others.
`finished` becomes 1 (release) when it is over, or wants help from Python; `RESULT` of
the frame says which.

Read first: `_SHARE`.
"""

from __future__ import annotations

from .words import pointer, word

# Words of a frame that are needed here; the others are in `machine`.
POOL = 2
RESULT = 17  # what `run` returned, where the pool has run it
IS_SETTLED = 19  # whether the run has come to where nothing can go wrong any more
# What `settle` returns if the run has and goes on, or if nobody has begun it.
UNDER_WAY, NOT_BEGUN = -2, -3

# Words of a pool; the groups lie on cache lines of their own (128 bytes on some).
KERNEL, REGION_ARGUMENTS, CHUNKS, PARTS, SCRATCH_BEGIN, SCRATCH_STRIDE = range(6)
REMAINING = 16
DONE = 32
# How often threads have fallen asleep, and how often they were woken up. Some sleep if
# these differ. Each is written by one side alone, so that no change is lost.
SLEPT, AWAKENED = 48, 51
STOP, YIELD = 49, 50
POSTED = 64
# `RUNNER`: the number of the thread that runs what was posted; else 0.
FINISHED, RUNNER = 80, 81
# Behind those: how many chunks of each part are left, each on cache lines of its own.
LEFT, PART_WORDS = 96, 16

# Words of a worker: the address of its pool, its number, how long it stays idle, and
# whether it sleeps, or is about to.
WORKER_POOL, WORKER_INDEX, WORKER_SPINS, WORKER_ASLEEP = range(4)
WORKER_WORDS = 4

_PAUSES = 1024  # after which a thread that waits lets others have its processor
_PATIENCE = 256  # pauses to wait for a thread that takes what is posted


def text(architecture: str) -> str:
    """Return the functions for "x86_64" or "aarch64"."""
    helping = _help("settle", True) + _help("assist", False)
    return _mode(architecture) + _SHARE + _REGION + _POSTED + helping + _WORK


def _mode(architecture: str) -> str:
    """How numbers are rounded is a property of threads.

    Libraries may have set a thread to treat denormals as 0. The result of a kernel must
    not depend on the thread, so all have the mode of the C standard while they run.
    """
    if architecture == "x86_64":
        return _X86_MODE
    return _ARM_MODE


_X86_MODE = """
declare void @llvm.x86.sse2.pause()
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)

define internal void @pause() alwaysinline {
  call void @llvm.x86.sse2.pause()
  ret void
}

define internal i64 @standard_mode() {
  %place = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %place)
  %old = load i32, ptr %place
  store i32 8064, ptr %place    ; 0x1F80: to nearest, denormals kept, no traps
  call void @llvm.x86.sse.ldmxcsr(ptr %place)
  %wide = zext i32 %old to i64
  ret i64 %wide
}

define internal void @set_mode(i64 %wide) {
  %place = alloca i32
  %old = trunc i64 %wide to i32
  store i32 %old, ptr %place
  call void @llvm.x86.sse.ldmxcsr(ptr %place)
  ret void
}
"""

_ARM_MODE = """
declare void @llvm.aarch64.isb(i32)
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)

define internal void @pause() alwaysinline {
  call void @llvm.aarch64.isb(i32 15)    ; `yield` does nothing on most processors
  ret void
}

define internal i64 @standard_mode() {
  %old = call i64 @llvm.aarch64.get.fpcr()
  call void @llvm.aarch64.set.fpcr(i64 0)
  ret i64 %old
}

define internal void @set_mode(i64 %old) {
  call void @llvm.aarch64.set.fpcr(i64 %old)
  ret void
}
"""


def _wait(name: str, back: str) -> str:
    """Pause, and every now and then let another thread have the processor.

    That matters where there are more threads than processors: what is waited for may be
    done by a thread that does not run.
    """
    return f"""
  call void @pause()
  %{name}.part = and i64 %{name}, {_PAUSES - 1}
  %{name}.long = icmp eq i64 %{name}.part, {_PAUSES - 1}
  br i1 %{name}.long, label %{name}.give, label %{back}
{name}.give:
{word(f"{name}.yield", "pool", YIELD, "ptr")}
  call i32 %{name}.yield()
  br label %{back}
"""


# Take chunks and run them until there are none, beginning with the part `%own`.
_SHARE = f"""
define internal i64 @part_begin(i64 %part, i64 %chunks, i64 %parts) alwaysinline {{
  %before = mul i64 %part, %chunks
  %begin = udiv i64 %before, %parts
  ret i64 %begin
}}

define internal void @share(ptr %pool, ptr %own_scratch, i64 %index, i64 %own) {{
entry:
{pointer("remaining", "pool", REMAINING)}
{pointer("done", "pool", DONE)}
{pointer("lefts", "pool", LEFT)}
{word("parts", "pool", PARTS)}    ; of all regions
  br label %look
look:
  %part = phi i64 [ %own, %entry ], [ %part, %take ], [ %part, %won ],
    [ %wrapped, %next ]
  %past = phi i64 [ 0, %entry ], [ %past, %take ], [ %past, %won ],
    [ %past.next, %next ]
  %words = mul i64 %part, {PART_WORDS}
  %left.at = getelementptr i64, ptr %lefts, i64 %words
  %left = load atomic i64, ptr %left.at monotonic, align 8
  %none = icmp eq i64 %left, 0
  br i1 %none, label %next, label %take
next:
  %past.next = add i64 %past, 1
  %following = add i64 %part, 1
  %is.last = icmp uge i64 %following, %parts
  %wrapped = select i1 %is.last, i64 0, i64 %following
  %all = icmp uge i64 %past.next, %parts
  br i1 %all, label %out, label %look
take:
  %rest = lshr i64 %left, 1
  %pair = cmpxchg weak ptr %left.at, i64 %left, i64 %rest acquire monotonic, align 8
  %is.won = extractvalue {{ i64, i1 }} %pair, 1
  br i1 %is.won, label %won, label %look
won:
  %taken = sub i64 %left, %rest
  %more = atomicrmw sub ptr %remaining, i64 %taken monotonic
{word("kernel", "pool", KERNEL, "ptr")}
{word("arguments", "pool", REGION_ARGUMENTS, "ptr")}
{word("chunks", "pool", CHUNKS)}
{word("begin", "pool", SCRATCH_BEGIN, "ptr")}
{word("stride", "pool", SCRATCH_STRIDE)}
  %offset = mul i64 %index, %stride
  %given = getelementptr i8, ptr %begin, i64 %offset
  %has_own = icmp ne ptr %own_scratch, null
  %scratch = select i1 %has_own, ptr %own_scratch, ptr %given
  %above = add i64 %part, 1
  %end = call i64 @part_begin(i64 %above, i64 %chunks, i64 %parts)
  %start = sub i64 %end, %left
  %stop = sub i64 %end, %rest
  call void %kernel(ptr %arguments, i64 %start, i64 %stop, ptr %scratch)
  %old = atomicrmw add ptr %done, i64 %taken release
  br label %look
out:
  ret void
}}
declare i64 @llvm.umax.i64(i64, i64)
"""

# Run all chunks of a launch, together with whoever comes.
_REGION = f"""
define internal void @region(ptr %pool, ptr %kernel, ptr %arguments, i64 %chunks,
                             ptr %scratch) {{
entry:
{pointer("kernel.at", "pool", KERNEL)}
  store ptr %kernel, ptr %kernel.at
{pointer("arguments.at", "pool", REGION_ARGUMENTS)}
  store ptr %arguments, ptr %arguments.at
{pointer("chunks.at", "pool", CHUNKS)}
  store i64 %chunks, ptr %chunks.at
{pointer("done", "pool", DONE)}
  store atomic i64 0, ptr %done monotonic, align 8
{pointer("remaining", "pool", REMAINING)}
{pointer("lefts", "pool", LEFT)}
{word("parts", "pool", PARTS)}
  store atomic i64 %chunks, ptr %remaining monotonic, align 8
  br label %open
open:
  %part = phi i64 [ 0, %entry ], [ %part.next, %open ]
  %part.next = add i64 %part, 1
  %begin = call i64 @part_begin(i64 %part, i64 %chunks, i64 %parts)
  %end = call i64 @part_begin(i64 %part.next, i64 %chunks, i64 %parts)
  %left = sub i64 %end, %begin
  %words = mul i64 %part, {PART_WORDS}
  %left.at = getelementptr i64, ptr %lefts, i64 %words
  store atomic i64 %left, ptr %left.at release, align 8
  %again.open = icmp ult i64 %part.next, %parts
  br i1 %again.open, label %open, label %opened
opened:
{word("runner", "pool", RUNNER)}
  call void @share(ptr %pool, ptr %scratch, i64 0, i64 %runner)
  br label %wait
wait:
  %turn = phi i64 [ 0, %opened ], [ %turn.next, %again ]
  %finished = load atomic i64, ptr %done acquire, align 8
  %ready = icmp eq i64 %finished, %chunks
  br i1 %ready, label %out, label %idle
idle:
{_wait("turn", "again")}
again:
  %turn.next = add i64 %turn, 1
  br label %wait
out:
  ret void
}}
"""

# Run what is posted, unless somebody else does; return whether it was run here.
_POSTED = f"""
define internal i1 @run_posted(ptr %pool, i64 %index) {{
entry:
{pointer("posted", "pool", POSTED)}
  %seen = load atomic i64, ptr %posted monotonic, align 8
  %none = icmp eq i64 %seen, 0
  br i1 %none, label %no, label %take
take:
  %pair = cmpxchg ptr %posted, i64 %seen, i64 0 acquire monotonic, align 8
  %won = extractvalue {{ i64, i1 }} %pair, 1
  br i1 %won, label %own, label %no
own:
  %frame = inttoptr i64 %seen to ptr
{pointer("runner", "pool", RUNNER)}
  store i64 %index, ptr %runner
  %at = call i64 @run(ptr %frame)
  store i64 0, ptr %runner
{pointer("result", "frame", RESULT)}
  store i64 %at, ptr %result
{pointer("finished", "pool", FINISHED)}
  store atomic i64 1, ptr %finished release, align 8
  ret i1 true
no:
  ret i1 false
}}

define i64 @post(ptr %frame) {{
entry:
{word("pool", "frame", POOL, "ptr")}
{pointer("finished", "pool", FINISHED)}
  store atomic i64 0, ptr %finished monotonic, align 8
{pointer("posted", "pool", POSTED)}
  %address = ptrtoint ptr %frame to i64
  store atomic i64 %address, ptr %posted release, align 8
  ret i64 0
}}
"""


def _help(name: str, early: bool) -> str:
    """Return the function that takes part in what is posted, as long as it must.

    Args:
        early: it returns `UNDER_WAY` as soon as the run is settled, or `NOT_BEGUN`.
    """
    settled = f"""
{pointer("settled.at", "frame", IS_SETTLED)}
  %settled = load atomic i64, ptr %settled.at acquire, align 8
  %goes.on = icmp ne i64 %settled, 0
  br i1 %goes.on, label %under.way, label %help
under.way:
  call void @set_mode(i64 %mode)
  ret i64 {UNDER_WAY}"""
    late = f"""
  %late = icmp eq i64 %turn, {_PATIENCE}
  br i1 %late, label %take.back, label %stay
take.back:
{pointer("posted", "pool", POSTED)}
  %address = ptrtoint ptr %frame to i64
  %pair = cmpxchg ptr %posted, i64 %address, i64 0 acquire monotonic, align 8
  %ours = extractvalue {{ i64, i1 }} %pair, 1
  br i1 %ours, label %not.begun, label %stay
not.begun:
  call void @set_mode(i64 %mode)
  ret i64 {NOT_BEGUN}"""
    return f"""
define i64 @{name}(ptr %frame) {{
entry:
{word("pool", "frame", POOL, "ptr")}
{pointer("finished", "pool", FINISHED)}
{pointer("remaining", "pool", REMAINING)}
  %mode = call i64 @standard_mode()
  br label %look
look:
  %turn = phi i64 [ 0, %entry ], [ 0, %busy ], [ %turn.next, %again ]
  %over = load atomic i64, ptr %finished acquire, align 8
  %done = icmp ne i64 %over, 0
  br i1 %done, label %out, label %check
check:
{settled if early else "  br label %help"}
help:
  %seen = load atomic i64, ptr %remaining monotonic, align 8
  %any = icmp ne i64 %seen, 0
  br i1 %any, label %busy, label %idle
busy:
  call void @share(ptr %pool, ptr null, i64 0, i64 0)
  br label %look
idle:
{late if early else "  br label %stay"}
stay:
{_wait("turn", "again")}
again:
  %turn.next = add i64 %turn, 1
  br label %look
out:
  call void @set_mode(i64 %mode)
{word("result", "frame", RESULT)}
  ret i64 %result
}}
"""


# What a thread of the pool does: returns when it should stop, or has long been idle.
# It says so itself: before it sleeps it needs the GIL, and may wait for that until a
# program lets go of it, which then should know that it has to be woken up.
_WORK = f"""
define i64 @work(ptr %worker) {{
entry:
{word("pool", "worker", WORKER_POOL, "ptr")}
{word("index", "worker", WORKER_INDEX)}
{word("spins", "worker", WORKER_SPINS)}
{pointer("remaining", "pool", REMAINING)}
{pointer("stop", "pool", STOP)}
  %mode = call i64 @standard_mode()
  br label %look
look:
  %turn = phi i64 [ 0, %entry ], [ 0, %busy ], [ 0, %run ], [ %turn.next, %again ]
  %seen = load atomic i64, ptr %remaining monotonic, align 8
  %any = icmp ne i64 %seen, 0
  br i1 %any, label %busy, label %run
busy:
  call void @share(ptr %pool, ptr null, i64 %index, i64 %index)
  br label %look
run:
  %ran = call i1 @run_posted(ptr %pool, i64 %index)
  br i1 %ran, label %look, label %idle
idle:
  %stopped = load atomic i64, ptr %stop monotonic, align 8
  %leave = icmp ne i64 %stopped, 0
  %tired = icmp uge i64 %turn, %spins
  %end = or i1 %leave, %tired
  br i1 %end, label %out, label %stay
stay:
{_wait("turn", "again")}
again:
  %turn.next = add i64 %turn, 1
  br label %look
out:
{pointer("asleep", "worker", WORKER_ASLEEP)}
  store atomic i64 1, ptr %asleep release, align 8
{pointer("slept", "pool", SLEPT)}
  %before = atomicrmw add ptr %slept, i64 1 release
  call void @set_mode(i64 %mode)
  ret i64 0
}}
"""

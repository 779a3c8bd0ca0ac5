"""The machine that runs programs: a function that we write in LLVM IR.

    run(frame)    walks the instructions of a program; `program` says what they mean

It takes the address of a table of 64-bit words, a *frame*, whose layout is below: a
call with one argument is what Python does fastest. A frame belongs to one run. The
words that threads share are those of a pool: see `sharing`. A part of a program runs
with a frame of its own, which `run_parts` makes in the scratch memory of its thread.

Read first: `text`.
"""

from __future__ import annotations

from .. import worth
from .sharing import AWAKENED, SLEPT
from .sharing import IS_SETTLED as IS_SETTLED
from .sharing import POOL as POOL
from .sharing import RESULT as RESULT
from .words import pointer, word

# Words of a frame. Slots follow, and then what `bind` finds out about donations.
CODE, PC, SCRATCH, ARGUMENTS = 0, 1, 3, 4  # and POOL
OUTPUTS, INPUTS, NEXT, TYPES = 5, 6, 7, 8  # see `binding`
FIRST_OUTPUT, COUNT, INPUT_COUNT, WOKEN = 9, 10, 11, 12
ARRAY_TYPE, BLOCK_TYPE = 13, 14  # addresses of `ndarray` and `memory.BlockType`
TIMELINE = 15  # address of the table of `timeline`, for the `run` that keeps one
QUIET = 16  # not to ask for threads to be woken up; 17 and 19 are in `sharing`
SHARED_MEMORY = 18  # whether an input lies in memory that others may write
PART = 20  # the number of the part that the frame belongs to
SLOTS = 21

(
    END, LAUNCH, HOST, COPY, CLEAR, SET, ADVANCE, SWAP, COUNTER, REPEAT, JUMP, UNLESS,
    ALARM, SETTLED, PARTS, SHIFT,
) = range(16)  # fmt: skip


def _place(name: str, index: int) -> str:
    """Find the memory of a place, whose two words begin `index` after the opcode."""
    return (
        f"{word(f'{name}.slot', 'at', index)}\n"
        f"{word(f'{name}.offset', 'at', index + 1)}\n"
        f"{_slot(f'{name}.base', f'{name}.slot')}\n"
        f"  %{name} = getelementptr i8, ptr %{name}.base, i64 %{name}.offset"
    )


def _slot(name: str, index: str, type: str = "ptr") -> str:
    """Load a slot, and say where it lies."""
    return (
        f"  %{name}.in = getelementptr i64, ptr %slots, i64 %{index}\n"
        f"  %{name} = load {type}, ptr %{name}.in"
    )


def _go(name: str, length: int) -> str:
    """Go on with the next instruction."""
    return (
        f"  %{name}.pc = add i64 %pc, {length}\n"
        f"  store i64 %{name}.pc, ptr %pc.place\n"
        "  br label %next"
    )


def text(timed: bool = False) -> str:
    """Return the functions; see `_run`.

    Args:
        timed: `run` keeps a timeline, see there. What parts do counts as one.
    """
    part = _run("run_part", False) if timed else ""
    return (
        _MEMORY + _run("run", timed) + part + _run_parts("run_part" if timed else "run")
    )


_MEMORY = """
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
"""


def _run(name: str, timed: bool) -> str:
    """Return the function, which returns -1 at the end, or where it wants help.

    That is at a `HOST` instruction, at an `ALARM` that is raised, or at a `LAUNCH` or
    `PARTS` for which threads should be woken up. Python goes on by setting `PC` (and
    `WOKEN`) and calling again.

    Args:
        name: of the function.
        timed: it keeps a timeline, see there, and also wants help when that is full.
    """
    blocks = {
        END: ("end", _END),
        LAUNCH: ("launch", _launch(timed)),
        HOST: ("host", "  br label %help"),
        COPY: ("copy", _copy(timed)),
        CLEAR: ("clear", _clear(timed)),
        SET: ("set", _set()),
        ADVANCE: ("advance", _advance()),
        SWAP: ("swap", _swap()),
        COUNTER: ("count", _count()),
        REPEAT: ("repeat", _repeat()),
        JUMP: ("jump", _jump()),
        UNLESS: ("unless", _unless()),
        ALARM: ("alarm", _alarm()),
        SETTLED: ("settled", _settled()),
        PARTS: ("parts", _parts()),
        SHIFT: ("shift", _shift()),
    }
    cases = "\n".join(
        f"    i64 {key}, label %{name}" for key, (name, _) in blocks.items()
    )
    bodies = "\n".join(f"{name}:\n{body}" for name, body in blocks.values())
    return f"""
define i64 @{name}(ptr %frame) {{
entry:
  %pc.place = alloca i64
{word("pc.first", "frame", PC)}
  store i64 %pc.first, ptr %pc.place
{word("code", "frame", CODE, "ptr")}
{word("pool", "frame", POOL, "ptr")}
{word("scratch", "frame", SCRATCH, "ptr")}
{word("arguments", "frame", ARGUMENTS, "ptr")}
{pointer("woken", "frame", WOKEN)}
{word("quiet", "frame", QUIET)}
{pointer("slots", "frame", SLOTS)}
{word("timeline", "frame", TIMELINE, "ptr")}
{word("outputs", "frame", OUTPUTS)}
  %no.pool = icmp eq ptr %pool, null
  %mode = call i64 @standard_mode()
  %begins = icmp ne i64 %outputs, 0
  br i1 %begins, label %begin, label %next
begin:
  call void @gather(ptr %frame)
  br label %next

next:
  %pc = load i64, ptr %pc.place
{_room(timed)}
  %at = getelementptr i64, ptr %code, i64 %pc
  %opcode = load i64, ptr %at
  switch i64 %opcode, label %end [
{cases}
  ]
{bodies}

help:
  call void @set_mode(i64 %mode)
  ret i64 %pc
}}
"""


def _room(timed: bool) -> str:
    """Want help when the timeline is full."""
    if not timed:
        return ""
    return f"""\
  %timeline.count = load i64, ptr %timeline
{word("timeline.capacity", "timeline", 1)}
  %timeline.full = icmp uge i64 %timeline.count, %timeline.capacity
  br i1 %timeline.full, label %help, label %look
look:"""


def _begin(name: str, timed: bool) -> str:
    return f"  %{name}.begin = call i64 @now()" if timed else ""


def _note(name: str, timed: bool) -> str:
    """Take down that what `_begin` began has ended."""
    if not timed:
        return ""
    return f"  call void @note(ptr %timeline, i64 %pc, i64 %{name}.begin)"


_END = """\
  call void @set_mode(i64 %mode)
  ret i64 -1
"""


def _launch(timed: bool) -> str:
    """Words: kernel, chunks, sharing, number of arguments, and the place of each."""
    return f"""\
{word("kernel", "at", 1, "ptr")}
{word("chunks", "at", 2)}
{word("launch.sharing", "at", 3)}
{word("arity", "at", 4)}
  %words = shl i64 %arity, 1
  %length = add i64 %words, 5
  %launch.next = add i64 %pc, %length
  br label %arguments.look
arguments.look:
  %i = phi i64 [ 0, %launch ], [ %i.next, %arguments.set ]
  %more = icmp ult i64 %i, %arity
  br i1 %more, label %arguments.set, label %ready
arguments.set:
  %word = shl i64 %i, 1
  %pair = getelementptr i64, ptr %at, i64 %word
{word("argument.slot", "pair", 5)}
{word("argument.offset", "pair", 6)}
{_slot("argument.base", "argument.slot")}
  %argument = getelementptr i8, ptr %argument.base, i64 %argument.offset
  %argument.at = getelementptr ptr, ptr %arguments, i64 %i
  store ptr %argument, ptr %argument.at
  %i.next = add i64 %i, 1
  br label %arguments.look
ready:
  %entry.point = phi ptr [ %kernel, %arguments.look ], [ @run_parts, %parts ]
  %pieces = phi i64 [ %chunks, %arguments.look ], [ %parts.count, %parts ]
  %sharing = phi i64 [ %launch.sharing, %arguments.look ], [ %parts.sharing, %parts ]
  %after = phi i64 [ %launch.next, %arguments.look ], [ %parts.next, %parts ]
  %for.one = icmp eq i64 %sharing, {worth.ALONE}
  %alone = or i1 %for.one, %no.pool
  br i1 %alone, label %serial, label %sleepers
serial:
{_begin("serial", timed)}
  call void %entry.point(ptr %arguments, i64 0, i64 %pieces, ptr %scratch)
{_note("serial", timed)}
  br label %launched
sleepers:
  ; Go back to Python if others sleep, but not again if it has just woken them.
{pointer("slept.at", "pool", SLEPT)}
{pointer("awakened.at", "pool", AWAKENED)}
  %slept = load atomic i64, ptr %slept.at monotonic, align 8
  %awakened = load atomic i64, ptr %awakened.at monotonic, align 8
  %some = icmp ne i64 %slept, %awakened
  %worth = icmp eq i64 %sharing, {worth.WAKE}
  %tried.0 = load i64, ptr %woken
  %tried = or i64 %tried.0, %quiet
  store i64 0, ptr %woken
  %fresh = icmp eq i64 %tried, 0
  %call.0 = and i1 %some, %worth
  %call = and i1 %call.0, %fresh
  br i1 %call, label %help, label %shared
shared:
{_begin("shared", timed)}
  call void @region(
    ptr %pool, ptr %entry.point, ptr %arguments, i64 %pieces, ptr %scratch)
{_note("shared", timed)}
  br label %launched
launched:
  store i64 %after, ptr %pc.place
  br label %next
"""


def _parts() -> str:
    """Words: parts, sharing, where to go on, words of a frame up to its arguments,
    bytes of a frame with them.

    What each part does follows, and an `END`.
    """
    return f"""\
{word("parts.count", "at", 1)}
{word("parts.sharing", "at", 2)}
{word("parts.next", "at", 3)}
  store ptr %frame, ptr %arguments
{pointer("parts.pc.at", "arguments", 1)}
  store i64 %pc, ptr %parts.pc.at
  br label %ready
"""


def _run_parts(run: str) -> str:
    """Return the function that runs parts as if they were chunks of a kernel.

    Each begins with a copy of the frame, which knows no pool: it never wants help. The
    copy lies where the thread's scratch memory begins, and kernels get what follows.
    """
    return f"""
define internal void @run_parts(ptr %given, i64 %start, i64 %stop, ptr %scratch) {{
entry:
  %frame = load ptr, ptr %given
{word("pc", "given", 1)}
{word("code", "frame", CODE, "ptr")}
  %at = getelementptr i64, ptr %code, i64 %pc
{word("words", "at", 4)}
  %nbytes = shl i64 %words, 3
  %first = add i64 %pc, 6
{word("room", "at", 5)}
  br label %look
look:
  %part = phi i64 [ %start, %entry ], [ %part.next, %more ]
  %any = icmp slt i64 %part, %stop
  br i1 %any, label %more, label %out
more:
  call void @llvm.memcpy.p0.p0.i64(ptr %scratch, ptr %frame, i64 %nbytes, i1 false)
{pointer("own.part", "scratch", PART)}
  store i64 %part, ptr %own.part
{pointer("own.pc", "scratch", PC)}
  store i64 %first, ptr %own.pc
{pointer("own.pool", "scratch", POOL)}
  store i64 0, ptr %own.pool
{pointer("own.outputs", "scratch", OUTPUTS)}
  store i64 0, ptr %own.outputs
{pointer("own.arguments", "scratch", ARGUMENTS)}
  %arguments = getelementptr i8, ptr %scratch, i64 %nbytes
  store ptr %arguments, ptr %own.arguments
{pointer("own.scratch", "scratch", SCRATCH)}
  %rest = getelementptr i8, ptr %scratch, i64 %room
  store ptr %rest, ptr %own.scratch
  %end = call i64 @{run}(ptr %scratch)
  %part.next = add i64 %part, 1
  br label %look
out:
  ret void
}}
"""


def _copy(timed: bool) -> str:
    """Words: place, place, bytes."""
    return f"""\
{_place("copy.target", 1)}
{_place("copy.source", 3)}
{word("copy.size", "at", 5)}
{_begin("copy", timed)}
  call void @llvm.memcpy.p0.p0.i64(
    ptr %copy.target, ptr %copy.source, i64 %copy.size, i1 false)
{_note("copy", timed)}
{_go("copy", 6)}
"""


def _clear(timed: bool) -> str:
    """Words: place, bytes."""
    return f"""\
{_place("clear.target", 1)}
{word("clear.size", "at", 3)}
{_begin("clear", timed)}
  call void @llvm.memset.p0.i64(ptr %clear.target, i8 0, i64 %clear.size, i1 false)
{_note("clear", timed)}
{_go("clear", 4)}
"""


def _set() -> str:
    """Words: slot, place."""
    return f"""\
{word("set.slot", "at", 1)}
{_place("set.to", 2)}
{_slot("set.old", "set.slot")}
  store ptr %set.to, ptr %set.old.in
{_go("set", 4)}
"""


def _advance() -> str:
    """Words: slot, bytes."""
    return f"""\
{word("advance.slot", "at", 1)}
{word("advance.by", "at", 2)}
{_slot("advance.old", "advance.slot")}
  %advance.new = getelementptr i8, ptr %advance.old, i64 %advance.by
  store ptr %advance.new, ptr %advance.old.in
{_go("advance", 3)}
"""


def _shift() -> str:
    """Words: slot, bytes for each part."""
    return f"""\
{word("shift.slot", "at", 1)}
{word("shift.each", "at", 2)}
{word("shift.part", "frame", PART)}
{_slot("shift.old", "shift.slot")}
  %shift.by = mul i64 %shift.each, %shift.part
  %shift.new = getelementptr i8, ptr %shift.old, i64 %shift.by
  store ptr %shift.new, ptr %shift.old.in
{_go("shift", 3)}
"""


def _swap() -> str:
    """Words: slot, slot."""
    return f"""\
{word("swap.first", "at", 1)}
{word("swap.second", "at", 2)}
{_slot("swap.one", "swap.first")}
{_slot("swap.two", "swap.second")}
  store ptr %swap.two, ptr %swap.one.in
  store ptr %swap.one, ptr %swap.two.in
{_go("swap", 3)}
"""


def _count() -> str:
    """Words: slot, number."""
    return f"""\
{word("count.slot", "at", 1)}
{word("count.times", "at", 2)}
{_slot("count.old", "count.slot", "i64")}
  store i64 %count.times, ptr %count.old.in
{_go("count", 3)}
"""


def _repeat() -> str:
    """Words: slot, target."""
    return f"""\
{word("repeat.slot", "at", 1)}
{word("repeat.target", "at", 2)}
{_slot("repeat.old", "repeat.slot", "i64")}
  %repeat.left = sub i64 %repeat.old, 1
  store i64 %repeat.left, ptr %repeat.old.in
  %repeat.again = icmp sgt i64 %repeat.left, 0
  %repeat.on = add i64 %pc, 3
  %repeat.pc = select i1 %repeat.again, i64 %repeat.target, i64 %repeat.on
  store i64 %repeat.pc, ptr %pc.place
  br label %next
"""


def _jump() -> str:
    """Words: target."""
    return f"""\
{word("jump.target", "at", 1)}
  store i64 %jump.target, ptr %pc.place
  br label %next
"""


def _unless() -> str:
    """Words: place, target."""
    return f"""\
{_place("unless.place", 1)}
{word("unless.target", "at", 3)}
  %unless.bool = load i8, ptr %unless.place
  %unless.false = icmp eq i8 %unless.bool, 0
  %unless.on = add i64 %pc, 4
  %unless.pc = select i1 %unless.false, i64 %unless.target, i64 %unless.on
  store i64 %unless.pc, ptr %pc.place
  br label %next
"""


def _alarm() -> str:
    """Words: place."""
    return f"""\
{_place("alarm.place", 1)}
  %alarm.byte = load i8, ptr %alarm.place
  %alarm.off = icmp eq i8 %alarm.byte, 0
  br i1 %alarm.off, label %alarm.passed, label %help
alarm.passed:
{_go("alarm", 3)}
"""


def _settled() -> str:
    return f"""\
{pointer("settled.at", "frame", IS_SETTLED)}
  store atomic i64 1, ptr %settled.at release, align 8
{_go("settled", 1)}
"""

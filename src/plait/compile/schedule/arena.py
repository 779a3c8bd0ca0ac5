"""Where in one block of memory values lie that are needed at different times.

Read first: `Arena`.
"""

from __future__ import annotations

from bisect import insort

ALIGNMENT = 64


def aligned(nbytes: int) -> int:
    """Return `nbytes` rounded up, so that the next value is aligned too."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


class Arena:
    """Gives out places in a block of memory, in the order in which they are needed.

    Of the gaps that are large enough the smallest is taken. What lies at the end grows
    the block.

    Attributes:
        nbytes: how large the block has become.
        used: bytes that are given out now.
    """

    def __init__(self) -> None:
        self.nbytes = 0
        self.used = 0
        self._gaps: list[tuple[int, int]] = []  # (offset, size), by offset

    def take(self, nbytes: int, fresh: bool = False) -> int:
        """Return the offset of a place of `nbytes`.

        Args:
            fresh: nothing has lain there before.
        """
        size = aligned(max(nbytes, 1))
        self.used += size
        if fresh:
            self.nbytes += size
            return self.nbytes - size
        fits = [gap for gap in self._gaps if gap[1] >= size]
        if fits:
            gap = min(fits, key=lambda one: one[1])
            self._gaps.remove(gap)
            offset, room = gap
            if room > size:
                insort(self._gaps, (offset + size, room - size))
            return offset
        if self._gaps and sum(self._gaps[-1]) == self.nbytes:
            offset, _ = self._gaps.pop()
        else:
            offset = self.nbytes
        self.nbytes = offset + size
        return offset

    def free(self, offset: int, nbytes: int) -> None:
        """Take a place back."""
        size = aligned(max(nbytes, 1))
        self.used -= size
        insort(self._gaps, (offset, size))
        at = self._gaps.index((offset, size))
        if at + 1 < len(self._gaps) and offset + size == self._gaps[at + 1][0]:
            size += self._gaps.pop(at + 1)[1]
            self._gaps[at] = (offset, size)
        if at and sum(self._gaps[at - 1]) == offset:
            before = self._gaps.pop(at - 1)
            self._gaps[at - 1] = (before[0], before[1] + size)

"""In which order groups run.

Read first: `ordered`.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Container, Sequence

from ...ir.graph import Node
from .group import Group


def ordered(groups: Sequence[Group], inputs: Container[Node]) -> list[Group]:
    """Return the groups in an order in which each comes after what it needs.

    They run in the order in which they were recorded, so that values are used soon
    after they are made. But a group that makes an output from an input of the same
    type, as an optimizer's update does, waits for those who read the old value, so
    that the new one can take its place.
    """
    home = {node: group for group in groups for node in group.members}
    readers: dict[Node, list[Group]] = defaultdict(list)
    needs: dict[Group, set[Group]] = {}
    for group in groups:
        needs[group] = {home[x] for x in group.reads if x in home}
        for x in group.reads:
            if x in inputs:
                readers[x].append(group)
    waits: dict[Group, set[Group]] = {}
    for group in groups:
        types = {node.type for node in group.members}
        waits[group] = {
            other
            for x in group.reads
            if x in inputs and x.type in types and x.size > 1
            for other in readers[x]
            if other is not group and not other.before >> group.number & 1
        }
    users: dict[Group, list[Group]] = defaultdict(list)
    left: dict[Group, int] = {}
    for group in groups:
        before = needs[group] | waits[group]
        left[group] = len(before)
        for other in before:
            users[other].append(group)
    ready = [group.number for group in groups if not left[group]]
    heapq.heapify(ready)
    result: list[Group] = []
    done: set[Group] = set()
    by_number = {group.number: group for group in groups}
    waiting = set(groups)
    while waiting:
        if not ready:
            # Two updates wait for one another: let one go first.
            free = min(
                (g for g in waiting if needs[g] <= done), key=lambda g: g.number
            )
            left[free] = 0
            ready = [free.number]
        group = by_number[heapq.heappop(ready)]
        if group in done:
            continue
        done.add(group)
        waiting.discard(group)
        result.append(group)
        for user in users[group]:
            left[user] -= 1
            if left[user] == 0 and user in waiting:
                heapq.heappush(ready, user.number)
    return result

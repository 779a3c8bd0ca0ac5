"""Small worlds in which `DeepQ` can learn what to do.

A world has `reset`, which begins anew and returns what is seen, and `step`, which takes
the number of an action and returns what is seen then, a reward, and whether it is over.

Read first: `Environment`, `GridWorld`, `CartPole`.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import ArgumentError

Seen = NDArray[np.float32]


class Environment(Protocol):
    """What a world must have.

    Attributes:
        actions: how many there are.
        features: how many numbers are seen.

    Example:
        class Gymnasium:  # a world of that library

            def __init__(self, world):
                self.world = world
                self.actions = int(world.action_space.n)
                self.features = world.observation_space.shape[0]

            def reset(self):
                return self.world.reset()[0]

            def step(self, action):
                seen, reward, ended, cut, _ = self.world.step(action)
                return seen, reward, ended or cut
    """

    actions: int
    features: int

    def reset(self) -> Seen:
        """Begin anew and return what is seen."""

    def step(self, action: int) -> tuple[Seen, float, bool]:
        """Act; return what is seen, the reward, and whether it is over."""


class GridWorld:
    """A walk over a grid to a goal: up, down, left or right.

    It is seen where one stands: one number for each place, 1 there and else 0. Each
    step costs 0.04, a pit 1; the goal gives 1; both are the end, and so is the step
    after `limit` others.

    Args:
        rows, columns: of the grid.
        start, goal: rows and columns. Default: the first place and the last.
        walls, pits: the places that cannot be entered, and those that should not be.
        limit: how many steps there are. Default: 4 * rows * columns.

    Raises:
        ArgumentError: a place does not lie in the grid, or start or goal is a wall.

    Example:
        >>> from plait import models
        >>> world = models.GridWorld(2, 2)
        >>> _ = world.reset()
        >>> world.step(1)[1:], world.step(3)[1:]
        ((-0.04, False), (1.0, True))
    """

    actions = 4
    _MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))

    def __init__(
        self,
        rows: int,
        columns: int,
        start: tuple[int, int] = (0, 0),
        goal: tuple[int, int] | None = None,
        walls: Collection[tuple[int, int]] = (),
        pits: Collection[tuple[int, int]] = (),
        limit: int | None = None,
    ) -> None:
        self.rows = rows
        self.columns = columns
        self.features = rows * columns
        self.start = start
        self.goal = goal or (rows - 1, columns - 1)
        self.walls = frozenset(walls)
        self.pits = frozenset(pits)
        self.limit = limit or 4 * rows * columns
        for place in (start, self.goal, *walls, *pits):
            if not (0 <= place[0] < rows and 0 <= place[1] < columns):
                raise ArgumentError(
                    "[GridWorld] a place does not lie in the grid",
                    got=str(place),
                    expected=f"0..{rows - 1} and 0..{columns - 1}",
                )
        if start in self.walls or self.goal in self.walls:
            raise ArgumentError("[GridWorld] start or goal is a wall")
        self.place = start
        self.steps = 0

    def reset(self) -> Seen:
        """Go to the start and return what is seen."""
        self.place = self.start
        self.steps = 0
        return self._seen()

    def step(self, action: int) -> tuple[Seen, float, bool]:
        """Go up (0), down (1), left (2) or right (3); walls and edges hold one back."""
        down, right = self._MOVES[action]
        row = min(max(self.place[0] + down, 0), self.rows - 1)
        column = min(max(self.place[1] + right, 0), self.columns - 1)
        if (row, column) not in self.walls:
            self.place = (row, column)
        self.steps += 1
        reward = -0.04
        over = self.steps >= self.limit
        if self.place == self.goal:
            reward, over = 1.0, True
        elif self.place in self.pits:
            reward, over = -1.0, True
        return self._seen(), reward, over

    def _seen(self) -> Seen:
        found = np.zeros(self.features, np.float32)
        found[self.place[0] * self.columns + self.place[1]] = 1
        return found


class CartPole:
    """A pole on a cart, which is to be kept up by pushing the cart left or right.

    Seen are the cart's place and speed, the pole's angle and how fast it turns, in
    metres, radians and seconds. Each step of 0.02 s gives 1. It is over when the pole
    leans more than 12 degrees, the cart is more than 2.4 m away, or after `limit`
    steps.

    Args:
        limit: how many steps there are.
        seed: the first states depend on it alone.

    Example:
        >>> from plait import models
        >>> world = models.CartPole()
        >>> world.reset().shape, world.step(1)[1:]
        ((4,), (1.0, False))

    Source: A. Barto, R. Sutton, C. Anderson, "Neuronlike adaptive elements that can
    solve difficult learning control problems", 1983.
    """

    actions = 2
    features = 4
    GRAVITY, CART, POLE, HALF, FORCE, SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02

    def __init__(self, limit: int = 200, seed: int = 0) -> None:
        self.limit = limit
        self.random = np.random.default_rng(seed)
        self.state = np.zeros(4)
        self.steps = 0

    def reset(self) -> Seen:
        """Put cart and pole near to rest and return what is seen."""
        self.state = self.random.uniform(-0.05, 0.05, 4)
        self.steps = 0
        return self.state.astype(np.float32)

    def step(self, action: int) -> tuple[Seen, float, bool]:
        """Push left (0) or right (1)."""
        _, speed, angle, turn = self.state
        force = self.FORCE if action == 1 else -self.FORCE
        sine, cosine = math.sin(angle), math.cos(angle)
        mass = self.CART + self.POLE
        push = (force + self.POLE * self.HALF * turn**2 * sine) / mass
        lever = self.HALF * (4 / 3 - self.POLE * cosine**2 / mass)
        turning = (self.GRAVITY * sine - cosine * push) / lever
        moving = push - self.POLE * self.HALF * turning * cosine / mass
        rates = np.array([speed, moving, turn, turning])
        self.state = self.state + self.SECONDS * rates
        self.steps += 1
        fallen = abs(self.state[0]) > 2.4 or abs(self.state[2]) > math.radians(12)
        over = bool(fallen or self.steps >= self.limit)
        return self.state.astype(np.float32), 1.0, over

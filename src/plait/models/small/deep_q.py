"""Learning what to do from rewards, with a net that says what each action is worth.

Read first: `DeepQ`.
"""

from __future__ import annotations

import numpy as np

import plait
from plait import Tensor

from ... import nn, optim
from ...errors import ArgumentError
from .environments import Environment, Seen
from .perceptron import MultilayerPerceptron


class DeepQ(nn.Module):
    """Deep Q learning: with a memory of what was done, and a second net that lags.

    The net is to say Q(s, a) = r + discount * Q'(s2, argmax Q(s2, .)), what action a is
    worth where s is seen, with r the reward, s2 what is seen next, and Q' the second
    net, which is a copy of the first made now and then ("double" learning). Actions are
    drawn at first, and chosen by the net more and more.

    Args:
        features: how many numbers are seen.
        actions: how many there are.
        hidden: of the net's hidden layers.
        lr: of the optimizer, `optim.Adam`.
        discount: what a reward one step later is worth, from 0 to 1.
        memory: how many steps are kept to learn from.
        batch_size: from how many of them at once.
        epsilon: the share of drawn actions at first, in the end, and after how many
            steps it is the end.
        copy_every: after how many steps the second net becomes a copy.
        learn_every: after how many steps the net learns once.
        seed: what is drawn depends on it alone, but for the net's first weights.

    Attributes:
        net: from what is seen to what actions are worth.
        target: the second one.

    Input: shape (n, features). Result: what actions are worth, shape (n, actions).

    Raises:
        ArgumentError: a setting is out of range.

    Example:
        >>> from plait import models
        >>> agent = models.DeepQ(4, 2)
        >>> len(agent.train_on(models.CartPole(limit=20), episodes=2))
        2

    Source: V. Mnih et al., "Human-level control through deep reinforcement learning",
    2015; H. van Hasselt et al., "Deep reinforcement learning with double Q-learning",
    2016.
    """

    def __init__(
        self,
        features: int,
        actions: int,
        hidden: tuple[int, ...] = (32,),
        lr: float = 3e-3,
        discount: float = 0.97,
        memory: int = 5000,
        batch_size: int = 32,
        epsilon: tuple[float, float, int] = (1.0, 0.05, 1000),
        copy_every: int = 100,
        learn_every: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 <= discount <= 1 or not 0 < batch_size <= memory:
            raise ArgumentError(
                "[DeepQ] a setting is out of range",
                got=f"discount={discount}, batch_size={batch_size}, memory={memory}",
                expected="0 <= discount <= 1 and 0 < batch_size <= memory",
            )
        sizes = (features, *hidden, actions)
        self.net = MultilayerPerceptron(sizes, nn.ReLU)
        self.target = MultilayerPerceptron(sizes, nn.ReLU).requires_grad_(False)
        self.target.load_state_dict(self.net.state_dict())
        self.actions = actions
        self.discount = discount
        self.batch_size = batch_size
        self.epsilon = epsilon
        self.copy_every = copy_every
        self.learn_every = learn_every
        self.steps = 0
        self.random = np.random.default_rng(seed)
        self.optimizer = optim.Adam(self.net.parameters(), lr=lr)
        self._seen = np.zeros((memory, features), np.float32)
        self._next = np.zeros((memory, features), np.float32)
        self._actions = np.zeros(memory, np.int64)
        self._rewards = np.zeros(memory, np.float32)
        self._going_on = np.zeros(memory, np.float32)
        self._kept = 0

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.net(x)
        return result

    def act(self, seen: Seen, explore: bool = False) -> int:
        """Return the number of an action.

        Args:
            seen: shape (features,).
            explore: draw one now and then.
        """
        first, last, steps = self.epsilon
        share = last + (first - last) * max(0.0, 1 - self.steps / steps)
        if explore and self.random.random() < share:
            return int(self.random.integers(self.actions))
        with plait.no_grad():
            worth = self(plait.asarray(np.asarray(seen, np.float32)[None])).numpy()[0]
        return int(worth.argmax())

    def remember(
        self, seen: Seen, action: int, reward: float, following: Seen, over: bool
    ) -> None:
        """Keep a step to learn from, in place of the oldest if there is no room.

        Args:
            seen, action, reward: what was seen and done, and what it gave.
            following: what was seen then.
            over: whether nothing came after it.
        """
        place = self._kept % len(self._actions)
        self._seen[place] = seen
        self._actions[place] = action
        self._rewards[place] = reward
        self._next[place] = following
        self._going_on[place] = not over
        self._kept += 1

    def learn(self) -> Tensor | None:
        """Learn from a batch; return the loss, or None if too little is kept."""
        kept = min(self._kept, len(self._actions))
        if kept < self.batch_size:
            return None
        rows = self.random.integers(kept, size=self.batch_size)
        seen, following, rewards, going_on, actions = (
            plait.asarray(x[rows])
            for x in (
                self._seen, self._next, self._rewards, self._going_on, self._actions,
            )
        )  # fmt: skip
        with plait.no_grad():
            best = plait.argmax(self.net(following), axis=1, keepdims=True)
            later = plait.take_along_axis(self.target(following), best, axis=1)
            worth = rewards + self.discount * going_on * later.squeeze(1)
        chosen = actions.expand_dims(1)
        said = plait.take_along_axis(self.net(seen), chosen, axis=1).squeeze(1)
        loss = plait.smooth_l1_loss(said, worth)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def train_on(self, world: Environment, episodes: int) -> list[float]:
        """Act and learn in a world, and return the sum of rewards of each episode.

        Args:
            world: see `Environment`.
            episodes: how often it is begun anew.
        """
        found = []
        for _ in range(episodes):
            seen, over, total = world.reset(), False, 0.0
            while not over:
                action = self.act(seen, explore=True)
                following, reward, over = world.step(action)
                self.remember(seen, action, reward, following, over)
                seen, total = following, total + reward
                self.steps += 1
                if self.steps % self.learn_every == 0:
                    self.learn()
                if self.steps % self.copy_every == 0:
                    self.target.load_state_dict(self.net.state_dict())
            found.append(total)
        return found

    def play(self, world: Environment) -> float:
        """Act as the net says, without learning; return the sum of rewards."""
        seen, over, total = world.reset(), False, 0.0
        while not over:
            seen, reward, over = world.step(self.act(seen))
            total += reward
        return total

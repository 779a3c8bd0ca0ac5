"""A recurrent network learns a text, letter by letter, and goes on with it."""

import numpy as np

import plait
from plait import nn, optim
from plait.data import Loader, Vocabulary, Windows
from plait.train import fit

text = "one two three four five six seven eight nine ten " * 20
vocabulary = Vocabulary.of([text], padding=None, unknown=None)


class Writer(nn.Module):
    """Says for each letter how likely each letter is to be the next."""

    def __init__(self, letters, size):
        super().__init__()
        self.letters = nn.Embedding(letters, size)
        self.memory = nn.GRU(size, size, batch_first=True)
        self.scores = nn.Linear(size, letters)

    def forward(self, ids, state=None):
        seen, state = self.memory(self.letters(ids), state)
        return self.scores(seen), state


def loss_function(output, target):
    """The mean over all letters of all pieces."""
    scores, _ = output
    return plait.cross_entropy(scores.flatten(0, 1), target.flatten())


plait.manual_seed(0)
model = Writer(len(vocabulary), 32)
pieces = Windows(vocabulary.encode(text), 20).sample(640, seed=0)
optimizer = optim.Adam(model.parameters(), lr=0.01)
fit(model, Loader(pieces, 32), loss_function=loss_function, optimizer=optimizer,
    epochs=6, quiet=True)  # fmt: skip

# One letter after the other: what it has read is in the state.
written, state = "one t", None
ids = vocabulary.encode(written)
with plait.no_grad():
    for _ in range(39):
        for letter in ids:
            scores, state = model(plait.tensor([[letter]]), state)
        ids = [int(np.argmax(scores.numpy()))]
        written += "".join(vocabulary.decode(ids))
print(written)  # one two three four five six seven eight nine

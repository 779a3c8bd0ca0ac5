"""A long text as numbers, and pieces of it for a network that predicts what follows.

usage: python examples/07_text.py [python | shakespeare | austen | FILE]
"""

import sys

from plait.data import Loader, Vocabulary, Windows, corpus, split_text, tokenize

text = corpus(sys.argv[1] if len(sys.argv) > 1 else "python")
parts = split_text(text.text, {"train": 0.9, "valid": 0.1})

# A text is a sequence of characters; of all that occur, each gets a number.
vocabulary = Vocabulary.of([text.text], padding=None, unknown=None)
train = vocabulary.encode(parts["train"])
print("".join(vocabulary.decode(train[:200])) == parts["train"][:200])  # True

# Each piece comes with the same piece one character later; 640 at random an epoch.
pieces = Windows(train, 64).sample(640, seed=0)
x, y = next(iter(Loader(pieces, 32)))
print(x.shape, y.shape, bool((x[:, 1:] == y[:, :-1]).all()))  # (32, 64) (32, 64) True

# Words instead of characters, the rare ones as one and the same.
words = Vocabulary.of([tokenize(parts["train"])], max_size=5000)
ids = words.encode(["return", "zyxw"])
print(len(words), words.decode(ids))  # 5000 ['return', '<unk>']

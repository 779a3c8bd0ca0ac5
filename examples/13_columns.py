"""Columns of a table and words together: numbers made of both, a network of two
branches, and a training that ends by itself.
"""

import numpy as np

import plait
from plait import nn, optim
from plait.data import (
    ArrayDataset,
    Category,
    FeatureSpace,
    Loader,
    Numeric,
    TextVectorization,
)
from plait.metrics import Accuracy
from plait.train import EarlyStopping, fit, predict

# A shop's parcels: which come back? Heavy ones from abroad, and those of whose
# contents somebody complained.
random = np.random.default_rng(0)
count = 600
table = {
    "kilos": random.gamma(2.0, 2.0, count),
    "from": random.choice(["here", "near", "abroad"], count),
}
words = ["box", "bent", "late", "fine", "torn", "blue", "nice", "wet"]
notes = [" ".join(random.choice(words, 4)) for _ in range(count)]
bad = np.array([any(word in note for word in ("torn", "wet")) for note in notes])
heavy = (table["kilos"] > 4) & (table["from"] == "abroad")
labels = (bad | heavy).astype(np.int64)

# What is found out from the data: means, categories, and a vocabulary.
space = FeatureSpace({"kilos": Numeric(normalize=True), "from": Category()})
columns = space.adapt(table)(table)
print(space.widths)  # {'kilos': 1, 'from': 4}
vectorize = TextVectorization(output_sequence_length=4).adapt(notes)
ids = vectorize(notes)
print(columns.shape, ids.shape, len(vectorize.vocabulary))  # (600, 5) (600, 4) 10


class Parcels(nn.Module):
    """Looks at columns and at words, and then at both."""

    def __init__(self, width, vocabulary):
        super().__init__()
        self.columns = nn.Sequential(nn.Linear(width, 16), nn.ReLU())
        self.words = nn.EmbeddingBag(vocabulary, 16, mode="mean", padding_idx=0)
        self.merge = nn.Concatenate()
        self.scores = nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, inputs):
        columns, words = inputs
        return self.scores(self.merge(self.columns(columns), self.words(words)))


# Samples of a pair of inputs and a label, in three parts.
samples = ArrayDataset(columns, ids, labels).map(
    lambda parts: (parts[:2], parts[2]), batched=True
)
parts = samples.split({"train": 400, "valid": 100, "test": 100})
train, valid, test = (
    Loader(parts.select(name), 50, shuffle=name == "train") for name in parts.names
)

plait.manual_seed(0)
model = Parcels(columns.shape[1], len(vectorize.vocabulary))
stop = EarlyStopping("valid_loss", patience=3)
records = fit(
    model,
    train,
    loss_function=nn.CrossEntropyLoss(),
    optimizer=optim.Adam(model.parameters(), lr=0.02),
    epochs=100,
    metrics={"accuracy": Accuracy()},
    evaluate_on={"valid": valid},
    hooks=[stop],
    quiet=True,
)
# It ended when four epochs had brought nothing, and has the weights of the best one.
print(len(records) < 100, len(records) - stop.best_epoch)  # True 4
said = predict(model, test).argmax(axis=1).numpy()
print((said == labels[500:]).mean() > 0.9)  # True

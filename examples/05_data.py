"""Data sets made of others, and batches of tensors.

usage: python examples/05_data.py [mnist | mnist-5k | FOLDER]
"""

import sys

import numpy as np

from plait.data import ArrayDataset, Loader, digits

data = digits(sys.argv[1] if len(sys.argv) > 1 else "mnist-5k")
every = ArrayDataset({"image": data.train_images, "label": data.train_labels})

# Named parts that have no sample in common, dealt out at random.
parts = every.split({"train": 0.9, "valid": 0.1}, seed=0)
train, valid = parts.select("train"), parts.select("valid")
print(len(train) + len(valid) == len(every))  # True


def bright(images):
    """Grey values from 0 to 1; of a whole batch at once."""
    return images.astype(np.float32) / 255


# Each step only says what is to be done; it is done batch by batch.
train = train.map(bright, key="image", batched=True)
mirrored = train.map(lambda images: images[:, :, ::-1], key="image", batched=True)
both = train + mirrored
print(len(both) == 2 * len(train))  # True

# Another order in each epoch; a thread prepares two batches ahead.
loader = Loader(both, 100, shuffle=True, drop_last=True, prefetch=2)
batch = next(iter(loader))
print(batch["image"].shape, batch["image"].dtype.name)  # (100, 28, 28) float32

# As many of each digit as of any other, however rare it is.
rarity = 1 / np.bincount(data.train_labels)
balanced = every.sample(1000, weights=rarity[data.train_labels], seed=1)
counts = np.bincount(balanced[:]["label"], minlength=10)
print(counts.sum(), bool((abs(counts - 100) < 40).all()))  # 1000 True

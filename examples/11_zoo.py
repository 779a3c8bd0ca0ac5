"""Models by name: made, looked at, trained for a step, saved and made again."""

import tempfile
from pathlib import Path

import numpy as np

import plait
from plait import models, nn, optim
from plait.train import TrainStep

plait.manual_seed(0)

# All names, each with the number of its parameters.
print(len(models.names()) > 80, models.names()["resnet50"])  # True 25557032

# A model, and a step of training on two random pictures. The others, such as
# `models.resnet50(num_classes=10)`, take pictures in colour, and more time.
net = models.lenet(num_classes=10)
step = TrainStep(net, nn.CrossEntropyLoss(), optim.Adam(net.parameters(), lr=1e-3))
random = np.random.default_rng(0)
pictures = plait.asarray(random.normal(size=(2, 1, 32, 32)).astype(np.float32))
loss = step(pictures, plait.asarray([3, 7]))
print(np.isfinite(loss.item()))  # True

# Weights go to a file and come back; files of torchvision's nets are read likewise.
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "net.safetensors"
    nn.save_weights(net, file)
    again = models.lenet(num_classes=10, weights=file)
same = np.array_equal(net.eval()(pictures).numpy(), again.eval()(pictures).numpy())
print(same)  # True

# A language model, here a very small one, that goes on with a text in one program.
# `models.gpt2(weights=FOLDER)` takes a folder of Hugging Face's.
writer = models.gpt2(vocab_size=100, n_positions=32, n_embd=16, n_layer=2, n_head=2)
text = writer.eval().generate(plait.asarray([[5, 17, 42]]), max_new_tokens=8)
print(text.shape)  # (1, 11)

# Small nets of earlier days learn in a moment.
memory = models.HopfieldNet(9)
letter = plait.asarray([[1.0, 1, 1, -1, 1, -1, -1, 1, -1]])  # a T
memory.store(letter)
smudged = plait.asarray([[-1.0, 1, 1, -1, 1, -1, -1, -1, -1]])
print(np.array_equal(memory(smudged).numpy(), letter.numpy()))  # True

"""A small transformer that learns to write like a text, letter by letter.

Read first: `Writer`, `written`, `main`, `predict`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import plait
from plait import Tensor, nn, optim

from ...data import Loader, Vocabulary, Windows, corpus, split_text
from ...errors import ArgumentError
from ...train import RateSchedule, fit
from ..console import Failure, amount, natural, positive
from .answer import new_prediction, printable, probabilities
from .job import Folder, draw_training, new_training

_UNKNOWN = "\N{REPLACEMENT CHARACTER}"
_MOST_LAYERS = 1000


class Writer(nn.Module):
    """Says for each letter of a text which may be next: a transformer like GPT-2."""

    def __init__(
        self, letters: int, context: int, layers: int, heads: int, width: int
    ) -> None:
        super().__init__()
        self.letters = nn.Embedding(letters, width)
        self.places = nn.Embedding(context, width)
        self.layers = nn.Sequential(
            *[
                nn.TransformerEncoderLayer(
                    *(width, heads, 4 * width, 0.0, "gelu"),
                    batch_first=True,
                    norm_first=True,
                )
                for _ in range(layers)
            ]
        )
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, letters, bias=False)

    def forward(self, text: Tensor) -> Tensor:
        x = self.letters(text) + self.places(plait.arange(text.shape[1]))
        for layer in self.layers:
            x = layer(x, is_causal=True)
        scores: Tensor = self.output(self.norm(x))
        return scores


def new_model(config: Mapping[str, Any]) -> Writer:
    """Return a model with new weights."""
    if not 1 <= config["layers"] <= _MOST_LAYERS:
        raise ArgumentError(
            "[chars] there cannot be that many layers",
            got=str(config["layers"]),
            expected=f"1 to {_MOST_LAYERS}",
        )
    sizes = (config[name] for name in ("context", "layers", "heads", "width"))
    return Writer(len(letters(config)), *sizes)


def next_letter_loss(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean cross-entropy over all places; output (n, length, letters)."""
    flat = output.reshape((-1, output.shape[-1]))
    loss: Tensor = plait.cross_entropy(flat, target.reshape((-1,)))
    return loss


def written(
    model: nn.Module,
    config: Mapping[str, Any],
    begin: str,
    length: int,
    temperature: float = 0.8,
    seed: int = 0,
) -> str:
    """Return `begin`, and `length` letters that the model adds to it.

    Each is drawn from what the model says of the letters before it, as many as its
    context has.

    Args:
        temperature: below 1, likely letters become more likely; near 0, only the
            likeliest is taken.
    """
    vocabulary = letters(config)
    context = config["context"]
    ids = vocabulary.encode(begin or "\n").tolist()
    rng = np.random.default_rng(seed)
    for _ in range(length):
        seen = ids[-context:]
        # Always of one length, and the place taken by NumPy, so that there is one
        # program: what comes behind a letter has no effect on it.
        row = seen + [vocabulary.unknown] * (context - len(seen))
        chances = probabilities(model, [row], max(temperature, 1e-6))
        chances = chances[0, len(seen) - 1].copy()
        # What stands for unknown letters is not written, unless there is nothing else.
        chances[vocabulary.unknown] *= chances[vocabulary.unknown] == 1
        ids.append(int(rng.choice(len(chances), p=chances / chances.sum())))
    return begin + "".join(vocabulary.decode(ids[len(ids) - length :]))


def letters(config: Mapping[str, Any]) -> Vocabulary:
    """Return the letters that a model knows."""
    return Vocabulary(config["letters"], padding=None, unknown=_UNKNOWN)


def main(arguments: Sequence[str]) -> int:
    """Train, and write the model, its curves, and a text of its own to a folder."""
    options = _options(arguments)
    folder = Folder(options.output, options.quiet)
    plait.manual_seed(options.seed)
    data = corpus(options.text)
    parts = split_text(data.text, {"train": 0.9, "test": 0.1})
    if len(parts["test"]) <= options.context:
        raise Failure(
            f"{data.description}: too short for a context of {options.context} "
            "letters, as the last tenth is to test on"
        )
    vocabulary = Vocabulary.of(
        [parts["train"]], padding=None, unknown=_UNKNOWN, max_size=256
    )
    config = {
        "letters": vocabulary.tokens[1:],
        **{x: getattr(options, x) for x in ("context", "layers", "heads", "width")},
    }
    model = new_model(config)
    train, test = (
        Windows(vocabulary.encode(parts[name]), options.context)
        for name in ("train", "test")
    )
    count = options.batch_size * options.steps
    train_loader = Loader(train.sample(count, seed=options.seed), options.batch_size)
    # The same pieces each time.
    places = np.linspace(0, len(test) - 1, min(len(test), 400)).astype(int)
    test_loader = Loader([test[int(i)] for i in places], 50)
    if not options.quiet:
        print(f"{data.description}: {len(data.text):,} letters, ", end="")
        print(f"{len(vocabulary.tokens)} different; the last tenth to test on")
        print(f"{sum(p.size for p in model.parameters()):,} weights")
    records = fit(
        model,
        train_loader,
        loss_function=next_letter_loss,
        optimizer=optim.AdamW(model.parameters(), lr=options.lr, weight_decay=0.1),
        epochs=options.epochs,
        evaluate_on=test_loader,
        hooks=[RateSchedule(optim.cosine_decay, warm_up=0.05)],
        quiet=options.quiet,
    )
    folder.save(model, "chars", config)
    text = written(model, config, options.begin, options.length, seed=options.seed)
    if not options.quiet:
        seconds = sum(record["seconds"] for record in records)
        rate = options.epochs * count * options.context / seconds
        loss = records[-1]["test_loss"]
        print(f"test loss {loss:.3f}, {loss / math.log(2):.2f} bits for a letter,")
        print(f"after {seconds:.1f} s of training, {rate:,.0f} letters/s\n")
        print(f"{text}\n")
    folder.file("sample.txt").write_text(text, encoding="utf-8")
    draw_training(folder, records)
    folder.report(f'plait predict --model {options.output} "Once upon a time"')
    return 0


def predict(
    model: nn.Module, config: Mapping[str, Any], arguments: Sequence[str]
) -> int:
    """Print a text, and how it might go on."""
    parser = new_prediction(
        "Go on with a text, with a model from `plait train chars`.\n\n"
        '  plait predict --model chars "Once upon a time" --length 500'
    )
    add = parser.add_argument
    add("begin", nargs="?", default="\n", metavar="TEXT", help="how the text begins")
    add("--length", type=natural, default=300, metavar="LETTERS",
        help="how much to add to it")  # fmt: skip
    add("--temperature", type=amount, default=0.8, metavar="T",
        help="below 1, likely letters become likelier; 0: the likeliest")  # fmt: skip
    add("--seed", type=natural, default=0, metavar="N", help="of the choice of letters")
    options = parser.parse_args(arguments)
    text = written(
        *(model, config, options.begin),
        *(options.length, options.temperature, options.seed),
    )
    print(printable(text))
    return 0


def _options(arguments: Sequence[str]) -> Any:
    parser = new_training(
        "chars",
        "Train a small transformer to write like a text, letter by letter.",
        epochs=10,
        batch_size=12,
        lr=2e-3,
    )
    add = parser.add_argument
    add("--text", metavar="SOURCE",
        help="shakespeare, austen, python, or a text file (default: shakespeare, or "
        "python where that cannot be had)")  # fmt: skip
    add("--steps", type=positive, default=200, metavar="N",
        help="in each epoch, on pieces of the text at random")  # fmt: skip
    add("--context", type=positive, default=64, metavar="LETTERS",
        help="how many letters the model sees")  # fmt: skip
    add("--layers", type=positive, default=4, metavar="N", help="of the transformer")
    add("--heads", type=positive, default=4, metavar="N", help="of its attention")
    add("--width", type=positive, default=128, metavar="N",
        help="features of a letter")  # fmt: skip
    add("--begin", default="\n", metavar="TEXT", help="how the sample begins")
    add("--length", type=positive, default=500, metavar="LETTERS", help="of the sample")
    return parser.parse_args(arguments)

"""Is a sentence kind or unkind? Words as vectors, read by an LSTM.

Read first: `Reader`, `main`, `predict`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plait
from plait import Tensor, nn, optim

from ...data import (
    Loader,
    TextSplits,
    Vocabulary,
    movie_reviews,
    padded,
    read_texts,
    tokenize,
    word_vectors,
)
from ...errors import ArgumentError, DataError, MissingExtraError
from ...metrics import Accuracy, ConfusionMatrix
from ...train import RateSchedule, evaluate, fit
from ..console import Failure, positive
from .answer import bars, class_names, likeliest, new_prediction, probabilities
from .job import Folder, draw_training, new_training

_BATCH = 500
_MOST = 10_000  # words of a text, as they all take memory


class Reader(nn.Module):
    """Reads the words of a text one after the other, and says what class it is of.

    What stands out most over all words decides, for each unit of the LSTM.
    """

    def __init__(self, words: int, size: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, size, padding_idx=0)
        self.lstm = nn.LSTM(size, hidden, batch_first=True)
        self.hidden = nn.Linear(hidden, 16)
        self.dropout = nn.Dropout(0.5)
        self.output = nn.Linear(16, classes)

    def forward(self, words: Tensor) -> Tensor:
        states, _ = self.lstm(self.dropout(self.embedding(words)))
        most = plait.max(states, axis=1)
        return self.output(plait.relu(self.hidden(most)))  # type: ignore[no-any-return]


def new_model(config: Mapping[str, Any]) -> Reader:
    """Return a model with new weights."""
    if not (isinstance(config["length"], int) and 1 <= config["length"] <= _MOST):
        raise ArgumentError(
            "[sentiment] a text cannot be of that length",
            got=str(config["length"]),
            expected=f"1 to {_MOST} words",
        )
    words, classes = len(Vocabulary(config["tokens"])), len(class_names(config))
    return Reader(words, config["size"], config["hidden"], classes)


def main(arguments: Sequence[str]) -> int:
    """Train, and write the model and pictures of the training to a folder."""
    options = _options(arguments)
    folder = Folder(options.output, options.quiet)
    plait.manual_seed(options.seed)
    data = texts(options)
    words = [tokenize(text) for text in data.train.texts]
    vocabulary = Vocabulary.of(words, min_count=2, max_size=20_000)
    config = {
        "tokens": vocabulary.tokens[2:],
        "classes": [str(name) for name in data.train.classes],
        "size": options.size,
        "hidden": options.hidden,
        "length": options.length,
    }
    about = "vectors of words are learned"
    found = None
    if options.vectors != "none":
        try:
            found = word_vectors(vocabulary, options.vectors or "glove-6b-50d")
        except (DataError, MissingExtraError) as error:
            if options.vectors:
                raise
            about += f", as those of GloVe cannot be had: {error.what}"
    if found is not None:
        config["size"] = found.table.shape[1]
        about = f"vectors of {found.count} words from {found.description}, trained on"
    model = new_model(config)
    if found is not None:
        begin_with(model, found.table, found.found)
    train_loader = Loader(
        (encoded(words, config), data.train.labels),
        options.batch_size,
        shuffle=True,
        seed=options.seed,
    )
    test_words = [tokenize(text) for text in data.test.texts]
    test_loader = Loader((encoded(test_words, config), data.test.labels), _BATCH)
    if not options.quiet:
        print(f"{data.description}\n{len(data.train)} texts to train on, ", end="")
        print(f"{len(data.test)} to test on, {len(vocabulary.tokens)} words")
        print(about)
        print(model)
    records = fit(
        model,
        train_loader,
        loss_function=nn.CrossEntropyLoss(),
        optimizer=optim.Adam(model.parameters(), lr=options.lr),
        epochs=options.epochs,
        metrics={"accuracy": Accuracy()},
        evaluate_on=test_loader,
        hooks=[RateSchedule()],
        quiet=options.quiet,
    )
    if not options.quiet:
        seconds = sum(record["seconds"] for record in records)
        rate = options.epochs * len(data.train) / seconds
        print(
            f"test accuracy {records[-1]['test_accuracy']:.2%} after {seconds:.1f} s "
            f"of training, {rate:,.0f} texts/s"
        )
    folder.save(model, "sentiment", config)
    metric = ConfusionMatrix(len(config["classes"]))
    counts = evaluate(model, test_loader, metrics={"counts": metric})["counts"]
    draw_training(folder, records, counts, config["classes"])
    folder.report(f'plait predict --model {options.output} "a charming film"')
    return 0


def begin_with(model: Reader, table: Any, found: Any) -> None:
    """Give a model the vectors of those words for which there are any.

    Args:
        table: shape (words, size).
        found: which rows of it are vectors; the other words keep small random ones.
    """
    own = model.embedding.weight
    known = plait.tensor(found).reshape((-1, 1))
    own.data = plait.where(known, plait.tensor(table), own * 0.1)


def texts(options: Any) -> TextSplits:
    """Return the texts that the user has named, or sentences of film reviews."""
    if options.data is None:
        return movie_reviews()
    named = {"text": options.text_column, "label": options.label_column}
    train = read_texts(options.data, **named)
    if options.test is not None:
        test = read_texts(options.test, **named, classes=train.classes)
        return TextSplits(train, test, f"texts in {options.data} and {options.test}")
    try:
        parts = train.split()
    except ArgumentError as error:
        raise Failure(
            f"{options.data}: too few texts to keep some to test on"
        ) from error
    return TextSplits(*parts, f"texts in {options.data}, every fifth to test on")


def encoded(words: Sequence[Sequence[str]], config: Mapping[str, Any]) -> Any:
    """Return texts as rows of numbers; shorter ones begin with padding."""
    vocabulary = Vocabulary(config["tokens"])
    rows = [vocabulary.encode(text) for text in words]
    return padded(rows, config["length"], side="left")


def predict(
    model: nn.Module, config: Mapping[str, Any], arguments: Sequence[str]
) -> int:
    """Say of which class texts are."""
    parser = new_prediction(
        "Say of which class texts are, with a model from `plait train sentiment`.\n\n"
        '  plait predict --model sentiment "a charming film"\n'
        "  plait predict --model sentiment --brief --lines reviews.txt"
    )
    add = parser.add_argument
    add("texts", nargs="*", metavar="TEXT", help="a sentence, in quotation marks")
    add("--lines", metavar="FILE",
        help="a file with a text in each line; - is standard input")  # fmt: skip
    add("--brief", action="store_true", help="one line for each text")
    options = parser.parse_args(arguments)
    if not options.texts and options.lines is None:
        parser.error("name a text, or a file with --lines")
    classes = config["classes"]
    texts = [*options.texts, *(_lines(options.lines) if options.lines else ())]
    for at in range(0, len(texts), _BATCH):
        some = texts[at : at + _BATCH]
        # As many rows each time, so that there is one program.
        rows = some if len(texts) <= _BATCH else [*some, *[""] * (_BATCH - len(some))]
        words = [tokenize(text) for text in rows]
        found = probabilities(model, encoded(words, config))
        for text, chances in zip(some, found[: len(some)], strict=True):
            if options.brief:
                print(f"{likeliest(classes, chances)}: {text}")
            else:
                print("\n  ".join([text, *bars(classes, chances)]))
    return 0


def _lines(source: str) -> list[str]:
    """Return the lines of a file, or of standard input, that are not empty."""
    try:
        content = (
            sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        ).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Failure(f"{source}: the text is not UTF-8: {error.reason}") from error
    return [line.strip() for line in content.split("\n") if line.strip()]


def _options(arguments: Sequence[str]) -> Any:
    parser = new_training(
        "sentiment",
        "Train an LSTM to tell kind sentences from unkind ones, or texts of your own\n"
        "in any classes.",
        epochs=6,
        batch_size=128,
        lr=4e-3,
    )
    add = parser.add_argument
    add("--hidden", type=positive, default=40, metavar="UNITS", help="of the LSTM")
    add("--size", type=positive, default=50, metavar="N",
        help="of the vectors of words, where they are learned")  # fmt: skip
    add("--length", type=positive, default=40, metavar="WORDS",
        help="of each text; the rest is cut off")  # fmt: skip
    add("--vectors", metavar="SOURCE",
        help="vectors of words to begin with: a file of GloVe's, glove-6b-50d, or none "
        "(default: glove-6b-50d, or none where that cannot be had)")  # fmt: skip
    add("--data", metavar="FILE",
        help="a table with texts and labels: .csv, .tsv or .jsonl (default: sentences "
        "of film reviews, which are downloaded)")  # fmt: skip
    add("--test", metavar="FILE",
        help="such a table to test on (default: every fifth text)")  # fmt: skip
    add("--text-column", default="text", metavar="NAME", help="where the texts are")
    add("--label-column", default="label", metavar="NAME", help="where the labels are")
    return parser.parse_args(arguments)

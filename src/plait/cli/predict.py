"""`plait predict`: asks a model that `plait train` has written.

What can be asked, and how, depends on the kind of the model, which its file says.

Read first: `Job`, `run`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from plait import nn

from .console import new_parser
from .jobs import chars, cifar, mnist, sentiment
from .jobs.answer import add_model
from .models import load_model, model_file


class Job(Protocol):
    """What a module in `jobs` has if its models can be asked."""

    def new_model(self, config: Mapping[str, Any]) -> nn.Module:
        """Return a model with new weights; raise an error if `config` is odd."""

    def predict(self, model: Any, config: Any, arguments: Sequence[str]) -> int:
        """Read the arguments, print what the model says, return the exit status."""


JOBS: dict[str, Job] = {
    "mnist": mnist,
    "cifar": cifar,
    "sentiment": sentiment,
    "chars": chars,
}

_DESCRIPTION = """\
Ask a model that `plait train` has written.

  plait predict seven.png                            which digit is this?
  plait predict --test-index 7                       picture 7 of the test set
  plait predict --model cifar cat.png                what is in this picture?
  plait predict --model sentiment "a charming film"  is this kind or unkind?
  plait predict --model chars "Once upon a time"     how might this go on?
  plait predict --model chars --help                 what can be set there
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    parser = new_parser("plait predict", _DESCRIPTION, add_help=False)
    parser.usage = "plait predict [--help] [--model PATH] [arguments]"
    add_model(parser)
    parser.add_argument("-h", "--help", action="store_true",
        help="show this, or what goes with a model that is there")  # fmt: skip
    # The other arguments are for the job that made the model.
    options, _ = parser.parse_known_args(arguments)
    if options.help and not model_file(options.model).exists():
        parser.print_help()
        return 0
    builders = {kind: job.new_model for kind, job in JOBS.items()}
    kind, model, config = load_model(options.model, builders)
    return JOBS[kind].predict(model, config, arguments)

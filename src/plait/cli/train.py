"""`plait train`: runs an example by its name, or a user's script by its path.

Read first: `run`, `run_script`.
"""

from __future__ import annotations

import argparse
import difflib
import runpy
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import PlaitError
from .console import Failure, new_parser
from .jobs import chars, cifar, mnist, sentiment, style

JOBS: dict[str, Callable[[Sequence[str]], int]] = {
    "mnist": mnist.main,
    "cifar": cifar.main,
    "sentiment": sentiment.main,
    "style": style.main,
    "chars": chars.main,
}

_DESCRIPTION = """\
Train an example, or run a training script of your own.

  plait train mnist                  handwritten digits, by linear layers
  plait train cifar                  small colour pictures, by convolutions
  plait train sentiment              kind and unkind sentences, by an LSTM
  plait train style                  a photograph, painted like another picture
  plait train chars                  text, letter by letter, by a transformer
  plait train mnist --help           what can be set there
  plait train my_script.py --lr 0.1  a Python file, with its own arguments
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    parser = new_parser("plait train", _DESCRIPTION)
    parser.usage = "plait train [--help] JOB [arguments]"
    parser.add_argument(
        "job",
        metavar="JOB",
        nargs="?",
        help=f"{' or '.join(JOBS)}, or the path of a Python file",
    )
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.job is None:
        parser.error("name an example or a Python file")
    job = JOBS.get(options.job)
    if job is not None:
        return job(options.rest)
    path = Path(options.job)
    if path.suffix == ".py" or path.exists():
        return run_script(path, options.rest)
    near = difflib.get_close_matches(options.job, JOBS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    parser.error(f"{options.job!r} is neither an example nor a Python file{hint}")


def run_script(path: Path, arguments: Sequence[str]) -> int:
    """Run a Python file as `python path arguments` would; return its exit status."""
    if not path.is_file():
        raise Failure(f"{path}: no such file")
    before = sys.argv, sys.path[:]
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, str(path.resolve().parent))
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        raise Failure(str(end.code)) from None
    except PlaitError as error:
        # It names the line of the script, which is what its author wants to know.
        raise Failure(str(error)) from error
    except BrokenPipeError:
        raise  # whoever read the output has had enough
    except Exception:
        _print_traceback()
        return 1
    finally:
        sys.argv, sys.path[:] = before
    return 0


def _print_traceback() -> None:
    """Print the error at hand as Python would, without the frames around the script."""
    error = sys.exc_info()[1]
    assert error is not None
    frame = error.__traceback__
    while frame is not None and _runs_scripts(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    traceback.print_exception(type(error), error, frame)


def _runs_scripts(filename: str) -> bool:
    return filename == __file__ or Path(filename).name in ("runpy.py", "<frozen runpy>")

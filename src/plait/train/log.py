"""Hooks that tell: lines on the terminal, and tables in CSV and JSON-lines files.

They tell what other hooks have written into `state.record`, so they come after those.

Read first: `ConsoleLog`.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, MissingExtraError, optional
from .engine import Hook, State

_REFRESH_SECONDS = 0.2


class ConsoleLog(Hook):
    """Prints one line for each epoch, and on a terminal a bar while it runs.

    The bar needs the library tqdm; without it, or where the output is no terminal,
    there are only the lines. Numbers named `accuracy` or `error` are shown in percent.

    Args:
        stream: where to print. Default: standard output.
        bar: whether to show the bar. Default: if it is a terminal.
    """

    def __init__(self, stream: Any = None, bar: bool | None = None) -> None:
        self._stream = stream
        self._wanted = bar
        self._header: list[str] = []
        self._bar: Any = None
        self._shown = 0.0

    def on_start(self, state: State) -> None:
        """Print the header anew."""
        self._header = []

    def on_start_epoch(self, state: State) -> None:
        """Show the bar, if there is to be one."""
        stream = sys.stdout if self._stream is None else self._stream
        wanted = stream.isatty() if self._wanted is None else self._wanted
        if not wanted:
            return
        try:
            tqdm = optional("tqdm", "cli", "show a bar")
        except MissingExtraError:
            return
        self._bar = tqdm.tqdm(
            total=len(state.loader) if hasattr(state.loader, "__len__") else None,
            desc=f"{state.epoch + 1:5}",
            unit="batch",
            file=stream,
            leave=False,
            ncols=78,
        )

    def on_update(self, state: State) -> None:
        """Move the bar, and now and then show the loss."""
        if self._bar is None:
            return
        self._bar.update()
        now = time.monotonic()
        if now - self._shown > _REFRESH_SECONDS:
            # The update has run the step, so the value is there to be looked at.
            self._bar.set_postfix_str(f"loss {state.loss.item():.4f}", refresh=False)
            self._shown = now

    def on_end_epoch(self, state: State) -> None:
        """Print the epoch's line."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        cells = {"epoch": f"{state.epoch}/{state.max_epochs}"}
        for name, value in state.record.items():
            # Seconds can be told from the speed, and a line has only 80 columns.
            if name != "seconds":
                cells[name.replace("_", " ").replace(" per ", "/")] = shown(name, value)
        names = list(cells)
        stream = sys.stdout if self._stream is None else self._stream
        if names != self._header:
            self._header = names
            print("  ".join(f"{name:>8}" for name in names), file=stream)
        widths = [max(8, len(name)) for name in names]
        row = zip(cells.values(), widths, strict=True)
        print("  ".join(f"{cell:>{n}}" for cell, n in row), file=stream, flush=True)


def shown(name: str, value: Any) -> str:
    """Return a number of a record as people want to read it."""
    if isinstance(value, dict):
        return " ".join(f"{key}: {shown(name, one)}" for key, one in value.items())
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if name.endswith(("accuracy", "error")):
        return f"{100 * value:.2f} %"
    if name.endswith("per_second"):
        return f"{value:,.0f}"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


class CSVLog(Hook):
    """Writes one row for each epoch to a CSV file, with a header.

    Args:
        path: the file.
        append: go on with an existing file, whose header must be the same.

    Raises:
        ArgumentError: an epoch has other entries than the header.
    """

    def __init__(self, path: str | os.PathLike[str], append: bool = False) -> None:
        self.path = Path(path)
        self.append = append
        self._header: list[str] = []

    def on_start(self, state: State) -> None:
        """Begin the file, or read the header of the one there is."""
        self._header = []
        if self.append and self.path.exists() and self.path.stat().st_size:
            with open(self.path, newline="", encoding="utf-8") as stream:
                self._header = next(csv.reader(stream), [])
        else:
            self.path.write_text("", encoding="utf-8")

    def on_end_epoch(self, state: State) -> None:
        """Write a row."""
        row = flat_record(state)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self._header:
            self._header = list(row)
            writer.writerow(row)
        elif self._header != list(row):
            raise ArgumentError(
                f"[CSVLog] the entries are not those of the header of {self.path}",
                got=", ".join(row),
                expected=", ".join(self._header),
            )
        writer.writerow(row.values())
        with open(self.path, "a", newline="", encoding="utf-8") as stream:
            stream.write(text.getvalue())


class JSONLinesLog(Hook):
    """Writes one line of JSON for each epoch.

    Numbers that are not finite, which JSON does not have, become null.

    Args:
        path: the file.
        append: go on with an existing file.
    """

    def __init__(self, path: str | os.PathLike[str], append: bool = False) -> None:
        self.path = Path(path)
        self.append = append

    def on_start(self, state: State) -> None:
        """Begin the file."""
        if not self.append:
            self.path.write_text("", encoding="utf-8")

    def on_end_epoch(self, state: State) -> None:
        """Write a line."""
        finite = {
            name: None
            if isinstance(value, float) and not math.isfinite(value)
            else value
            for name, value in flat_record(state).items()
        }
        with open(self.path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(finite, allow_nan=False) + "\n")


def flat_record(state: State) -> dict[str, Any]:
    """Return epoch, step and the record, with entries of dictionaries as `name.key`."""
    flat: dict[str, Any] = {"epoch": state.epoch, "step": state.step}
    for name, value in state.record.items():
        if isinstance(value, dict):
            flat.update((f"{name}.{key}", one) for key, one in value.items())
        elif isinstance(value, (bool, int, float, str)) or value is None:
            flat[name] = value
        else:  # an array, such as a confusion matrix
            flat[name] = json.dumps(value.tolist())
    return flat

"""Examples of the reference, made of the samples that classes give of themselves.

Each is run when it is made, so that what it shows is what it gives.

Read first: `example`.
"""

import contextlib
import io
import warnings
from typing import Any

import numpy as np

import plait
from plait import distributions, metrics, nn

# More numbers than that are drawn, not written; of integers, left out.
_MOST_FLOATS = 6
_MOST = 12


def example(cls: type) -> str:
    """Return an example of a class as code with comments that say what it gives, or
    "" if it has no samples, or none that can be written in a few lines.
    """
    if not hasattr(cls, "samples"):
        return ""
    for sample in cls.samples():
        source = _source(cls, sample)
        if source:
            return _run(source)
    return ""


def _source(cls: type, sample: Any) -> list[str]:
    if issubclass(cls, nn.Module):
        return _layer(cls, sample)
    if issubclass(cls, metrics.Metric):
        return _metric(cls, sample)
    if issubclass(cls, distributions.Distribution):
        return _distribution(cls, sample)
    return []


def _layer(cls: type, sample: Any) -> list[str]:
    given = _arguments(sample.args, sample.named)
    inputs = [_value(x) for x in sample.inputs]
    if given is None or None in inputs:
        return []
    made = f"layer = nn.{cls.__name__}({given})"
    call = f"layer({', '.join(map(str, inputs))})"
    return [made, *_shown(call)]


def _shown(call: str) -> list[str]:
    return [f"result = {call}", "result"]


def _metric(cls: type, sample: Any) -> list[str]:
    given = _arguments(sample.args, sample.named)
    if given is None or isinstance(sample.data[0], tuple):
        return []
    parts = [_list(np.asarray(x)[:4]) for x in sample.data]
    return [
        f"metric = metrics.{cls.__name__}({given})",
        f"metric.add({', '.join(parts)})",
        "metric.value()",
    ]


def _distribution(cls: type, sample: Any) -> list[str]:
    if sample.make is not None:
        return []
    given = _arguments((), sample.parameters)
    if given is None:
        return []
    return [
        "from plait import distributions",
        f"d = distributions.{cls.__name__}({given})",
        f"d.log_prob({_value(np.asarray(sample.value))})",
        "d.sample((2,)).shape",
    ]


def _arguments(args: tuple[Any, ...], named: Any) -> str | None:
    """Return arguments as they are written, or None if they cannot be."""
    parts = [_value(x) for x in args]
    parts += [
        None if (text := _value(x)) is None else f"{name}={text}"
        for name, x in named.items()
    ]
    return None if None in parts else ", ".join(map(str, parts))


def _value(x: Any) -> str | None:
    if isinstance(x, np.ndarray):
        if x.dtype.kind == "f" and x.size > _MOST_FLOATS:
            return f"plait.rand({', '.join(map(str, x.shape))})"
        return f"plait.tensor({_list(x)})" if x.size <= _MOST else None
    if isinstance(x, tuple | list):
        parts = [_value(one) for one in x]
        if None in parts:
            return None
        inner = ", ".join(map(str, parts))
        if isinstance(x, list):
            return f"[{inner}]"
        return f"({inner},)" if len(parts) == 1 else f"({inner})"
    if isinstance(x, bool | int | float | str) or x is None:
        return repr(x)
    if isinstance(x, nn.Module) and type(x).__name__ in nn.__all__:
        text = repr(x)
        return f"nn.{text}" if "\n" not in text and text.endswith("()") else None
    return None


def _list(x: np.ndarray) -> str:
    if x.dtype.kind == "f":
        x = np.round(x, 2)
    return repr(x.tolist())


def _run(lines: list[str]) -> str:
    """Run the lines, and write what the last ones give behind them."""
    space: dict[str, Any] = {"plait": plait, "nn": nn, "metrics": metrics}
    space["distributions"] = distributions
    plait.manual_seed(0)
    shown = []
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for line in lines:
            if line.startswith(("from ", "import ")) or " = " in line.split("(")[0]:
                exec(line, space)
                shown.append(line)
                continue
            value = eval(line, space)
            if line == "result":
                shown[-1] = shown[-1].removeprefix("result = ")
                shown[-1] += _comment(value)
            else:
                shown.append(line if value is None else line + _comment(value))
    return "\n".join(shown)


def _comment(value: Any) -> str:
    text = _brief(value)
    return f"  # {text}" if "\n" not in text and len(text) < 60 else ""


def _brief(value: Any) -> str:
    if isinstance(value, plait.Tensor):
        if value.ndim == 0:
            return f"{value.item():.4g}"
        return f"shape {tuple(value.shape)}"
    if isinstance(value, tuple) and any(isinstance(x, plait.Tensor) for x in value):
        return ", ".join(_brief(x) for x in value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)

"""What browsers run: the script that loads exports, and pages. None of it is Python.

    runtime/      the script, as the npm package `plait-runtime`
    export/       the page of an export
    playground/   pages that show what exports can do

In Python there is only where they lie, and how scripts are sent: `sending`.
"""

from .sending import RUNTIME, compact, scripts

__all__ = ["RUNTIME", "compact", "scripts"]

"""The command line: `plait train`, `predict`, `show` and `doctor`."""

"""The command line: `plait train`, `predict`, `show`, `doctor` and others."""

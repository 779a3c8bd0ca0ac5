"""Makes the pages of the reference from the package: a Sphinx extension."""

import pytest

wasmtime = pytest.importorskip("wasmtime")

"""Programs for WebGPU, on whatever adapter the machine has."""

import pytest

from plait.runtime import webgpu


@pytest.fixture(scope="session")
def adapter():
    """A device that runs WGSL; tests are skipped where there is none."""
    reason = webgpu.unavailable()
    if reason:
        pytest.skip(reason)
    return webgpu.device()

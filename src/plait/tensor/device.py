"""Where bytes live, which is the CPU's memory, and where programs run.

Read first: `Device`, `as_device`, `running_on`.
"""

from __future__ import annotations

from ..errors import DeviceError


class Device:
    """A place that holds tensors, or runs programs.

    Attributes:
        kind: `cpu`, or `webgpu`, which runs programs only.
    """

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return other == self.kind
        return isinstance(other, Device) and other.kind == self.kind

    def __hash__(self) -> int:
        return hash(self.kind)

    def __repr__(self) -> str:
        return f"device({self.kind!r})"

    def __str__(self) -> str:
        return self.kind


CPU = Device("cpu")
WEBGPU = Device("webgpu")


class Place:
    """Where programs run.

    Attributes:
        device: there, in all threads.
    """

    __slots__ = ("device",)

    def __init__(self) -> None:
        self.device = CPU


place = Place()


def as_device(what: object) -> Device:
    """Return the device meant by a Device, a name, or None for the default.

    Raises:
        DeviceError: there is no such device.
    """
    # This way round: an array on the left would compare its elements.
    if what is None or CPU == what:  # noqa: SIM300
        return CPU
    if WEBGPU == what:  # noqa: SIM300
        raise DeviceError(
            "tensors lie in the CPU's memory",
            got=repr(what),
            expected="'cpu'",
            fix="`with plait.device('webgpu'):` runs programs on that device",
        )
    raise DeviceError("there is no such device", got=repr(what), expected="'cpu'")


def as_place(what: object) -> Device:
    """Return the device that programs shall run on.

    Raises:
        DeviceError: there is no such device.
    """
    for known in (CPU, WEBGPU):
        if what == known:
            return known
    raise DeviceError(
        "there is no such device to run programs on",
        got=repr(what),
        expected="'cpu' or 'webgpu'",
    )

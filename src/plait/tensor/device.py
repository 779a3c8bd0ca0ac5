"""Where bytes live. There is one device so far: the CPU.

Read first: `Device`, `as_device`.
"""

from __future__ import annotations

from ..errors import DeviceError


class Device:
    """A place that holds tensors and runs programs.

    Attributes:
        kind: `cpu`.
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


def as_device(what: object) -> Device:
    """Return the device meant by a Device, a name, or None for the default.

    Raises:
        DeviceError: there is no such device.
    """
    if what is None or what == "cpu":
        return CPU
    raise DeviceError("there is no such device", got=repr(what), expected="'cpu'")

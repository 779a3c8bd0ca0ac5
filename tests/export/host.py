"""Loads an export as a page would, in Python: by its manifest alone, with wasmtime."""

import hashlib
import json

import ml_dtypes
import numpy as np
import wasmtime
from safetensors.numpy import load_file, save_file


def _engine():
    config = wasmtime.Config()
    config.wasm_simd = True
    config.wasm_relaxed_simd = True
    config.cranelift_opt_level = "none"
    return wasmtime.Engine(config)


ENGINE = _engine()


def dtype(name):
    return np.dtype(getattr(ml_dtypes, name) if name == "bfloat16" else name)


class Host:
    """An export that is loaded.

    Args:
        folder: where it lies.
        build: the number of the module.
    """

    def __init__(self, folder, build=0):
        self.manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        module = self.manifest["modules"][build]
        code = (folder / module["file"]).read_bytes()
        assert hashlib.sha256(code).hexdigest() == module["sha256"]
        self.lasting = module.get("lasting", [])
        self.store = wasmtime.Store(ENGINE)
        instance = wasmtime.Instance(self.store, wasmtime.Module(ENGINE, code), [])
        self.exports = instance.exports(self.store)
        self.memory = self.exports["memory"]
        assert self.memory.data_len(self.store) >= module["memory"]
        path = folder / self.manifest["weights"]["file"]
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        assert found == self.manifest["weights"]["sha256"]
        self.restore(path)

    def write(self, place, value):
        array = np.asarray(value, dtype(place["dtype"]), order="C")
        assert list(array.shape) == place["shape"]
        self.memory.write(self.store, array.tobytes(), place["at"])

    def read(self, place):
        kind, shape = dtype(place["dtype"]), place["shape"]
        nbytes = kind.itemsize * int(np.prod(shape))
        content = self.memory.read(self.store, place["at"], place["at"] + nbytes)
        return np.frombuffer(bytes(content), kind).reshape(shape)

    def restore(self, path):
        arrays = load_file(path)
        for place in self.manifest["state"]:
            name, way = place["name"], place.get("stored")
            if way == {"zeros": True} and name not in arrays:
                value = np.zeros(place["shape"], dtype(place["dtype"]))
            else:
                value = arrays[name]
            if way is not None and "dtype" in way:
                value = value.astype(np.float32)
                if way["dtype"] == "int8":
                    scale = arrays[way["scale"]]
                    value = value * scale.reshape(-1, *[1] * (value.ndim - 1))
            self.write(place, value)
        for flag in self.lasting:
            self.memory.write(self.store, b"\1", flag)

    def state(self):
        return {place["name"]: self.read(place) for place in self.manifest["state"]}

    def save(self, path):
        save_file(self.state(), path)

    def call(self, name, *inputs, **settings):
        """Call a function, by its symbol or name.

        Returns:
            The outputs by name, or the line of the alarm.
        """
        known = self.manifest["functions"]
        (one,) = [x for x in known if name in (x["symbol"], x["name"])]
        given = iter(inputs)
        for place in one["inputs"]:
            if place.get("role") == "hyperparameter":
                value = settings.get(place["name"], place["default"])
            else:
                value = next(given)
            self.write(place, value)
        alarm = self.exports[one["symbol"]](self.store)
        if alarm:
            return one["alarms"][alarm - 1]
        return {place["name"]: self.read(place) for place in one["outputs"]}

"""The rooms `lib.data` and `lib.training` load nothing before it is named."""

import importlib
import subprocess
import sys

import pytest

LIGHT = """
import sys
import lib.data, lib.data.worlds, lib.training
heavy = {"torch", "datasets", "sklearn", "numpy", "safetensors"} & set(sys.modules)
print(sorted(heavy))
"""


def test_rooms_are_light():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("room", ["lib.data", "lib.data.worlds", "lib.training"])
def test_every_promised_name_is_there(room):
    module = importlib.import_module(room)
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match=f"module '{room}' has no attribute 'no'"):
        _ = module.no

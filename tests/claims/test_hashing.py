"""The hash changes with the code that `run` reaches, and with nothing else."""

import itertools
import textwrap

import pytest

from lib.claims.hashing import code_hash

COUNT = itertools.count()
FILES = {
    "__init__.py": "",
    "claims.py": '''
        """What is measured."""
        import math
        from typing import TYPE_CHECKING

        import PACKAGE.tools as tools
        from PACKAGE import world
        from PACKAGE.layers import Block
        from PACKAGE.late import later

        if TYPE_CHECKING:
            from PACKAGE.other import Unrelated

        SIZE = 4

        def run(seed, data):
            """Run it."""
            from PACKAGE.layers import scale as stretch

            # a remark
            text = f"{seed!r:>{SIZE}}"
            return tools.mean(stretch(Block().size), math.pi, world.draw, later, text)

        def unused():
            return 0
        ''',
    "layers/__init__.py": '''
        """Blocks."""
        from PACKAGE.layers.block import Block
        from PACKAGE.layers.other import Other
        from .scaling import scale
        ''',
    "layers/block.py": '''
        """One block."""
        from PACKAGE.layers.base import Base

        class Block(Base):
            """A block."""

            size = 3

        class Neighbour:
            pass
        ''',
    "layers/base.py": """
        class Base:
            def f(self):
                return 1
        """,
    "layers/other.py": "class Other:\n    pass\n",
    "layers/scaling.py": """
        from .base import Base
        from numpy import exp as grow

        TABLE = {}

        def register(f):
            TABLE[f.__name__] = f
            return f

        @register
        def double(x):
            return 2 * x

        TABLE["triple"] = lambda x: 3 * x

        def scale(x):
            return TABLE["double"](grow(x))
        """,
    "tools.py": """
        from math import *

        def mean(*values):
            return values[0]

        def unused():
            return 0
        """,
    "world/__init__.py": "from .cue import draw\n",
    "world/cue.py": "def draw():\n    return 1\n\n\ndef other():\n    return 2\n",
    "late/__init__.py": """
        def __getattr__(name):
            import importlib

            return getattr(importlib.import_module("PACKAGE.late.made"), name)
        """,
    "late/made.py": "def later():\n    return 1\n",
    "other.py": "class Unrelated:\n    pass\n",
}


class Package:
    def __init__(self, folder):
        self.name = f"hashed_{next(COUNT)}"
        self.folder = folder / self.name
        for path, text in FILES.items():
            self.write(path, text)

    def write(self, path, text):
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        text = textwrap.dedent(text).lstrip("\n").replace("PACKAGE", self.name)
        file.write_text(text, encoding="utf-8")

    def change(self, path, old, new):
        text = (self.folder / path).read_text(encoding="utf-8")
        assert old in text
        self.write(path, text.replace(old, new))

    def hash(self):
        return code_hash(f"{self.name}.claims")


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    return Package(tmp_path)


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("claims.py", '"""Run it."""', '"""Run it, and say more."""'),
        ("claims.py", '    """Run it."""\n', ""),
        ("claims.py", "# a remark", "# another"),
        ("claims.py", "SIZE = 4", "SIZE = (\n    4\n)"),
        ("claims.py", "return 0", "return 1"),  # of a function that run does not use
        ("claims.py", '"""What is measured."""', ""),
        ("layers/block.py", '"""A block."""', '"""Another."""'),
        (
            "layers/block.py",
            "class Neighbour:\n    pass",
            "class Neighbour:\n    x = 1",
        ),
        ("layers/other.py", "pass", "x = 1"),
        ("tools.py", "return 0", "return 1"),
        ("world/cue.py", "return 2", "return 3"),
        ("other.py", "pass", "x = 1"),
    ],
)
def test_hash_stays(package, path, old, new):
    before = package.hash()
    package.change(path, old, new)
    assert package.hash() == before


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("claims.py", "SIZE = 4", "SIZE = 5"),
        ("claims.py", "SIZE = 4", 'SIZE = "4"'),
        ("claims.py", "seed, data", "data, seed"),
        ("claims.py", "!r:>", "!s:>"),
        ("claims.py", "import math", "import cmath as math"),
        ("layers/block.py", "size = 3", "size = 4"),
        ("layers/base.py", "return 1", "return -1"),
        ("layers/scaling.py", "grow(x)", "-grow(x)"),
        ("layers/scaling.py", "exp as grow", "log as grow"),
        ("layers/scaling.py", "2 * x", "2.5 * x"),  # registered by a decorator of ours
        ("layers/scaling.py", "3 * x", "4 * x"),  # registered at the top of the module
        ("tools.py", "values[0]", "values[1]"),
        ("world/cue.py", "return 1", "return 3"),
        ("world/__init__.py", "import draw", "import other as draw"),
        ("late/made.py", "return 1", "return 2"),  # not traceable: the whole package
    ],
)
def test_hash_changes(package, path, old, new):
    before = package.hash()
    package.change(path, old, new)
    assert package.hash() != before


def test_moving_a_definition_keeps_the_hash(package):
    before = package.hash()
    package.write("layers/moved.py", FILES["layers/base.py"])
    package.write("layers/base.py", "from .moved import Base\n")
    assert package.hash() == before


def test_star_imports_of_ours_are_followed(package):
    package.change(
        "claims.py",
        "import math\n",
        f"import math\nfrom {package.name}.world.cue import *\n",
    )
    before = package.hash()
    package.change("world/cue.py", "return 2", "return 3")
    assert package.hash() != before


@pytest.mark.parametrize(
    ("module", "name"), [("claims", "walk"), ("nowhere", "run"), ("late", "run")]
)
def test_no_such_function(package, module, name):
    with pytest.raises(ValueError, match=f"this module defines no function `{name}`"):
        code_hash(f"{package.name}.{module}", name)


def test_lib_can_be_hashed():
    first = code_hash("lib.metrics.intervals", "paired_difference")
    assert first == code_hash("lib.metrics.intervals", "paired_difference")
    assert first != code_hash("lib.metrics.intervals", "t_interval")
    assert len(first) == 16

"""What all tests share: the checkout's place, one thread, and fixed random examples."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Set before anything imports torch or NumPy: one thread for each worker.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

# The same examples in every run, and no failure because a machine is busy.
settings.register_profile("book", deadline=None, derandomize=True, database=None)
settings.load_profile("book")


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the top folder of the checkout."""
    return Path(__file__).resolve().parents[1]

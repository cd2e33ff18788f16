"""Let pytest explain the assertions of the shared tests, too."""

import pytest

pytest.register_assert_rewrite("tests.exercises.graders")

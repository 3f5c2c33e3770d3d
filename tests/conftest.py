"""Hypothesis profiles, and the door to the real data sets."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("dev", max_examples=25, deadline=None)
settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """The folder of a real data set inside the folder that MINITOWER_DATA names, or a skip."""

    def folder(name: str) -> Path:
        root = os.environ.get("MINITOWER_DATA")
        if not root:
            pytest.skip(f"MINITOWER_DATA is not set, {name} is needed")
        if not (Path(root) / name).is_dir():
            pytest.skip(f"MINITOWER_DATA has no {name}")
        return Path(root) / name

    return folder

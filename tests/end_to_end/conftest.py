"""The program in forked processes, for tests that break runs."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fault_program import Program, write_pictures


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    dataset = write_pictures(tmp_path_factory.mktemp("pictures"))
    made = Program(tmp_path_factory.mktemp("program"), dataset)
    yield made
    made.close()

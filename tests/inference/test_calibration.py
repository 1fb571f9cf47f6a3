"""What a model file knows about its mistakes: counted by hand, and checked when it is read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_factory import checkpoint_content

from pochitrain.error import ConfigError
from pochitrain.inference.calibration import (
    Calibration,
    describe_mistakes,
    parse_calibration,
    reject_rows,
    set_rows,
)
from pochitrain.inference.classifier import load_classifier

GOOD = Calibration(1.5, 80, ((0.0, 80, 9), (0.7, 60, 2)), ((0.5, 0.9), (0.9, 0.2)))


def test_mistakes_are_counted_from_each_threshold_up() -> None:
    confidence = np.array([0.9, 0.4, 0.8, 0.6])
    rows = reject_rows(confidence, np.array([False, True, False, True]))
    assert rows == [(0.0, 4, 2), (0.6, 3, 1), (0.8, 2, 0), (0.9, 1, 0)]


def test_equal_confidences_are_accepted_together() -> None:
    rows = reject_rows(np.array([0.9, 0.9, 0.9, 0.5]), np.array([True, False, False, True]))
    assert rows == [(0.0, 4, 2), (0.9, 3, 1)]


def test_sets_by_hand() -> None:
    """Nine images: coverage 0.5 is rank ceil(10 * 0.5) = 5, and more than 0.9 is too much."""
    rows = dict(set_rows(np.arange(1, 10) / 10))
    assert rows[0.5] == 0.5
    assert rows[0.505] == 0.4
    assert rows[0.9] == 0.1
    assert max(rows) == 0.9


def test_what_is_written_is_read_again() -> None:
    generator = np.random.default_rng(0)
    chances = generator.dirichlet(np.ones(3), 200)
    known = describe_mistakes(1.25, chances, generator.integers(0, 3, 200))
    assert known.images == 200
    assert parse_calibration(known.content()) == known
    assert parse_calibration(json.loads(json.dumps(known.content()))) == known
    assert parse_calibration(None) is None


HOSTILE: list[tuple[str, Any]] = [
    ("temperature", 0),
    ("temperature", -1.0),
    ("temperature", float("nan")),
    ("temperature", float("inf")),
    ("temperature", 1e300),
    ("temperature", "1"),
    ("temperature", True),
    ("temperature", None),
    ("images", 0),
    ("images", 10**30),
    ("images", 80.0),
    ("reject", None),
    ("reject", "rows"),
    ("reject", [[0.0, 80, 9]] * 1001),
    ("reject", [[0.0, 80]]),
    ("reject", [[float("nan"), 80, 9]]),
    ("reject", [[1.5, 80, 9]]),
    ("reject", [[0.0, 81, 9]]),
    ("reject", [[0.0, 0, 0]]),
    ("reject", [[0.0, 80, -1]]),
    ("reject", [[0.0, 60, 61]]),
    ("reject", [[0.5, 80, 9], [0.5, 60, 2]]),
    ("sets", [[0.5, 2.0]]),
    ("sets", [[0.9, 0.2], [0.5, 0.9]]),
    ("sets", [[0.5]]),
    ("sets", {"0.5": 0.9}),
]


@pytest.mark.parametrize(("key", "value"), HOSTILE)
def test_nonsense_is_refused(key: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"calibration.{key} is not"):
        parse_calibration(GOOD.content() | {key: value})


def test_a_checkpoint_with_nonsense_gets_one_message(make_run: Callable[..., Path]) -> None:
    content = checkpoint_content(["a", "b"]) | {"calibration": [1]}
    with pytest.raises(ConfigError, match=r"incomplete .*calibration is not a mapping"):
        load_classifier(make_run([], content=content))


def test_without_a_calibration_probabilities_are_as_ever(make_run: Callable[..., Path]) -> None:
    import torch

    classifier = load_classifier(make_run(["a", "b"]))
    logits = torch.randn(50, 2)
    assert classifier.calibration is None
    assert torch.equal(classifier.probabilities(logits), torch.softmax(logits.double(), dim=1))


def test_the_temperature_divides_the_logits(make_run: Callable[..., Path]) -> None:
    import torch

    content = checkpoint_content(["a", "b"]) | {"calibration": GOOD.content()}
    classifier = load_classifier(make_run([], content=content))
    assert classifier.calibration == GOOD
    logits = torch.tensor([[3.0, 0.0]])
    chance = 1 / (1 + np.exp(-3.0 / 1.5))
    assert float(classifier.probabilities(logits)[0, 0]) == pytest.approx(chance)

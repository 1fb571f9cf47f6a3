"""docs/troubleshooting.md quotes messages that the code still produces."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from page import ROOT

import pochitrain

TEXT = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
OURS = TEXT[TEXT.index("What pochitrain says:") :]
"""The part about messages of pochitrain; those of pip and uv stand before it."""
QUOTED = re.findall(r"^\| `([^`]+)` \|", OURS, re.MULTILINE)
GAP = "…"


def literals() -> set[str]:
    """The pieces of text in the package: strings, and what stands between `{}` in f-strings."""
    found = set()
    for path in Path(pochitrain.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


LITERALS = literals()
GLUE = re.compile(r" must be |, got |…")
"""Where `require` joins the key, the rule and the value."""


def pieces_of(message: str) -> list[str]:
    """The parts of a message that each stand in one string of the code."""
    return [part.strip(" .'") for part in GLUE.split(message) if len(part.strip(" .'()…")) > 3]


@pytest.mark.parametrize("message", QUOTED)
def test_the_code_has_the_message(message: str) -> None:
    pieces = pieces_of(message)
    assert max(map(len, pieces), default=0) >= 8 or " must be " in message
    for piece in pieces:
        assert any(piece in text for text in LITERALS), piece


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", "scheduler=steplr scheduler.gama=0.5"),
        ("train", "optimizer=lion"),
        ("train", "epochs"),
        ("train", "data=folder"),
        ("train", "optuna=default"),
        ("train", "transform.train=null"),
        ("train", "model.num_classes=3 'loss.class_weights=[1,2]' loss=manual"),
        ("train", "layer_wise_lr.enabled=true"),
        ("train", "optimizer._target_=os.system"),
        ("train", "device=cuda:99"),
        ("train", "monitor=val_f1"),
        ("train", "data=folder data.train_root=nowhere"),
        ("train", "data=folder data.train_root=."),
        ("train", "data=folder data.train_root=. data.val_root=."),
        ("train", "resume=nowhere"),
        ("train", "data=folder data.train_root=. --multirun optuna=default"),
        ("train", "--multirun seed=range(0,0)"),
        ("train", "--multirun optuna=default work_dir=a,b"),
        ("infer", "outputs/nowhere"),
        ("compare", "."),
    ],
)
def test_what_is_provoked_is_quoted(pochi: Callable, command: str, words: str) -> None:
    """A message that a person gets is found by its text, with gaps for what varies."""
    outcome = pochi(*words.replace("'", "").split(), command=command)
    assert outcome.code == 2
    patterns = [".*".join(map(re.escape, message.split(GAP))) for message in QUOTED]
    assert any(re.search(pattern, outcome.err, re.DOTALL) for pattern in patterns), outcome.err

"""Keys, flags and options that sentences and tables of the documentation mention exist."""

import re
from pathlib import Path

import pytest
from page import PAGES, ROOT, prose_of

REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
KEYS = set(re.findall(r"^\| `([\w.]+)` \| .* \| .* \| .* \|", REFERENCE, re.MULTILINE))
ALIASES = set(re.findall(r"^\| `([\w.]+)` \| `[\w.]+` \|$", REFERENCE, re.MULTILINE))
FLAGS = set(re.findall(r"(?<!\S)-{1,2}[a-z][a-z-]*", re.sub(r"[,\[\]]", " ", REFERENCE)))
GROUPS = set(re.findall(r"^## (\w+)$", REFERENCE, re.MULTILINE))
FLAGS_OF_OTHERS = {
    "--extra": "uv",
    "--group": "uv",
    "--prerelease": "uv",
    "--python": "uv",
    "--all-releases": "pip",
    "--only-final": "pip",
    "--pre": "pip",
    "--proxy": "pip",
    "--cert": "pip",
    "--strict": "pochi data check, mkdocs",
    "--head": "ray",
    "--storage": "scripts/kill_search.py",
    "--files": "scripts/benchmark_data.py",
    "--kills": "scripts/soak_resume.py",
    "--logdir": "tensorboard",
    "--photos": "scripts/compare_splits.py",
    "--cache": "scripts/benchmark_train.py",
    "--no-hashes": "uv",
    "--all-extras": "uv",
    "--warmup-prefix": "timm",
    "--gpus-per-task": "srun",
    "--kill-on-bad-exit": "srun",
    "--max-restarts": "torchrun",
    "--nproc-per-node": "torchrun",
    "--ntasks": "srun",
}
NO_KEYS = ("py", "csv", "png", "onnx", "html", "pth", "previous", "TrialPruned", "_target_")
"""Ends of names of files, of a class of Optuna, and what is written instead of a schema."""
PAST = ("CHANGELOG.md", "docs/reference.md")
"""Pages that tell of other versions, or are the measure."""
NEW_PAGES = [page for page in PAGES if page.relative_to(ROOT).as_posix() not in PAST]
IDS = [page.relative_to(ROOT).as_posix() for page in NEW_PAGES]


def spans_of(page: Path) -> list[str]:
    """The code within the sentences of a page."""
    return re.findall(r"`([^`\n]+)`", prose_of(page))


def settings_of(span: str) -> list[str]:
    """Keys that a span of code sets or names: `model.name=x data.seed=0`, `optuna.n_jobs`."""
    words = re.findall(r"(?<![\w./=:{,-])[+~]?([a-z][a-z_]*(?:\.\w+)+)(?=[=\s]|$)", span)
    groups = GROUPS | {"budget", "checkpoint", "fault", "report"}
    keys = [word for word in words if word.partition(".")[0] in groups]
    return [key for key in keys if key.rpartition(".")[2] not in NO_KEYS]


def is_known(key: str) -> bool:
    parents = {name for name in KEYS if key.startswith(f"{name}.")}  # entries of a mapping
    inside = any(name.startswith(f"{key}.") for name in KEYS)
    return key in KEYS | ALIASES or bool(parents) or inside


@pytest.mark.parametrize("page", NEW_PAGES, ids=IDS)
def test_keys_exist(page: Path) -> None:
    unknown = {key for span in spans_of(page) for key in settings_of(span) if not is_known(key)}
    assert not unknown


@pytest.mark.parametrize("page", NEW_PAGES, ids=IDS)
def test_flags_exist(page: Path) -> None:
    found = {
        flag
        for span in spans_of(page)
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*", span)
        if "scripts/" not in span
    }
    assert found <= FLAGS | FLAGS_OF_OTHERS.keys()


def test_a_stale_key_is_noticed() -> None:
    assert settings_of("python train.py data.val_fractions=0.2 seed=1") == ["data.val_fractions"]
    assert not is_known("data.val_fractions")
    assert is_known("metrics.custom.val_cost")
    assert is_known("layer_wise_lr.graph_config.use_log_scale")
    assert "--max-error" in FLAGS and "--max-errors" not in FLAGS

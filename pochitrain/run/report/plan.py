"""What a run did, in a few lines that a person can read."""

from typing import Any

from pochitrain.report.language import Translate
from pochitrain.run.report.run_files import RunFiles

WHERE = ("train_root", "table", "train_shards")
"""Keys of group data that say where the pictures are."""


def describe_plan(run: RunFiles, class_names: list[str], _: Translate) -> list[tuple[str, str]]:
    """Label and text of each line."""
    config, counts = run.config, run.counts
    data, rows = run.group("data"), []
    where = next((str(data[key]) for key in WHERE if data.get(key)), run.choices.get("data", ""))
    rows.append((_("data"), where))
    if counts.get("train"):
        shown = _(
            "{train:,} for training, {val:,} for validation",
            train=sum(counts["train"]),
            val=sum(counts.get("val") or []),
        )
        if counts.get("test"):
            shown += _(", {test:,} for the test", test=sum(counts["test"]))
        rows.append((_("pictures"), shown))
    if class_names:
        rows.append((_("classes"), f"{len(class_names):,}"))
    rows.append((_("model"), describe_model(run, _)))
    rows.append((_("training"), describe_training(run, _)))
    strategy = run.group("strategy").get("name", "scratch")
    if strategy != "scratch":
        rows.append((_("strategy"), str(strategy)))
    rows.append((_("input"), describe_input(run)))
    if run.environment.get("device"):
        rows.append((_("device"), str(run.environment["device"])))
    rows.append((_("seed"), str(config.get("seed"))))
    return [(str(label), str(text)) for label, text in rows if text]


def describe_input(run: RunFiles) -> str:
    """Width and height of what the model gets; empty where the run did not record it.

    Not transform.size, which a transform without a step for it ignores.
    """
    size = run.environment.get("input_size")
    if not isinstance(size, list) or len(size) != 2:
        return ""
    height, width = size
    return f"{width} × {height} px"


def describe_model(run: RunFiles, _: Translate) -> str:
    node = run.group("model")
    name = str(node.get("name") or target_of(node))
    num = run.environment.get("parameters")
    if isinstance(num, int):
        name = f"{name}, " + _("{num:,} parameters", num=num)
    return name


def describe_training(run: RunFiles, _: Translate) -> str:
    config = run.config
    done, wanted = run.epoch, config.get("epochs")
    parts: list[str] = [_("{num} epochs", num=wanted)]
    if done and isinstance(wanted, int) and done < wanted:
        parts = [_("{done} of {num} epochs", done=done, num=wanted)]
    size = run.group("data").get("batch_size") or config.get("batch_size")
    parts.append(_("batches of {size}", size=size))
    optimizer = run.group("optimizer")
    rate = optimizer.get("lr", config.get("learning_rate"))
    shown = f"{rate:g}" if isinstance(rate, (int, float)) else str(rate)
    parts.append(_("{optimizer} at {rate}", optimizer=target_of(optimizer), rate=shown))
    parts.append(target_of(run.group("scheduler")))
    return ", ".join(str(part) for part in parts if part)


def target_of(node: Any) -> str:
    """The class or function that a node builds, without its module."""
    return str(node.get("_target_", "")).rpartition(".")[2]

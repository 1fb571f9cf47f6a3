"""Model files that say nonsense about themselves: one message each, whatever it is."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import onnx
import pytest
from checkpoint_factory import VAL, checkpoint_content

from pochitrain.error import ConfigError
from pochitrain.inference.classifier import METADATA_KEY, load_classifier
from pochitrain.inference.fact import parse_facts, read_size

MakeRun = Callable[..., Path]
Pochi = Callable[..., Any]
SIDE = 32
NONSENSE: list[Any] = [None, -1, 10**30, "${", "${oc.env:X}", "\x1b[2J", [[]], {}]


def nested(depth: int) -> Any:
    tree: Any = []
    for _ in range(depth):
        tree = [tree]
    return tree


@cache
def metadata_text() -> str:
    content = checkpoint_content(["a", "b"])
    keys = ("class_names", "config")
    facts = {key: content[key] for key in keys} | {"transforms": {"val": VAL}, "data": "x"}
    facts["calibration"] = {"temperature": 2, "images": 9, "reject": [[0, 9, 1]], "sets": []}
    return json.dumps(facts)


def metadata() -> dict[str, Any]:
    """What `pochi export` would write; new each time."""
    facts: dict[str, Any] = json.loads(metadata_text())
    return facts


def write_model(
    file: Path,
    facts: Any,
    shape: tuple[Any, ...] = ("n", 3, SIDE, SIDE),
    outputs: int = 2,
    kind: int = onnx.TensorProto.FLOAT,
) -> Path:
    """Means of the first channels as answers; `facts`: an object, or the text itself."""
    ends = [
        onnx.helper.make_tensor_value_info("images", kind, shape),
        onnx.helper.make_tensor_value_info("logits", kind, [shape[0], outputs]),
    ]
    axes = onnx.helper.make_tensor("axes", onnx.TensorProto.INT64, [2], [2, 3])
    first = onnx.helper.make_tensor("first", onnx.TensorProto.INT64, [outputs], range(outputs))
    nodes = [
        onnx.helper.make_node("ReduceMean", ["images", "axes"], ["means"], keepdims=0),
        onnx.helper.make_node("Gather", ["means", "first"], ["logits"], axis=1),
    ]
    graph = onnx.helper.make_graph(nodes, "means", ends[:1], ends[1:], [axes, first])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    model.ir_version = 10  # the newest that every ONNX Runtime we allow can read
    text = facts if isinstance(facts, str) else json.dumps(facts)
    onnx.helper.set_model_props(model, {METADATA_KEY: text})
    onnx.save(model, file)
    return file


def paths(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of every value in a tree, its own included."""
    yield path
    if isinstance(tree, (dict, list)):
        for key in tree if isinstance(tree, dict) else range(len(tree)):
            yield from paths(tree[key], (*path, key))


def changed(path: tuple[Any, ...], value: Any, remove: bool = False) -> Any:
    tree = metadata()
    if not path:
        return value
    node: Any = tree
    for key in path[:-1]:
        node = node[key]
    if remove:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return tree


def test_our_own_model_answers(tmp_path: Path, pochi: Pochi, make_folder: Any) -> None:
    pictures = make_folder(tmp_path / "pictures", {"a": 2, "b": 2})
    file = write_model(tmp_path / "model.onnx", metadata())
    outcome = pochi(str(file), "--data", str(pictures), command="infer", prog="pochi")
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize("path", list(paths(metadata())), ids=str)
def test_any_value_may_be_nonsense(
    tmp_path: Path, pochi: Pochi, make_folder: Any, path: tuple[Any, ...]
) -> None:
    """It is refused in one sentence, or does no harm; it never ends in a stack of calls."""
    pictures = make_folder(tmp_path / "pictures", {"a": 1, "b": 1})
    words = [] if "data" in path else ["--data", str(pictures / "a" / "000.png")]
    trees = [changed(path, value) for value in NONSENSE]
    trees += [changed(path, None, remove=True)] if path else []
    for tree in trees:
        file = write_model(tmp_path / "model.onnx", tree)
        arguments = [str(file), *words, "--num-workers", "0"]
        outcome = pochi(*arguments, command="infer", prog="pochi")
        assert outcome.code in (0, 2)
        assert "\x1b" not in outcome.out + outcome.err
        assert (outcome.code == 0) == (outcome.err == "")


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000 + "]" * 100_000, '{"config":' * 100_000 + "1" + "}" * 100_000, "[", "NaN", ""],
    ids=["lists", "mappings", "cut", "NaN", "empty"],
)
def test_text_that_is_no_metadata(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="holds damaged metadata"):
        load_classifier(write_model(tmp_path / "model.onnx", text))


@pytest.mark.parametrize("key", ["config", "transforms"])
def test_facts_that_are_nested_deep(make_run: MakeRun, tmp_path: Path, key: str) -> None:
    """Deep enough for JSON and the unpickler to read, and for others to fall over."""
    facts = metadata()
    deep = {"data": {}, "x": nested(300)} if key == "config" else {"val": [{"x": nested(300)}]}
    facts[key] = deep
    with pytest.raises(ConfigError, match="nested too deeply"):
        load_classifier(write_model(tmp_path / "model.onnx", facts))
    content = {**checkpoint_content(["a", "b"]), key: facts[key]}
    with pytest.raises(ConfigError, match="nested too deeply"):
        load_classifier(make_run([], content=content))


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": ("n", 3, SIDE)},
        {"shape": ("n", 4, SIDE, SIDE)},
        {"shape": ("n", 3, "h", SIDE)},
        {"outputs": 3},
        {"kind": onnx.TensorProto.DOUBLE},
    ],
    ids=str,
)
def test_a_graph_that_is_no_classifier_of_pictures(tmp_path: Path, changes: dict[str, Any]) -> None:
    file = tmp_path / "model.onnx"
    if len(changes.get("shape", "four")) != 4:
        pytest.importorskip("onnxruntime")
        ends = [onnx.helper.make_tensor_value_info(name, 1, [1]) for name in ("x", "y")]
        node = onnx.helper.make_node("Identity", ["x"], ["y"])
        graph = onnx.helper.make_graph([node], "identity", ends[:1], ends[1:])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
        model.ir_version = 10
        onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(metadata())})
        onnx.save(model, file)
    else:
        write_model(file, metadata(), **changes)
    with pytest.raises(ConfigError, match="must map float32 pictures of shape"):
        load_classifier(file)


def test_sizes() -> None:
    assert parse_facts("[32, 48]") == [32, 48]
    assert read_size([32, 48]) == (32, 48)
    for value in (None, 3, [1], [1, 2, 3], [0, 1], [True, 1], ["1", 2], [1.0, 2], "ab"):
        assert read_size(value) is None

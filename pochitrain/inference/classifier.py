"""Loading a trained classifier from a checkpoint or an exported ONNX file."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from PIL import Image
from torch import Tensor, nn

from pochitrain.config.component import Components
from pochitrain.data.decode import UnreadableImageError
from pochitrain.engine.checkpoint import load_checkpoint
from pochitrain.engine.device import select_device, select_precision
from pochitrain.error import ConfigError, PochiError
from pochitrain.inference.budget import PixelBudget, plan_budget
from pochitrain.inference.calibration import Calibration, parse_calibration
from pochitrain.inference.fact import check_facts, check_graph, parse_facts, read_size
from pochitrain.inference.network import Network, OnnxNetwork, TorchNetwork
from pochitrain.text import first_line
from pochitrain.transform.pipeline import build_pipeline

METADATA_KEY = "pochitrain"
"""Key of an ONNX file's metadata that holds class names, transforms and config as JSON."""


@dataclass
class Classifier:
    """A network with its preprocessing and its class names."""

    network: Network
    class_names: list[str]
    pipeline: Callable[[Image.Image], Tensor]
    """PIL image (RGB) -> float32 tensor, shape (3, H, W)."""
    config: dict[str, Any]
    """Resolved config of the training run."""
    source: Path
    """The file it was loaded from."""
    allow: list[str]
    """Targets that its config may name besides the usual ones."""
    transforms: list[Any]
    """The config nodes of `pipeline`."""
    fingerprint: str | None = None
    """Fingerprint of the dataset of the run (see `data.dataset`)."""
    input_size: tuple[int, int] | None = None
    """Height and width of its input; None = not known."""
    calibration: Calibration | None = None
    """What the model file knows about its own mistakes; None = it is not calibrated."""
    temperature: float = 1.0
    """What its logits still have to be divided by. The graph of an exported model has done it."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """The calibrated probabilities of logits (N, C): float64, (N, C), rows sum to 1."""
        return torch.softmax(logits.double() / self.temperature, dim=1)

    def plan_budget(self, batch_size: int, max_pixels: int | None = None) -> PixelBudget:
        """The limit on pixels in a forward pass (see `inference.budget`)."""
        return plan_budget(self.pipeline, self.input_size, batch_size, max_pixels)

    def prepare(self, image: Image.Image, budget: PixelBudget) -> Tensor:
        """Transform an RGB image into input of the network: float32, shape (3, H, W).

        Raises:
            InputTooLargeError: if it has more pixels than `budget` allows.
            UnreadableImageError: if the transform fails on it.
        """
        budget.require_source(image.size)
        try:
            result = self.pipeline(image)
        except Exception as error:  # steps may be user code
            width, height = image.size
            raise UnreadableImageError(
                f"transform.val fails on {width} x {height} pixels: {first_line(error)}"
            ) from error
        budget.require_pixels(result.shape[-1], result.shape[-2])
        return result

    @property
    def background(self) -> tuple[int, int, int]:
        """Colour behind transparent pixels, as in training: RGB, 0-255."""
        red, green, blue = self.config["data"].get("background", (255, 255, 255))
        return int(red), int(green), int(blue)


def load_classifier(
    path: str | Path,
    device: str | None = None,
    allow: Sequence[str] = (),
    precision: str | None = None,
) -> Classifier:
    """Load a run directory, a checkpoint or an exported ONNX file. Nothing in it is executed.

    Args:
        path: run directory (its best model), `.pth` or `.onnx`.
        device: None = as in training if available, else the first of cuda, mps, cpu.
        allow: your own callables that its transforms or model may name (`mypackage.*`).
        precision: fp32, bf16 or fp16; None = as in training.

    Raises:
        ConfigError: no such file, a file that is damaged or not from pochitrain, or a target that
            is not allowed.
    """
    file = find_model(Path(path))
    if file.suffix.lower() == ".onnx":
        return load_onnx(file, allow)
    content = load_checkpoint(file)
    try:
        config, names = dict(content["config"]), content["class_names"]
        nodes, tensors = content["transforms"]["val"], model_tensors(content)
        check_facts(config, names, nodes)
        calibration = parse_calibration(content.get("calibration"))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"The checkpoint {file} is incomplete ({error!r}).") from error
    parts = Components(OmegaConf.create(config), allow)
    pipeline = load_pipeline(parts, nodes)
    model = build_network(parts, len(names))
    load_state(model, tensors, file)
    target = choose_device(device, config.get("device"))
    channels_last = config.get("channels_last", False)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    model = model.to(target, memory_format=memory_format).eval()  # type: ignore[call-overload]
    chosen = select_precision(precision or config.get("precision", "fp32"), target)
    network = TorchNetwork(model, chosen, memory_format)
    allowed, fingerprint = list(allow), content.get("data")
    size = read_size(content.get("input_size"))
    return Classifier(
        network,
        names,
        pipeline,
        config,
        file,
        allowed,
        list(nodes),
        fingerprint,
        size,
        calibration,
        1.0 if calibration is None else calibration.temperature,
    )


def choose_device(asked: str | None, trained_on: str | None) -> torch.device:
    """`asked`, else the device of the training, else any: the run may come from another machine."""
    if asked is None and trained_on is not None:
        try:
            return select_device(trained_on)
        except ConfigError:
            return select_device(None)
    return select_device(asked)


def build_network(parts: Components, num_classes: int) -> nn.Module:
    """The model of the config, without loading the initial weights of its training."""
    node = dict(OmegaConf.to_container(parts.cfg.model, resolve=True))  # type: ignore[arg-type]
    node["num_classes"] = num_classes
    pretrained = bool(node.get("pretrained")) and not node.get("weights")  # a file counts more
    for start, off in (("pretrained", False), ("weights", None)):
        if start in node:
            node[start] = off
    model: nn.Module = build(parts, "model", node)
    if pretrained and hasattr(model, "transform_input"):
        setattr(
            model, "transform_input", True
        )  # set with the pretrained weights, but not part of the state dict
    return model


def model_tensors(content: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """The weights of the model in a checkpoint."""
    tensors: Mapping[str, Tensor] = content["model"]
    return tensors


def load_state(model: nn.Module, tensors: Mapping[str, Tensor], file: Path) -> None:
    """Load the weights of a checkpoint into its model.

    Raises:
        ConfigError: if they do not fit.
    """
    try:
        model.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise ConfigError(
            f"The checkpoint {file} does not fit its own model ({first_line(error)})."
        ) from error


def load_pipeline(parts: Components, nodes: Sequence[Any]) -> Callable[[Image.Image], Tensor]:
    """Build the validation transform from its nodes: PIL image (RGB) -> tensor (3, H, W)."""
    steps = [build(parts, f"transform.val[{i}]", node) for i, node in enumerate(nodes)]
    pipeline: Callable[[Image.Image], Tensor] = build_pipeline(steps)
    return pipeline


def build(parts: Components, key: str, node: Any) -> Any:
    """Build a node of a checkpoint; errors name the flag `--allow`."""
    try:
        with naming_allow_flag():
            return parts.build(key, node)
    except OmegaConfBaseException as error:  # for example an invalid interpolation
        raise ConfigError(f"{key} cannot be built: {first_line(error)}") from None


@contextmanager
def naming_allow_flag() -> Iterator[None]:
    """Make errors name the flag `--allow` in place of the training option `allow_targets`."""
    try:
        yield
    except ConfigError as error:
        text = re.sub(r"'allow_targets=\[(.*?)\]'", r"--allow '\1'", str(error))
        raise ConfigError(text) from None


def find_model(path: Path) -> Path:
    """The model file at `path`; in a run directory, the best one.

    Raises:
        ConfigError: if there is none.
    """
    if path.is_file():
        return path
    names = ("models/best.pth", "models/last.pth", "best.pth", "last.pth", "model.onnx")
    for name in names:
        if (path / name).is_file():
            return path / name
    seen = "a folder without models/best.pth" if path.is_dir() else "which is not there"
    raise ConfigError(
        f"RUN must be a run directory, a checkpoint (.pth) or an exported model (.onnx), "
        f"got {str(path)!r}, {seen}."
    )


def load_onnx(file: Path, allow: Sequence[str] = ()) -> Classifier:
    """Load a model that `pochi export` wrote.

    Raises:
        ConfigError: if it is not a file of `pochi export`, or a target is not allowed.
        PochiError: if ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise PochiError(
            f"Loading ONNX files needs onnxruntime ({error}): pip install 'pochitrain[onnx]'."
        ) from error
    try:
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    except Exception as error:  # the error classes are those of a C extension
        raise ConfigError(
            f"{file} cannot be read as an ONNX model ({first_line(error)})."
        ) from error
    stored = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if stored is None:
        raise ConfigError(
            f"{file} holds no class names and transforms. Export it with `pochi export RUN`."
        )
    try:
        metadata = parse_facts(stored)
        config, names, nodes = (
            metadata["config"],
            metadata["class_names"],
            metadata["transforms"]["val"],
        )
        check_facts(config, names, nodes)
        calibration = parse_calibration(metadata.get("calibration"))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file} holds damaged metadata ({error!r}).") from error
    parts = Components(OmegaConf.create(config), allow)
    pipeline = load_pipeline(parts, nodes)
    size = check_graph(session, file, len(names))
    return Classifier(
        OnnxNetwork(session),
        names,
        pipeline,
        config,
        file,
        list(allow),
        nodes,
        metadata.get("data"),
        size,
        calibration,
    )

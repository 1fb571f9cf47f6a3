"""Writes a network as an ONNX file with torch.export (no TorchScript)."""

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pochitrain.error import ConfigError, PochiError
from pochitrain.text import first_line

INPUT, OUTPUT = "images", "logits"
"""Names in the graph: float32 (B, 3, H, W) and float32 (B, C)."""

MIN_OPSET = 18
"""Oldest operator set that the exporter writes itself; older ones are converted if possible."""

MAX_BYTES = 2_000_000_000
"""Largest protobuf message; more weights would need a second file."""


def write_onnx(
    model: nn.Module,
    example: Tensor,
    path: Path,
    metadata: Mapping[str, str],
    *,
    opset: int | None = None,
    dynamic_batch: bool = False,
) -> int:
    """Export `model`. It is moved to the CPU, to float32 and to evaluation mode.

    Args:
        example: input for tracing, float32, shape (1, 3, H, W).
        path: the file to write. Not atomic: the caller renames it after checking it.
        metadata: key -> text, stored in the file.
        opset: ONNX operator set; None = the exporter's choice.
        dynamic_batch: accept any number of images at once instead of exactly one.

    Returns:
        The operator set of the file.

    Raises:
        PochiError: a package is missing, or the network cannot be expressed in ONNX.
        ConfigError: the network cannot be written with this operator set.
    """
    require_packages()
    model = model.float().cpu().eval().to(memory_format=torch.contiguous_format)
    if dynamic_batch:
        # torch.export treats a dimension of size 1 as a constant.
        example = torch.cat([example, example])
    shapes = ({0: torch.export.Dim("batch", min=1)},) if dynamic_batch else None
    program = trace(model, example.contiguous(), shapes, opset)
    program.model.metadata_props.update(metadata)
    size = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    if size > MAX_BYTES:
        raise PochiError(
            f"The model has {size / 1e9:.1f} GB of weights; one ONNX file holds at most 2 GB."
        )
    with quiet():
        program.save(str(path), external_data=False)
    return int(program.model.opset_imports[""])


def trace(model: nn.Module, example: Tensor, shapes: Any, opset: int | None) -> Any:
    """The exported program (torch.onnx.ONNXProgram).

    Args:
        shapes: dynamic dimensions, as torch.onnx.export takes them; None = all fixed.

    Raises:
        PochiError: the network cannot be expressed in ONNX.
        ConfigError: it was written with another operator set than `opset`.
    """
    try:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=opset,
                dynamic_shapes=shapes,
                verbose=False,
            )
    except Exception as error:  # torch.onnx, torch.export and onnxscript have unrelated error types
        raise PochiError(f"The model cannot be written as ONNX ({first_line(error)}).") from error
    assert program is not None
    written = int(program.model.opset_imports[""])
    if opset is not None and written != opset:
        raise ConfigError(
            f"--opset must be one that this model can be written in, got {opset}. "
            f"The exporter wrote {written}: use --opset {written} or leave it out."
        )
    return program


def require_packages() -> None:
    """Check that the packages for exporting are installed.

    Raises:
        PochiError: saying how to install them.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise PochiError(
            f"Exporting needs {error.name}: pip install 'pochitrain[onnx]'."
        ) from error


@contextlib.contextmanager
def quiet() -> Any:
    """Silence stdout, loggers and warnings, where the exporter reports its progress.

    Errors are raised, so they are not lost.
    """
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)

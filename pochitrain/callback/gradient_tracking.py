"""gradient_trace.csv: the gradient norm of each layer per epoch."""

import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pochitrain.atomic import write_text
from pochitrain.engine.callback import Callback
from pochitrain.engine.state import TrainState
from pochitrain.error import ConfigError
from pochitrain.text import format_csv

AGGREGATE: dict[str, Callable[[Sequence[float]], float]] = {
    "median": statistics.median,
    "mean": statistics.fmean,
    "max": max,
    "rms": lambda values: statistics.fmean(value * value for value in values) ** 0.5,
}


class GradientTracking(Callback):
    """Mean L2 norm of each parameter's gradient over all optimizer steps of an epoch.

    Measured unscaled and before clipping. The sums stay on the device until the epoch ends, so that
    training does not wait for the GPU.
    """

    def __init__(
        self,
        path: Path,
        model: nn.Module,
        block_of: Mapping[str, str],
        *,
        record_frequency: int,
        exclude_patterns: Sequence[str],
        group_by_block: bool,
        aggregation_method: str,
    ) -> None:
        """Track `model`; `path` is the CSV file.

        Args:
            block_of: parameter name -> block.
            record_frequency: record epochs n, 2n, ... (1-based).
            exclude_patterns: regular expressions; parameters whose name contains a match are left
                out.
            group_by_block: one column per block, else one per parameter.
            aggregation_method: how the norms in a block become one number: median, mean, max, rms.

        Raises:
            ConfigError: if the patterns exclude every parameter.
        """
        tracked = [
            (name, parameter)
            for name, parameter in model.named_parameters()
            if not any(re.search(pattern, name) for pattern in exclude_patterns)
        ]
        if not tracked:
            raise ConfigError(
                "gradient_tracking.exclude_patterns must leave at least one parameter, got "
                f"{list(exclude_patterns)!r}, which leaves none."
            )
        self.path = path
        self.names = [name for name, _ in tracked]
        self.parameters = [parameter for _, parameter in tracked]
        self.columns = [block_of[name] if group_by_block else name for name in self.names]
        self.record_frequency = record_frequency
        self.aggregate = AGGREGATE[aggregation_method]
        device = self.parameters[0].device
        dtype = torch.float32 if device.type == "mps" else torch.float64
        # Row 0: sums of norms, row 1: number of steps; a column per parameter.
        self.sums_2P = torch.zeros(2, len(tracked), dtype=dtype, device=device)
        self.rows: list[list[float]] = []

    def on_fit_start(self, state: TrainState) -> None:
        if self.rows:  # resumed: the file may be ahead of the checkpoint, or gone
            write_text(self.path, self.format_rows())

    def on_epoch_start(self, state: TrainState) -> None:
        if state.batch == 0:  # not if an epoch is resumed in the middle
            self.sums_2P.zero_()

    @torch.no_grad()
    def on_gradients(self, state: TrainState) -> None:
        if (state.epoch + 1) % self.record_frequency:
            return
        there = [i for i, parameter in enumerate(self.parameters) if parameter.grad is not None]
        if not there:
            return
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        # One launch for all tensors on a GPU; torch.nn.utils.get_total_norm builds on the same.
        norms = torch.stack(torch._foreach_norm(gradients)).to(self.sums_2P.dtype)
        step = torch.stack([norms, torch.ones_like(norms)])
        if (
            state.scaler.is_enabled()
        ):  # the scaler skips steps that overflowed, so they are not counted
            step = torch.where(norms.isfinite().all(), step, 0)
        if len(there) == len(self.parameters):
            self.sums_2P += step
        else:  # frozen parameters have no gradient
            index = torch.tensor(there).to(self.sums_2P.device, non_blocking=True)
            self.sums_2P.index_add_(1, index, step)

    def on_epoch_end(self, state: TrainState) -> None:
        if state.epoch % self.record_frequency:
            return
        sums, steps = self.sums_2P.tolist()
        norms: dict[str, list[float]] = {column: [] for column in self.columns}
        for column, total, count in zip(self.columns, sums, steps, strict=True):
            if count:
                norms[column].append(total / count)
        row = [self.aggregate(v) if v else float("nan") for v in norms.values()]
        self.rows.append([state.epoch, *row])
        write_text(self.path, self.format_rows())

    def format_rows(self) -> str:
        """CSV text. The cell of a layer without gradient in an epoch (frozen) is empty."""
        rows = (
            [int(epoch), *(None if math.isnan(value) else value for value in values)]
            for epoch, *values in self.rows
        )
        return format_csv(["epoch", *dict.fromkeys(self.columns)], rows)

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self.sums_2P.cpu().clone(), "rows": list(self.rows)}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.sums_2P.copy_(saved["sums"])
        self.rows = [list(row) for row in saved["rows"]]

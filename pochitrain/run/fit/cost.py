"""What the work on a picture costs on this machine, for the models that may be chosen."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from omegaconf import DictConfig

from pochitrain.config.component import Components
from pochitrain.data.dataset import DataSplits
from pochitrain.engine.device import Precision
from pochitrain.error import ConfigError
from pochitrain.run.build import build_model, build_parts, build_pipelines
from pochitrain.run.fit.measure import BATCH, time_forward, time_loading, time_training
from pochitrain.run.fit.plan import SMALL_PX, Costs, Work, pretrained_sizes, scratch_size
from pochitrain.run.resolve import resolve_auto
from pochitrain.text import first_line


class Compose(Protocol):
    """Gives the config of some overrides."""

    def __call__(self, planned: Sequence[str], /) -> DictConfig: ...


class CostMeasurement:
    """Measures, in a few seconds, what a picture costs at each size."""

    def __init__(
        self,
        compose: Compose,
        backbone: list[str] | None,
        data: DataSplits,
        precision: Precision,
        typed_px: int | None,
    ) -> None:
        """Prepare.

        Args:
            backbone: overrides that select the pretrained model; None without one.
            typed_px: the only size to consider, if it was typed.
        """
        self.compose = compose
        self.backbone = backbone
        self.data = data
        self.precision = precision
        self.typed_px = typed_px

    def costs(self, work: Work) -> Costs:
        forward: dict[int, float] = {}
        finetune: dict[int, float] = {}
        if self.backbone is not None:
            compute = self.forward(self.backbone, work)
            middle = sorted(compute)[len(compute) // 2]
            trained = self.training(["strategy=finetune", *self.backbone], middle)
            ratio = max(trained / compute[middle], 1.0)
            load = self.loading(["strategy=probe", *self.backbone], middle)
            finetune = self.add(load, {px: ratio * seconds for px, seconds in compute.items()})
            forward = self.add(load, compute)
        scratch: dict[int, float] = {}
        if self.backbone is None or work.side_px <= SMALL_PX:
            px = self.typed_px or scratch_size(work)
            seconds = self.training(["strategy=scratch", "model=resnet18"], px)
            scratch = self.add(self.loading(["strategy=scratch"], px), {px: seconds})
        return Costs(forward, finetune, scratch)

    def forward(self, backbone: list[str], work: Work) -> dict[int, float]:
        sizes = [self.typed_px] if self.typed_px else pretrained_sizes(work)
        parts = Components(self.compose(["strategy=scratch", *backbone]))
        model = build_model(parts, self.data, self.precision.device)
        found, reason = {}, ""
        for px in sizes:
            try:
                found[px] = time_forward(model, px, self.precision)
            except Exception as error:  # many kinds: it does not take every size
                reason = first_line(error)
        if not found:
            raise ConfigError(
                f"model must take pictures of {' or '.join(map(str, sizes))} px here, got one that "
                f"does not ({reason}). Type the size that it takes: transform.size=224."
            )
        return found

    def training(self, words: Sequence[str], size_px: int) -> float:
        small = ["data.num_workers=0", f"batch_size={BATCH}"]
        cfg = self.compose([*words, f"transform.size={size_px}", "transform.fit=crop", *small])
        return time_training(cfg, build_parts(cfg, self.precision, self.data))

    def loading(self, words: Sequence[str], size_px: int) -> float:
        cfg = self.compose([*words, f"transform.size={size_px}"])
        resolve_auto(cfg, self.data)
        pipelines, _ = build_pipelines(Components(cfg))
        return time_loading(self.data.train, pipelines["val"])

    def add(self, load_s: float, compute_s: Mapping[int, float]) -> dict[int, float]:
        """On a CPU both use the same cores; beside a GPU, loading goes on meanwhile."""
        both = self.precision.device.type == "cpu"
        return {px: s + load_s if both else max(s, load_s) for px, s in compute_s.items()}

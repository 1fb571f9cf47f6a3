"""What the work on a picture costs on this machine, for the models that may be chosen."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from omegaconf import DictConfig

from pochitrain.config.component import Components
from pochitrain.data.cache_plan import CacheSettings, divide, is_kept
from pochitrain.data.dataset import DataSplits
from pochitrain.data.loader import choose_num_workers
from pochitrain.engine.device import Precision
from pochitrain.error import ConfigError
from pochitrain.run.build import build_model, build_parts, build_pipelines
from pochitrain.run.fit.measure import (
    BATCH,
    Loading,
    time_forward,
    time_loading,
    time_training,
)
from pochitrain.run.fit.plan import (
    SMALL_PX,
    Costs,
    Work,
    pretrained_sizes,
    reduce_to,
    scratch_size,
)
from pochitrain.run.resolve import resolve_auto
from pochitrain.text import first_line
from pochitrain.threads import num_cores
from pochitrain.transform.prefix import join_steps

SCRATCH_BATCH = 32
"""That of training: with small pictures, much of a step takes as long for a smaller batch."""


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
        self.num_workers = 0
        self.words: list[str] = []
        """Overrides of the loader that suit every run of the plan."""

    def costs(self, work: Work) -> Costs:
        forward: dict[int, float] = {}
        finetune: dict[int, float] = {}
        evaluate: dict[int, float] | None = None
        once_s = 0.0
        if self.backbone is not None:
            compute = self.forward(self.backbone, work)
            middle = sorted(compute)[len(compute) // 2]
            trained = self.training(["strategy=finetune", *self.backbone], middle)
            ratio = max(trained / compute[middle], 1.0)
            load = self.loading(["strategy=probe", *self.backbone], middle, "val")
            self.choose_num_workers(load.total_s, compute[middle])
            forward = self.add(load.total_s, compute)
            evaluate = self.add(load.again_s, compute)
            words = ["strategy=finetune", *self.backbone, *reduction(work, middle)]
            load = self.loading(words, middle, "train")
            once_s = self.alone(load.once_s)
            finetune = self.add(load.again_s, {px: ratio * s for px, s in compute.items()})
        scratch: dict[int, float] = {}
        if self.backbone is None or work.side_px <= SMALL_PX:
            px = self.typed_px or scratch_size(work)
            words = ["strategy=scratch", "model=resnet18"]
            seconds = self.training(words, px, SCRATCH_BATCH)
            words = ["strategy=scratch", *reduction(work, px)]
            load = self.loading(words, px, "train")
            if self.backbone is None:
                self.choose_num_workers(load.once_s, seconds)
                once_s = self.alone(load.once_s)
            scratch = self.add(load.again_s, {px: seconds})
        return Costs(forward, finetune, scratch, evaluate, once_s)

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

    def training(self, words: Sequence[str], size_px: int, batch_size: int = BATCH) -> float:
        small = ["data.num_workers=0", f"batch_size={batch_size}"]
        cfg = self.compose([*words, f"transform.size={size_px}", "transform.fit=crop", *small])
        return time_training(cfg, build_parts(cfg, self.precision, self.data))

    def loading(self, words: Sequence[str], size_px: int, split: str) -> Loading:
        """What it takes in one process; all of it in every epoch where nothing can be kept."""
        cfg = self.compose([*words, f"transform.size={size_px}"])
        resolve_auto(cfg, self.data)
        parts = Components(cfg)
        pipelines, _ = build_pipelines(parts)
        node = parts.loader_settings()
        settings = CacheSettings(str(node["cache"]), node["cache_gb"], node["cache_px"])
        dataset = self.data.train
        steps, rest, reduced = divide(dataset, pipelines[split], settings.px)
        found = time_loading(len(dataset), reduced or dataset.load, join_steps(steps), rest)
        return found if is_kept(dataset, steps, settings) else Loading(0.0, found.total_s)

    def choose_num_workers(self, load_s: float, compute_s: float) -> None:
        """Take more loader processes than the default where loading takes longer than computing."""
        cfg = self.compose(["strategy=scratch"])
        device = self.precision.device
        typed = cfg.data.get("num_workers")
        self.num_workers = choose_num_workers(self.data.train, device) if typed is None else typed
        is_free = typed is None and not self.data.train.in_memory and num_cores() > 1
        if is_free and self.num_workers == 0 and load_s > compute_s:
            self.num_workers = num_cores()
            self.words = [f"data.num_workers={self.num_workers}"]

    def alone(self, load_s: float) -> float:
        """Seconds for loading a picture while nothing is computed."""
        return load_s / min(max(self.num_workers, 1), num_cores())

    def add(self, load_s: float, compute_s: Mapping[int, float]) -> dict[int, float]:
        """Seconds per picture for both: in turns, or on the same cores, or beside a GPU."""
        if self.num_workers == 0:
            return {px: s + load_s for px, s in compute_s.items()}
        wait_s = self.alone(load_s)
        if self.precision.device.type != "cpu":
            return {px: max(s, wait_s) for px, s in compute_s.items()}
        return {px: max(s + load_s / num_cores(), wait_s) for px, s in compute_s.items()}


def reduction(work: Work, size_px: int) -> list[str]:
    """The override that reduces large pictures before a random crop."""
    px = reduce_to(work.side_px, size_px)
    return [] if px is None else [f"data.cache_px={px}"]

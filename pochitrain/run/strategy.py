"""Group `strategy` in a training run: features, and the last layer that is fitted to them."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from pochitrain.config.component import Components, plain
from pochitrain.config.strategy import CHOSEN_BY_RUN, PROBE, PROBE_FINETUNE, strategy_name
from pochitrain.config.transform_step import complete_steps
from pochitrain.console import PrintableConsole
from pochitrain.data.cache_plan import locate
from pochitrain.data.dataset import ImageDataset, weights_of
from pochitrain.data.feature_loader import build_feature_loader, place_views
from pochitrain.data.features import Features
from pochitrain.data.loader import EpochLoader
from pochitrain.data.sampler import EpochBatches
from pochitrain.engine.interrupt import StopRequest, stop_on_signal
from pochitrain.model.head import SplitModel
from pochitrain.run.build import RunParts, build_in_order
from pochitrain.run.directory import save_config
from pochitrain.run.end import report_end
from pochitrain.run.feature_key import depends_on_seed, describe_dependencies, uses_own_code
from pochitrain.run.optimization import build_optimization, group_parameters
from pochitrain.run.rates import fill_rates, find_grid, with_placeholders
from pochitrain.strategy.cross_validation import choose_rates
from pochitrain.strategy.feature_pass import FeaturePass
from pochitrain.strategy.head_fit import HeadTraining, Rates, fit_heads

HEAD_BATCH = 128
"""Images per step where probe_finetune fits the last layer."""


def apply_strategy(
    cfg: DictConfig,
    parts: RunParts,
    folder: Path,
    console: PrintableConsole,
    request: StopRequest,
    is_resumed: bool,
) -> bool:
    """Do what the strategy does before epoch 1; nothing for scratch and finetune.

    strategy=probe: `parts` then train the last layer on features, and `cfg` has its rates.
    strategy=probe_finetune: the last layer is fitted, unless the run is resumed.

    Args:
        is_resumed: whether a checkpoint will be loaded.

    Returns:
        Whether config.yaml has been written and is still as `cfg`.

    Raises:
        Interrupted: when asked to stop.
    """
    name = strategy_name(cfg)
    if parts.backbone is None or (name == PROBE_FINETUNE and is_resumed):
        return False
    before = chosen_values(cfg)
    with report_end(folder, cfg, parts.state, request), stop_on_signal(request):
        save_config(folder, cfg)
        prepare_parts(cfg, parts, console, request)
    return before == chosen_values(cfg)


def chosen_values(cfg: DictConfig) -> list[float | None]:
    """What the config has for the keys that a run may choose."""
    return [OmegaConf.select(cfg, ".".join(path)) for path in CHOSEN_BY_RUN]


def prepare_parts(
    cfg: DictConfig, parts: RunParts, console: PrintableConsole, request: StopRequest
) -> None:
    """What `apply_strategy` does to a run that begins, without its files.

    Raises:
        Interrupted: when asked to stop.
    """
    if parts.backbone is None:
        return
    features = Preparation(cfg, parts, parts.backbone, console, request)
    if strategy_name(cfg) == PROBE:
        features.probe()
    else:
        features.fit_first()


class Preparation:
    """The features of a run, and what is done with them before it begins."""

    def __init__(
        self,
        cfg: DictConfig,
        parts: RunParts,
        backbone: SplitModel,
        console: PrintableConsole,
        request: StopRequest,
    ) -> None:
        self.cfg = cfg
        self.parts = parts
        self.backbone = backbone
        self.console = console
        kept = str(cfg.data.get("cache", "off")) not in ("off", "False")
        kept = kept and not uses_own_code(cfg, backbone.model)
        limit = int(cfg.data.get("cache_gb", 0.0) * 1e9) if kept else None
        self.bases: dict[int, Features] = {}
        """id of a set of files -> features of all its images."""
        self.passes = FeaturePass(
            backbone,
            parts.precision,
            request,
            limit,
            describe_dependencies(cfg, parts.precision.device),
        )

    def probe(self) -> None:
        """Replace loaders and optimizer by those of the last layer."""
        cfg, parts = self.cfg, self.parts
        views = self.training_views()
        val = None if parts.data.val is None else self.compute(parts.data.val, "val", 0)
        self.print_features([*views, *([val] if val else [])])
        settings = parts.components.loader_settings()
        batch_size = settings["batch_size"]
        labels = parts.train_loader.batches.labels.numpy()
        batches = EpochBatches(
            labels,
            batch_size,
            seed=cfg.seed,
            shuffle=True,
            balanced=settings["balanced_sampling"],
        )
        images = parts.train_loader
        parts.train_loader = build_feature_loader(images, batches, list(map(as_tensor, views)))
        if val is not None and parts.val_loader is not None:
            labels = parts.val_loader.batches.labels.numpy()
            batches = EpochBatches(labels, batch_size, seed=cfg.seed, shuffle=False)
            parts.val_loader = build_feature_loader(parts.val_loader, batches, [as_tensor(val)])
        self.set_rates(parts.train_loader.views)

    def set_rates(self, views: Sequence[Tensor]) -> None:
        """Choose the rates if they are not given, and build optimizer and scheduler with them."""
        cfg, parts = self.cfg, self.parts
        if cfg.optimizer.get("lr") is not None:
            return
        trial = Components(with_placeholders(cfg), parts.components.allowed)
        training = HeadTraining(
            views,
            parts.train_loader.batches.labels,
            parts.criterion,
            lambda groups: build_optimization(trial, groups),
            cfg.epochs,
            parts.train_loader.batches.batch_size,
            cfg.seed,
            parts.train_loader.batches.balanced,
            head_values(self.backbone),
            not cfg.layer_wise_lr.no_weight_decay_on_bias_and_norm,
            self.sample_weights(),
            parts.data.train_groups,
        )
        target, decay = str(cfg.optimizer["_target_"]), cfg.optimizer.get("weight_decay")
        fill_rates(cfg, self.choose(training, target, decay))
        state = parts.state
        groups = group_parameters(cfg, state.model)
        state.optimizer, state.scheduler = build_optimization(parts.components, groups)

    def fit_first(self) -> None:
        """Fit the last layer to the features of the training images."""
        cfg, parts, node = self.cfg, self.parts, self.cfg.strategy
        views = self.training_views()
        self.print_features(views)
        training = HeadTraining(
            place_views(list(map(as_tensor, views)), parts.precision.device),
            parts.train_loader.batches.labels,
            parts.criterion,
            lambda groups: build_default(groups, node.head_epochs),
            node.head_epochs,
            HEAD_BATCH,
            cfg.seed,
            parts.train_loader.batches.balanced,
            head_values(self.backbone),
            decay_bias=True,
            sample_weights=self.sample_weights(),
            groups=parts.data.train_groups,
        )
        if node.head_lr is None:
            rates = self.choose(training, "torch.optim.AdamW", node.head_weight_decay)
        else:
            decay = node.head_weight_decay
            rates = Rates(node.head_lr, 0.01 if decay is None else decay)
        node.head_lr, node.head_weight_decay = rates.lr, rates.weight_decay
        start = time.perf_counter()
        heads = fit_heads(training, [torch.arange(len(training.labels))], [rates])
        layer = self.backbone.layer
        with torch.no_grad():
            layer.weight.copy_(heads.weight[0, 0])
            if layer.bias is not None:
                layer.bias.copy_(heads.bias[0, 0])
        seconds = time.perf_counter() - start
        self.console.print(
            f"Last layer fitted in {node.head_epochs} epochs ({seconds:.1f} s); now all layers.",
            highlight=False,
        )

    def sample_weights(self) -> Tensor | None:
        weights = weights_of(self.parts.data.train)
        return None if weights is None else torch.from_numpy(weights)

    def choose(self, training: HeadTraining, target: str, decay: float | None) -> Rates:
        """Rate and weight decay by cross-validation, printed."""
        parts = self.parts
        start = time.perf_counter()
        lrs, decays = find_grid(target)
        rates = choose_rates(
            training,
            lrs,
            decays if decay is None else [decay],
            parts.state.monitor,
            parts.metrics,
            len(parts.data.class_names),
        )
        seconds = time.perf_counter() - start
        self.console.print(
            f"Last layer: learning rate {rates.lr:g}, weight decay {rates.weight_decay:g}, chosen "
            f"by cross-validation on the training pictures ({seconds:.1f} s)",
            highlight=False,
        )
        return rates

    def training_views(self) -> list[Features]:
        """The features of the training images, for each view."""
        num_views = self.cfg.strategy.views
        data = self.parts.data.train
        if num_views == 0:
            return [self.compute(data, "val", 0)]
        return [self.compute(data, "train", view) for view in range(num_views)]

    def compute(self, dataset: ImageDataset, transform: str, view: int) -> Features:
        """The features of a split.

        Args:
            transform: `train` or `val`.
        """
        cfg, parts = self.cfg, self.parts
        if transform == "val":
            base, positions = locate(dataset)
            if base is not None and positions is not None:
                return select(self.compute_base(base), positions)
        images = self.image_loader(dataset, transform)
        which = "validation" if dataset is parts.data.val else "training"
        if transform == "train" and cfg.strategy.views > 1:
            which += f" view {view + 1} of {cfg.strategy.views}"
        try:
            return self.passes.run(
                images, self.describe_transform(transform), view, f"Computing features ({which})"
            )
        finally:
            images.close()

    def describe_transform(self, transform: str) -> str:
        """The steps of a transform, and on what their random draws depend."""
        cfg = self.cfg
        steps = complete_steps(plain(cfg.transform), transform, plain(cfg.mean))
        nodes = [node for _, node in steps]
        random = depends_on_seed(nodes)
        return json.dumps([nodes, *([cfg.seed, cfg.data.get("cache_px")] if random else [])])

    def compute_base(self, base: ImageDataset) -> Features:
        """The features of all images that splits are made of, whatever the split.

        Another seed, fraction or fold then finds them in the cache.
        """
        if id(base) not in self.bases:
            parts = self.parts
            images = build_in_order(
                parts.components, base, parts.pipelines, "val", parts.precision.device
            )
            described = self.describe_transform("val")
            try:
                self.bases[id(base)] = self.passes.run(images, described, 0, "Computing features")
            finally:
                images.close()
        return self.bases[id(base)]

    def image_loader(self, dataset: ImageDataset, transform: str) -> EpochLoader:
        """The pictures of a split in order, as the backbone gets them."""
        parts = self.parts
        if strategy_name(self.cfg) == PROBE:
            loader = parts.val_loader if dataset is parts.data.val else parts.train_loader
            assert loader is not None
            return loader
        return build_in_order(
            parts.components, dataset, parts.pipelines, transform, parts.precision.device
        )

    def print_features(self, found: Sequence[Features]) -> None:
        rows = sum(len(features.rows) for features in found)
        reused = sum(features.num_reused for features in found)
        kept = "kept for later runs" if all(f.is_kept for f in found) else "in memory"
        source = f"{reused:,} from the cache" if reused else f"computed, {kept}"
        columns = found[0].rows.shape[1]
        self.console.print(f"Features: {rows:,} x {columns:,}, {source}", highlight=False)


def select(features: Features, positions: NDArray[np.int64]) -> Features:
    """The features of some images."""
    num_reused = int((positions < features.num_reused).sum())
    return Features(features.rows[positions], num_reused, features.is_kept)


def as_tensor(features: Features) -> Tensor:
    return torch.from_numpy(features.rows)


def head_values(backbone: SplitModel) -> tuple[Tensor, Tensor]:
    """Weight and bias of the last layer, as they are."""
    layer = backbone.layer
    bias = layer.bias if layer.bias is not None else layer.weight.new_zeros(layer.out_features)
    return layer.weight.detach(), bias.detach()


def build_default(groups: list[dict[str, Any]], epochs: int) -> tuple[Any, Any]:
    """AdamW along a cosine, as strategy=probe has by default."""
    optimizer = torch.optim.AdamW(groups)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)

"""Suspicious labels: features of a pretrained backbone, and what others of the class look like."""

import json

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from pochitrain.check.finding import Finding
from pochitrain.check.label import find_suspects
from pochitrain.check.out_of_fold import predict_out_of_fold
from pochitrain.check.pictures import Pictures
from pochitrain.config.component import Components, plain
from pochitrain.config.transform_step import complete_steps
from pochitrain.console import PrintableConsole
from pochitrain.data.cache_plan import locate
from pochitrain.data.dataset import DataSplits, ImageDataset, Subset
from pochitrain.engine.device import select_device, select_precision
from pochitrain.engine.interrupt import StopRequest
from pochitrain.model.head import split_head
from pochitrain.run.build import build_in_order, build_model, build_pipelines
from pochitrain.run.feature_key import describe_dependencies, uses_own_code
from pochitrain.run.resolve import resolve_auto
from pochitrain.strategy.feature_pass import FeaturePass

FEW_PICTURES, PX_OF_FEW, PX_OF_MANY = 5000, 128, 64
"""Side in pixels of what the backbone gets, where transform.size is not given: of up to so many
pictures, and of more. With 128 px more wrong labels are found, in about three times the time.
"""
FEWEST = 4
"""Pictures of a class without which nothing can be said about its labels."""


def judge_labels(
    cfg: DictConfig, pictures: Pictures, readable: list[int], console: PrintableConsole
) -> tuple[list[Finding], str]:
    """Suspicious labels, and a note on what could not be judged.

    Args:
        readable: positions of the pictures that can be read.
    """
    counts = np.bincount(pictures.labels[readable], minlength=len(pictures.class_names))
    judged = [i for i in readable if counts[pictures.labels[i]] >= FEWEST]
    if len({int(pictures.labels[i]) for i in judged}) < 2:
        return [], f"Labels are not judged: that takes two classes of {FEWEST} pictures or more."
    features = compute_features(cfg, pictures, judged)
    chances = predict_out_of_fold(
        features, pictures.labels[judged], len(pictures.class_names), cfg.seed
    )
    return find_suspects(pictures, judged, chances), ""


def compute_features(cfg: DictConfig, pictures: Pictures, chosen: list[int]) -> NDArray[np.float32]:
    """The output of the backbone for the pictures at `chosen`, shape (N, D)."""
    device = select_device(cfg.device)
    sides = [
        [i for i in chosen if i < pictures.num_train],
        [i - pictures.num_train for i in chosen if i >= pictures.num_train],
    ]
    datasets = [
        take(side, positions)
        for side, positions in zip(pictures.sides, sides, strict=False)
        if positions
    ]
    data = DataSplits(datasets[0], None, pictures.class_names, [])
    if cfg.transform.get("size") == "auto":
        cfg.transform.size = PX_OF_FEW if len(chosen) <= FEW_PICTURES else PX_OF_MANY
    resolve_auto(cfg, data)
    parts = Components(cfg)
    precision = select_precision(cfg.precision, device)
    pipelines, _ = build_pipelines(parts)
    backbone = split_head(build_model(parts, data, device))
    kept = str(cfg.data.get("cache", "off")) not in ("off", "False")
    kept = kept and not uses_own_code(cfg, backbone.model)
    passes = FeaturePass(
        backbone,
        precision,
        StopRequest(),
        int(cfg.data.get("cache_gb", 0.0) * 1e9) if kept else None,
        describe_dependencies(cfg, device),
    )
    steps = complete_steps(plain(cfg.transform), "val", plain(cfg.mean))
    described = json.dumps([[node for _, node in steps], cfg.seed])
    rows = []
    for dataset in datasets:
        images = build_in_order(parts, dataset, pipelines, "val", device)
        try:
            found = passes.run(images, described, 0, "Computing features for the labels")
        finally:
            images.close()
        rows.append(np.asarray(found.rows))
    return np.concatenate(rows)


def take(side: ImageDataset, positions: list[int]) -> ImageDataset:
    """Some pictures of a side; of files as files, so that their features can be kept."""
    base, of_base = locate(side)
    chosen = np.array(positions, np.int64)
    if base is None:
        return Subset(side, chosen)
    return base.take(chosen if of_base is None else of_base[chosen])

"""Compare settings of a training: the same runs with several seeds, by turns, and one table.

    python scripts/compare_settings.py --arm transform.crop_scale=0.08 \\
        --arm transform.crop_scale=0.6 --seeds 3 \\
        -- data=folder data.train_root=data/emoji/train data.val_root=data/emoji/val \\
           transform=imagenet transform.size=32 epochs=6

Each --arm holds the overrides of one row of the table (several: in quotes, with spaces between);
what follows `--` holds for all. The columns are balanced and plain accuracy on the validation
pictures after the last epoch, so that nothing is chosen on them: mean (lowest-highest) over the
seeds; and CPU seconds of a run without its start, which other programs hardly change.
"""

import argparse
import shlex
import statistics
import sys
import tempfile
import time
from pathlib import Path

from hydra import compose, initialize_config_dir

from pochitrain.config.registry import register_config
from pochitrain.config.root import validate
from pochitrain.engine.checkpoint import CheckpointWriter
from pochitrain.engine.device import select_device, select_precision
from pochitrain.engine.trainer import Trainer
from pochitrain.paths import config_directory
from pochitrain.run.build import build_parts
from pochitrain.seed import seed_everything
from pochitrain.threads import limit_threads


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arm", action="append", required=True, help="overrides of one row")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each arm: seed=0, 1, ...")
    parser.add_argument("shared", nargs="*", help="overrides of every run")
    args = parser.parse_args()
    register_config()
    limit_threads()
    found: dict[str, list[tuple[float, ...]]] = {arm: [] for arm in args.arm}
    for seed in range(args.seeds):
        for arm in args.arm:
            values = train([*args.shared, *shlex.split(arm), f"seed={seed}"])
            found[arm].append(values)
            print(f"seed {seed}  {arm}: {values}", file=sys.stderr, flush=True)
    print("| setting | balanced accuracy (%) | accuracy (%) | CPU s |")
    print("| --- | --- | --- | --- |")
    for arm, rows in found.items():
        columns = list(zip(*rows, strict=True))
        print(
            f"| `{arm}` | {spread(columns[0])} | {spread(columns[1])} | {spread(columns[2], 0)} |"
        )


def train(overrides: list[str]) -> tuple[float, float, float]:
    """Train without a run directory.

    Returns:
        Balanced and plain validation accuracy of the last epoch in percent, and CPU seconds.
    """
    with initialize_config_dir(str(config_directory())):
        cfg = compose("config", overrides)
    validate(cfg)
    seed_everything(cfg.seed)
    precision = select_precision("auto", select_device(cfg.device))
    parts = build_parts(cfg, precision)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            parts.state,
            parts.train_loader,
            parts.val_loader,
            parts.criterion,
            precision,
            [],
            CheckpointWriter(Path(folder), {}, every_epochs=10**6),
            metrics=parts.metrics,
        )
        start = time.process_time()
        last = trainer.fit().history[-1]
        seconds = time.process_time() - start
    parts.close_loaders()
    return last.value("val_balanced_accuracy"), last.value("val_accuracy"), seconds


def spread(values: tuple[float, ...], digits: int = 1) -> str:
    low, high = (f"{value:.{digits}f}" for value in (min(values), max(values)))
    return f"{statistics.mean(values):.{digits}f} ({low}-{high})"


if __name__ == "__main__":
    main()

"""Class weights and balanced sampling on a real set of 100:1."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.transforms import ToTensor

from pochitrain.data.digits import open_digits
from pochitrain.data.loader import build_loader
from pochitrain.data.sampler import EpochBatches
from pochitrain.engine.checkpoint import CheckpointWriter
from pochitrain.engine.device import Precision
from pochitrain.engine.state import Monitor, RunningMetrics, TrainState
from pochitrain.engine.trainer import Trainer
from pochitrain.loss.cross_entropy import build_cross_entropy
from pochitrain.transform.pipeline import build_pipeline


class Relabelled:
    """Digits of 8 x 8 px in two classes: 8 (rare) and the others."""

    in_memory = True

    def __init__(self, base, num_rare=None, num_others=None):
        rare = [i for i, label in enumerate(base.labels) if label == 8][:num_rare]
        others = [i for i, label in enumerate(base.labels) if label != 8]
        others = others[: 100 * num_rare if num_others is None else num_others]
        self.base, self.indices = base, others + rare
        self.labels = [0] * len(others) + [1] * len(rare)

    def __len__(self):
        return len(self.indices)

    def load(self, index):
        return self.base.load(self.indices[index])

    def name(self, index):
        return self.base.name(self.indices[index])


def recall_of_rarest(tmp_path, *, balance=False, balanced_sampling=False):
    """Percent of the unseen eights that a linear model finds after training on 500:5."""
    data = open_digits(image_size=8, val_fraction=0.4, seed=0)
    train, val = (
        Relabelled(data.train, num_rare=5),
        Relabelled(data.val, num_rare=None, num_others=60),
    )
    assert (train.labels.count(0), train.labels.count(1)) == (500, 5)
    device = torch.device("cpu")
    pipeline = build_pipeline([ToTensor()])
    shared = {"seed": 0, "device": device, "batch_size": 64}
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    state = TrainState(
        model,
        optimizer,
        torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0, 0),
        torch.amp.GradScaler("cpu", enabled=False),
        Monitor("val_loss"),
        6,
        RunningMetrics(device),
    )
    Trainer(
        state,
        build_loader(train, pipeline, shuffle=True, balanced_sampling=balanced_sampling, **shared),
        build_loader(val, pipeline, shuffle=False, **shared),
        build_cross_entropy(num_images_per_class=[500, 5], balance=balance),
        Precision(device, None, state.scaler),
        [],
        CheckpointWriter(tmp_path, {}, every_epochs=100),
    ).fit()
    found = state.confusion[1]
    return 100 * (found[1] / found.sum()).item()


@pytest.mark.slow
def test_balance_raises_the_recall_of_the_rarest_class(tmp_path):
    uniform = recall_of_rarest(tmp_path)
    weighted = recall_of_rarest(tmp_path, balance=True)
    sampled = recall_of_rarest(tmp_path, balanced_sampling=True)
    print(
        f"recall of the rarest class: uniform {uniform:.1f} %, balanced weights {weighted:.1f} %,"
        f" balanced sampling {sampled:.1f} %"
    )
    assert weighted > uniform + 20
    assert sampled > uniform + 20


def test_balanced_data_gives_exactly_the_unweighted_loss():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, 4, generator=generator)
    labels = torch.arange(12) % 4
    loss = build_cross_entropy(num_images_per_class=[3, 3, 3, 3])
    plain = F.cross_entropy(logits, labels, reduction="sum") / 12
    assert loss(logits, labels).item() == plain.item()


def test_hand_worked_weights():
    """N / (C n): 112 images of 4 classes."""
    loss = build_cross_entropy(num_images_per_class=[100, 7, 4, 1])
    assert loss.weight.tolist() == pytest.approx([0.28, 4.0, 7.0, 28.0])


def test_balanced_sampling_draws_every_class_equally_often():
    labels = [0] * 1000 + [1] * 100 + [2] * 10
    batches = EpochBatches(labels, 50, seed=0, shuffle=True, balanced=True)
    drawn = torch.tensor([labels[index] for batch in batches for _, index in batch])
    counts = torch.bincount(drawn, minlength=3)
    assert counts.sum() == 1110
    assert all(310 <= count <= 430 for count in counts.tolist())  # 370 +- 16
    again = EpochBatches(labels, 50, seed=0, shuffle=True, balanced=True)
    assert list(batches) == list(again)
    again.epoch = 1
    assert batches.order().tolist() != again.order().tolist()

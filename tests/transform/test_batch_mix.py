"""mixup and cutmix: what they give, and that nothing but (seed, epoch, batch) decides the draws."""

import pytest
import torch
from PIL import Image
from torchvision.transforms import ToTensor

from pochitrain.data.loader import Batch, build_loader
from pochitrain.loss.cross_entropy import CrossEntropy
from pochitrain.transform.batch_mix import BatchMix
from pochitrain.transform.pipeline import build_pipeline

LABELS = torch.tensor([0, 1, 2, 3])
IMAGES = torch.arange(4.0).reshape(4, 1, 1, 1).expand(4, 3, 8, 8)
"""Each image has the grey level of its label."""


def test_mixup_blends_pictures_as_it_blends_labels():
    torch.manual_seed(0)
    images, probabilities = BatchMix(num_classes=4, mixup_alpha=1.0)(IMAGES, LABELS)
    expected = (probabilities * torch.arange(4.0)).sum(dim=1)  # the level that the label implies
    torch.testing.assert_close(images[:, 0, 0, 0], expected)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(4))
    assert (probabilities > 0).sum(dim=1).tolist() == [2, 2, 2, 2]


def test_cutmix_pastes_the_share_that_the_label_says():
    torch.manual_seed(0)
    images, probabilities = BatchMix(num_classes=4, cutmix_alpha=1.0)(IMAGES, LABELS)
    expected = (probabilities * torch.arange(4.0)).sum(dim=1)
    torch.testing.assert_close(images.mean(dim=(1, 2, 3)), expected)
    assert set(images.unique().tolist()) <= {0.0, 1.0, 2.0, 3.0}  # pasted, not blended


def test_prob_and_switch_prob():
    never = BatchMix(num_classes=4, mixup_alpha=1.0, prob=0.0)
    images, probabilities = never(IMAGES, LABELS)
    assert torch.equal(images, IMAGES) and torch.equal(probabilities, torch.eye(4))
    torch.manual_seed(0)
    both = BatchMix(num_classes=4, mixup_alpha=1.0, cutmix_alpha=1.0, switch_prob=0.25)
    cut = sum(set(both(IMAGES, LABELS)[0].unique().tolist()) <= {0, 1, 2, 3} for _ in range(400))
    assert 70 <= cut <= 130  # 100 expected, standard deviation 8.7


@pytest.mark.parametrize(
    "arguments", [{}, {"mixup_alpha": -1}, {"cutmix_alpha": 1, "prob": 2}, {"mixup_alpha": -0.1}]
)
def test_wrong_arguments(arguments):
    with pytest.raises(ValueError, match="must be >= 0"):
        BatchMix(num_classes=4, **arguments)


class Pictures:
    """Ten images of noise."""

    labels = [0, 1] * 5
    in_memory = True

    def __len__(self):
        return 10

    def load(self, index):
        generator = torch.Generator().manual_seed(index)
        pixels = torch.randint(0, 256, (8, 8, 3), generator=generator, dtype=torch.uint8)
        return Image.fromarray(pixels.numpy())

    def name(self, index):
        return str(index)


def make_loader(seed=0, num_workers=0):
    return build_loader(
        Pictures(),
        build_pipeline([ToTensor()]),
        batch_size=4,
        seed=seed,
        device=torch.device("cpu"),
        shuffle=True,
        num_workers=num_workers,
        batch_transform=BatchMix(num_classes=2, mixup_alpha=0.4, cutmix_alpha=1.0),
    )


def batches(epoch, start=0, **options):
    return list(make_loader(**options).epoch(epoch, start))


def same(one, two):
    return len(one) == len(two) and all(
        torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels)
        for a, b in zip(one, two, strict=True)
    )


def test_draws_are_a_function_of_seed_epoch_and_batch():
    torch.manual_seed(1)
    whole = batches(epoch=3)
    state = torch.get_rng_state()
    assert len(whole) == 3
    torch.manual_seed(2)
    assert same(whole[1:], batches(epoch=3, start=1))  # taken up in mid-epoch
    assert same(whole, batches(epoch=3, num_workers=1))
    assert not same(whole, batches(epoch=4))
    assert not same(whole, batches(epoch=3, seed=1))
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())  # and nothing is drawn from the global one


@pytest.mark.parametrize(("seed", "epoch", "index"), [(1, 3, 0), (0, 4, 0), (0, 3, 1)])
def test_each_of_them_changes_the_draws(seed, epoch, index):
    batch = Batch(IMAGES, LABELS % 2, LABELS)
    usual = make_loader().mix(batch, 3, 0)
    assert same([usual], [make_loader().mix(batch, 3, 0)])
    assert not same([usual], [make_loader(seed=seed).mix(batch, epoch, index)])


def test_weighted_loss_of_mixed_labels_is_the_mixed_loss():
    """Worked by hand: the weighted loss is linear in the label."""
    weight = torch.tensor([1.0, 3.0])
    logits = torch.tensor([[0.3, -0.2]])
    total, share = CrossEntropy(weight).sums(logits, torch.tensor([[0.25, 0.75]]))
    log_p = logits.log_softmax(dim=1)[0]
    assert total.item() == pytest.approx(-(0.25 * log_p[0] + 0.75 * 3 * log_p[1]).item())
    assert share.item() == 0.25 * 1 + 0.75 * 3

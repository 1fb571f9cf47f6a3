"""`pochi lr`: the table that training would use."""

import re

GUIDE_ROWS = [
    ("conv1", "1", "9,408", "0.0001"),
    ("bn1", "2", "128", "0.0001"),
    ("layer1", "12", "147,968", "0.0002"),
    ("layer2", "15", "525,568", "0.0005"),
    ("layer3", "15", "2,099,712", "0.001"),
    ("layer4", "15", "8,393,728", "0.002"),
    ("fc", "2", "5,130", "0.01"),
    ("total", "62", "11,181,642"),
]


def table(text):
    return [tuple(line.split()) for line in text.splitlines() if re.match(r"\s+\w+\s+\d", line)]


def test_the_guides_rates_on_resnet18(pochi, tmp_path):
    outcome = pochi("layer_wise_lr=resnet", command="lr", prog="pochi")
    assert outcome.code == 0, outcome.err
    assert table(outcome.out) == GUIDE_ROWS
    assert list(tmp_path.iterdir()) == []  # nothing was trained


def test_all_lists_every_parameter(pochi):
    options = ("layer_wise_lr=decay", "layer_wise_lr.decay=0.5", "learning_rate=0.64")
    outcome = pochi("--all", *options, "model.num_classes=7", command="lr", prog="pochi")
    assert re.search(r"conv1\.weight\s+conv1\s+64 x 3 x 7 x 7\s+0\.02\b", outcome.out)
    assert re.search(r"fc\.weight\s+fc\s+7 x 512\s+0\.64\b", outcome.out)
    assert len(re.findall(r"\.(?:weight|bias)\s", outcome.out)) == 62


def test_a_rule_that_takes_nothing_is_refused_here_and_in_training(pochi):
    extra = ("layer_wise_lr=resnet", "+layer_wise_lr.layer_rates.layer9=0.1")
    here = pochi(*extra, command="lr", prog="pochi")
    training = pochi(*extra)
    assert here.code == training.code == 2
    assert here.err == training.err
    assert here.err.startswith("layer_wise_lr.layer_rates['layer9'] must match the start of")


def test_wrong_settings(pochi):
    assert pochi("learning_rate=2", command="lr", prog="pochi").code == 2
    assert "--multirun" in pochi("-m", "seed=1,2", command="lr", prog="pochi").err

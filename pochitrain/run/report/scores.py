"""The numbers of a run with their intervals."""

from dataclasses import dataclass

from pochitrain.metric.interval import Interval
from pochitrain.report.language import Translate
from pochitrain.run.compare.row import measure, spread
from pochitrain.run.report.answers import Answers
from pochitrain.run.report.curves import metric_label, unit_of
from pochitrain.run.report.run_files import RunFiles

MAX_CLASSES = 1000
"""With more, only the accuracy has an interval: a bootstrap of their matrices takes minutes."""


@dataclass
class Score:
    """A metric as the page shows it."""

    label: str
    value: float
    interval: Interval | None
    unit: str

    def show(self, value: float) -> str:
        """A value of it as text, without the unit."""
        return f"{value:.2f}" if self.unit else f"{value:.3f}"


@dataclass
class Scores:
    """What the best model has reached on the validation pictures; accuracy first."""

    num: int
    by_groups: bool
    """Whether the intervals draw groups of pictures."""
    all: list[Score]
    untouched: str
    """What other pictures would show of the monitored metric, about; empty if nobody knows."""


def compute_scores(run: RunFiles, answers: Answers | None, _: Translate) -> Scores | None:
    """From the answers, else from the confusion matrix; None without either."""
    if answers is not None and len(answers.true):
        true, predicted, num = answers.true, answers.predicted, len(answers.class_names)
        groups = answers.groups
    elif run.confusion is not None:
        true, predicted = spread(run.confusion)
        num, groups = len(run.confusion), None
    else:
        return None
    values = measure(true, predicted, num, groups, is_quick=num > MAX_CLASSES)
    scores = [
        Score(metric_label(metric.name, _), value, interval, metric.unit)
        for metric, (value, interval) in values.items()
    ]
    return Scores(len(true), groups is not None, scores, describe_untouched(run, _))


def describe_untouched(run: RunFiles, _: Translate) -> str:
    """The value with its unit; with the name of the metric where it is not the accuracy."""
    if run.untouched is None:
        return ""
    name, value = run.untouched
    unit = unit_of(name)
    text = f"{value:.2f} {unit}" if unit else f"{value:.3f}"
    return text if name == "val_accuracy" else f"{metric_label(name, _)} {text}"

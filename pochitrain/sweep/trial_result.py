"""The result of a trial, from what its jobs returned."""

import math
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from optuna.study import StudyDirection
from optuna.trial import TrialState

from pochitrain.error import PochiError
from pochitrain.sweep.private_api import job_result
from pochitrain.sweep.trial_task import Pruned
from pochitrain.text import first_line


@dataclass
class TrialResult:
    """State and values of a finished trial."""

    state: TrialState
    values: list[float] | None = None
    reason: str = ""
    """Why it failed; empty if it did not."""
    error: BaseException | None = None
    returned: JobReturn | None = None
    """Record of the failed job."""

    def raise_job_error(self) -> None:
        """Raise the error of the job with its traceback, or the one about its return value."""
        if self.returned is not None:
            _ = self.returned.return_value  # Hydra raises here
        elif self.error is not None:
            raise self.error

    def forget_error(self) -> None:
        """Drop the traceback, which keeps the tensors of the trial alive."""
        self.error = self.returned = None


def read_result(
    future: Future[list[JobReturn]], directions: Sequence[StudyDirection]
) -> TrialResult:
    """The result of a trial; the value is the mean over its jobs (repeats with other seeds)."""
    error = future.exception()
    if error is not None:
        return TrialResult(TrialState.FAIL, reason=describe(error), error=error)
    rows = []
    for returned in future.result():
        value = job_result(returned)
        if returned.status != JobStatus.COMPLETED:
            return TrialResult(TrialState.FAIL, None, describe(value), value, returned)
        if isinstance(value, Pruned):
            return TrialResult(TrialState.PRUNED)
        try:
            rows.append(read_values(value, len(directions)))
        except ValueError as wrong:
            return TrialResult(TrialState.FAIL, None, str(wrong), wrong, returned)
    return TrialResult(TrialState.COMPLETE, [fmean(column) for column in zip(*rows, strict=True)])


def read_values(value: Any, num_objectives: int) -> list[float]:
    """The objective values that a job returned.

    Raises:
        ValueError: if they are not numbers, not one per objective, or NaN.
    """
    if num_objectives == 1:
        try:
            values = [float(value)]
        except (ValueError, TypeError):
            raise ValueError(f"Return value must be float-castable. Got '{value}'.") from None
    else:
        try:
            values = [float(item) for item in value]
        except (ValueError, TypeError):
            raise ValueError(
                f"Return value must be a list or tuple of float-castable values. Got '{value}'."
            ) from None
        if len(values) != num_objectives:
            raise ValueError(
                "The number of the values and the number of the objectives are mismatched. "
                f"Expect {num_objectives}, but actually {len(values)}."
            )
    if any(map(math.isnan, values)):
        raise ValueError(f"The value is not a number (NaN). Got {value!r}.")
    return values


def describe(error: Any) -> str:
    """One line about an error: its type and message, or only the message if it is ours."""
    if isinstance(error, HydraException):
        return describe_composition(error)
    text = first_line(error)
    if isinstance(error, PochiError):
        return text
    name = type(error).__name__
    return name if text == name else f"{name}: {text}"


NOISE = ("full_key:", "object_type=", "reference_type=", "See https", "To append")
"""Prefixes of lines in messages of Hydra and OmegaConf that do not help users."""


def describe_composition(error: Exception) -> str:
    """One line about a config that cannot be composed, with Hydra's reason."""
    cause = error if error.__cause__ is None else error.__cause__
    lines = [line.strip() for line in f"{error}\n{cause}".splitlines() if line.strip()]
    return " ".join(list(dict.fromkeys(line for line in lines if not line.startswith(NOISE)))[:2])

"""Which jobs are looked at, and how their mistakes are put together."""

import itertools

import pytest

from pochitrain.search.preflight import SHOWN, Mistakes, choose_jobs


def columns(*sizes: int) -> list[list[str]]:
    return [[f"{key}={value}" for value in range(size)] for key, size in enumerate(sizes)]


def test_few_jobs_are_all_looked_at() -> None:
    values = columns(2, 1, 3)
    assert choose_jobs(values, 6) == list(itertools.product(*values))
    assert choose_jobs([], 6) == [()]


@pytest.mark.parametrize("sizes", [(10, 10, 10), (40, 1, 3), (2,) * 12, (7, 11, 13, 2)], ids=str)
def test_of_many_jobs_every_value_is_looked_at_and_always_the_same_ones(
    sizes: tuple[int, ...],
) -> None:
    values = columns(*sizes)
    chosen = choose_jobs(values, 50)
    assert len(set(chosen)) == len(chosen) == 50
    assert set(chosen) <= set(itertools.product(*values))
    for position, column in enumerate(values):
        assert {job[position] for job in chosen} == set(column)
    assert choose_jobs(values, 50) == chosen


def test_a_value_that_is_given_twice_counts_once() -> None:
    """Else there would be fewer different jobs than are drawn, and the drawing would never end."""
    assert choose_jobs([["a", "a", "b"], ["c"] * 9], 5) == [("a", "c"), ("b", "c")]


def test_of_more_values_than_jobs_the_ends_are_looked_at() -> None:
    (values,) = columns(1000)
    chosen = [job[0] for job in choose_jobs([values], 5)]
    assert chosen == ["0=0", "0=250", "0=500", "0=749", "0=999"]


def check(wrong: dict[tuple[str, ...], list[str]], jobs: list[tuple[str, ...]]) -> Mistakes:
    mistakes = Mistakes()
    for job in jobs:
        mistakes.check(job, wrong.get(job, []))
    return mistakes


JOBS = list(itertools.product(["a=1", "a=2"], ["b=1", "b=2", "b=3"], ["c=1"]))


def test_equal_mistakes_are_together_with_what_their_jobs_have_in_common() -> None:
    wrong = {job: ["b is wrong."] for job in JOBS if "b=2" in job}
    wrong[JOBS[0]] = ["a and b do not go together.", "again"]
    wrong[JOBS[5]] = ["again"]
    text = check(wrong, JOBS).describe(lambda bad, every: f"{bad} of {every}")
    assert text.splitlines() == [
        "4 of 6",
        "- a and b do not go together.",
        "  1 job: the one with a=1 b=1",
        "- again",
        "  2 jobs: a=1 b=1, a=2 b=3",
        "- b is wrong.",
        "  2 jobs: those with b=2",
    ]


def test_a_mistake_of_all_jobs_and_a_long_list() -> None:
    assert check({job: ["x"] for job in JOBS}, JOBS).where(range(6)) == "all"
    wrong = {job: ["x"] for job in JOBS if job not in (JOBS[1], JOBS[3])}
    assert check(wrong, JOBS).where([0, 2, 4, 5]) == "a=1 b=1, a=1 b=3, a=2 b=2 and 1 more"
    many = {(f"a={i}",): [f"{i} is wrong."] for i in range(SHOWN + 5)}
    text = check(many, list(many)).describe(lambda bad, every: "")
    assert text.endswith("\nand 5 more mistakes.")
    assert text.count(" is wrong.") == SHOWN

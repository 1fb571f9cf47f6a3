"""Which jobs of a sweep cannot run, found before the first of them starts."""

import itertools
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from pochitrain.text import shorten_list

SHOWN = 10
"""Mistakes that are listed."""
EXAMPLES = 3
"""Jobs that are named for each, where they have nothing in common."""

Words = Sequence[str]
"""What makes a job differ from the others, such as `epochs=3`."""


def choose_jobs(values: Sequence[Sequence[str]], most: int) -> list[tuple[str, ...]]:
    """Combinations of one of each of `values` to look at: all of them, or `most` if there are more.

    Then every value is in one of them (unless there are more values than that), and the rest is
    drawn at random, always the same ones. A value that is given twice counts once.
    """
    values = [list(dict.fromkeys(column)) for column in values]
    if math.prod(map(len, values)) <= most:
        return list(itertools.product(*values))
    longest = max(map(len, values))
    rows = min(longest, most)
    places = [round(row * (longest - 1) / max(rows - 1, 1)) for row in range(rows)]
    chosen = dict.fromkeys(
        tuple(column[place % len(column)] for column in values) for place in places
    )
    draw = random.Random(0)
    while len(chosen) < most:
        chosen[tuple(map(draw.choice, values))] = None
    return list(chosen)


class Mistakes:
    """The mistakes of jobs, equal ones together."""

    def __init__(self) -> None:
        self.jobs: list[Words] = []
        """Those that were checked."""
        self.found: dict[str, list[int]] = defaultdict(list)
        """Message -> positions in `jobs`."""

    def check(self, job: Words, messages: Iterable[str]) -> None:
        """Note that `job` was checked and what is wrong with it."""
        for message in dict.fromkeys(messages):
            self.found[message].append(len(self.jobs))
        self.jobs.append(job)

    def in_all_jobs(self) -> list[str]:
        """Mistakes that do not depend on the job."""
        return [text for text, jobs in self.found.items() if len(jobs) == len(self.jobs)]

    def describe(self, intro: Callable[[int, int], str]) -> str:
        """All mistakes, or the first ones and how many more there are.

        Args:
            intro: (number of wrong jobs, number of all jobs) -> the first line.
        """
        num_wrong = len(set(itertools.chain.from_iterable(self.found.values())))
        lines = [intro(num_wrong, len(self.jobs))]
        for text, jobs in itertools.islice(self.found.items(), SHOWN):
            lines += [
                f"- {text}",
                f"  {len(jobs):,} job{'s' * (len(jobs) > 1)}: {self.where(jobs)}",
            ]
        if len(self.found) > SHOWN:
            lines.append(f"and {len(self.found) - SHOWN:,} more mistakes.")
        return "\n".join(lines)

    def where(self, positions: Sequence[int]) -> str:
        """The jobs at `positions`, by what they have in common or one by one."""
        if len(positions) == len(self.jobs):
            return "all"
        common = [
            word
            for word in self.jobs[positions[0]]
            if all(word in self.jobs[position] for position in positions)
        ]
        also = [job for job in self.jobs if all(word in job for word in common)]
        varied = [word for word in common if any(word not in job for job in self.jobs)]
        if varied and len(also) == len(positions):
            return f"{'those' if len(positions) > 1 else 'the one'} with {' '.join(varied)}"
        named = [" ".join(self.varied(self.jobs[position])) for position in positions]
        return shorten_list(named, EXAMPLES)

    def varied(self, job: Words) -> list[str]:
        """The words of a job that not all jobs have."""
        return [word for word in job if any(word not in other for other in self.jobs)]

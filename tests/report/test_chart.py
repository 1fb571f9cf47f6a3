"""Charts as SVG: what is drawn where."""

import json
import math
import re

import numpy as np
import pytest

from pochitrain.report.line_chart import (
    HEIGHT,
    LEFT,
    MAX_POINTS,
    RIGHT,
    WIDTH,
    Chart,
    Line,
    draw_chart,
    short_number,
    ticks_of,
)
from pochitrain.report.map_chart import Dot, draw_map
from pochitrain.report.parallel_chart import Axis, Trial, draw_parallel


def numbers(svg: str) -> dict:
    return json.loads(re.search(r"<script[^>]*>(.*?)</script>", svg)[1])


def test_points_are_where_their_numbers_say() -> None:
    chart = Chart("Loss", [Line("training", [(1, 2.0), (2, 1.0), (3, 0.0)])])
    points = numbers(draw_chart(chart))["lines"][0]["points"]
    assert [p[:2] for p in points] == [[1, 2.0], [2, 1.0], [3, 0.0]]
    assert points[0][2] == LEFT and points[-1][2] == WIDTH - RIGHT
    heights = [p[3] for p in points]
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=0.11)
    assert heights[0] < heights[2] < HEIGHT


def test_what_is_no_number_is_left_out() -> None:
    line = Line("a", [(1, math.nan), (2, 1.0), (3, math.inf)])
    assert [p[:2] for p in numbers(draw_chart(Chart("t", [line])))["lines"][0]["points"]] == [
        [2, 1.0]
    ]
    assert draw_chart(Chart("t", [Line("a", [(1, math.nan)])])) == ""
    assert draw_chart(Chart("t", [Line("a", [(1, 0.0), (2, -1.0)])], log=True)) == ""


def test_one_point_and_a_constant_line_are_seen() -> None:
    assert 'class="dot c0"' in draw_chart(Chart("t", [Line("a", [(1, 5.0)])]))
    svg = draw_chart(Chart("t", [Line("a", [(1, 5.0), (2, 5.0)])]))
    assert 'class="line c0"' in svg and "nan" not in svg


def test_a_long_line_is_thinned_and_keeps_its_end() -> None:
    line = Line("a", [(float(x), float(x)) for x in range(10_001)])
    points = numbers(draw_chart(Chart("t", [line])))["lines"][0]["points"]
    assert len(points) <= MAX_POINTS + 2
    assert points[0][0] == 0 and points[-1][0] == 10_000


def test_a_logarithmic_axis() -> None:
    points = numbers(
        draw_chart(Chart("t", [Line("a", [(1, 1e-3), (2, 1e-2), (3, 1e-1)])], log=True))
    )
    heights = [p[3] for p in points["lines"][0]["points"]]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.11)
    assert ticks_of(1e-3, 1e-1, log=True) == pytest.approx([1e-3, 1e-2, 1e-1])
    assert len(ticks_of(0.2, 0.6, log=True)) > 1


def test_labels_are_text() -> None:
    svg = draw_chart(Chart("<b>t", [Line("<i>a", [(1, 1.0)])], mark=(1.0, "<u>")))
    assert "<b>" not in svg.replace("<b></b>", "") and "<i>" not in svg and "<u>" not in svg


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (1e-13, "0"), (-2.5, "−2.5"), (1e-5, "1e-5"), (100.0, "100")]
)
def test_short_numbers(value: float, text: str) -> None:
    assert short_number(value) == text


def test_axes_of_parallel_coordinates() -> None:
    linear, log = Axis([0, 5, 10]), Axis([1e-4, 1e-2, 1.0])
    middle = (linear.y(0) + linear.y(10)) / 2
    assert linear.y(5) == pytest.approx(middle) and log.y(1e-2) == pytest.approx(middle)
    assert linear.y(10) < linear.y(0)
    named = Axis(["adam", "sgd", "adam"])
    assert [text for _, text in named.ticks()] == ["adam", "sgd"]
    assert named.y("sgd") < named.y("adam")
    assert Axis([3, 3]).y(3) == pytest.approx(middle)  # neither up nor down


def test_a_trial_without_a_parameter_is_not_drawn() -> None:
    trials = [Trial(f"<{i}>", {"a": i, "v": i}, i / 2) for i in range(3)]
    svg = draw_parallel(["a", "v"], [*trials, Trial("x", {"v": 1}, 0.1)], "t")
    assert svg.count('<path class="line') == 3 and "&lt;2&gt;" in svg
    assert svg.count(" best") == 1
    assert draw_parallel(["a", "v"], trials[:1], "t") == ""


def test_a_map_keeps_its_proportions_and_stays_inside() -> None:
    dots = [Dot(x, y, i, 0, True) for i, (x, y) in enumerate([(0, 0), (4, 0), (4, 2), (0, 2)])]
    svg = draw_map(dots, ["<b>"], "t")
    places = np.array(re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', svg), float)
    width, height = map(float, re.search(r'viewBox="0 0 (\d+) (\d+)"', svg).groups())
    (left, top), (right, bottom) = places.min(axis=0), places.max(axis=0)
    assert right - left == pytest.approx(2 * (bottom - top), abs=0.2)  # one scale for both
    assert 0 < left < right < width and 0 < top < bottom < height
    assert places[0][1] == bottom  # upwards
    assert "&lt;b&gt;" in svg and "<b>" not in svg
    assert draw_map([], ["a"], "t") == ""
    one = draw_map([Dot(5.0, 5.0, 0, 0, False)], ["a"], "t")
    assert "<path" in one and "nan" not in one

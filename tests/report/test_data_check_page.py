"""The page of a check, as text and in a real browser at the width of a desk and of a phone."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pochitrain.check.finding import Findings
from pochitrain.check.pictures import Pictures
from pochitrain.report import data_check
from pochitrain.report.data_check import both_sides, format_page
from tests.check.conftest import paint, pictures_of  # noqa: F401 (a fixture)

DRIVER = shutil.which("chromedriver")
MakePictures = Callable[..., Pictures]


def make_page(pictures: Pictures, findings: Findings) -> str:
    return format_page(pictures, findings, {"pictures": "3 <b>"}, ["a <note>"])


@pytest.fixture
def pictures(pictures_of: MakePictures) -> Pictures:  # noqa: F811
    return pictures_of([paint(seed, 48) for seed in range(3)], [paint(9, 300), paint(10, 48)])


@pytest.fixture
def findings(pictures: Pictures) -> Findings:
    found = Findings(["<script>alert(1)</script>", *pictures.names[1:]])
    found.add("blank", (1,), "one colour")
    found.add("unreadable", (0,), "<broken>")
    found.add("imbalance", (), "a, b: 3 and 1")
    return found


def test_names_and_details_are_text(pictures: Pictures, findings: Findings) -> None:
    page = make_page(pictures, findings)
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "&lt;broken&gt;" in page and "a &lt;note&gt;" in page and "3 &lt;b&gt;" in page
    assert page.index('<section id="unreadable"') < page.index('<section id="blank"')
    assert page.count("<figure") == 2  # none for the finding about classes


def test_a_long_list_is_cut(
    pictures: Pictures, findings: Findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_check, "MAX_FINDINGS", 2)
    for _ in range(4):
        findings.add("blank", (2,), "again")
    page = make_page(pictures, findings)
    assert "And 3 more: see findings.json." in page
    assert page.count("again") == 1


def test_both_sides_are_shown_of_a_large_group(pictures: Pictures) -> None:
    pictures.num_train = 90
    assert both_sides(pictures, range(80, 100)) == [80, 81, 82, 83, 90, 91, 92, 93]
    assert both_sides(pictures, [1, 2, 90]) == [1, 2, 90]
    assert both_sides(pictures, range(20)) == list(range(8))
    assert both_sides(pictures, [*range(20), 95]) == [*range(7), 95]


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.mark.slow
@pytest.mark.skipif(DRIVER is None, reason="no chromedriver (apt-get install chromium-driver)")
@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser(
    browser: object, pictures: Pictures, findings: Findings, tmp_path: Path, width: int
) -> None:
    """Every picture is shown, nothing is wider than the window, nothing is requested."""
    findings.add("near_duplicate", (1, 3), "x" * 200)
    file = tmp_path / "report.html"
    file.write_text(make_page(pictures, findings), encoding="utf-8")
    driver: object = browser
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get_log("performance")
    driver.get(file.as_uri())
    shown = "return [...document.images].map(i => i.complete && i.naturalWidth > 0)"
    assert driver.execute_script(shown) == [True] * 4
    inner, scrolled = driver.execute_script(
        "return [innerWidth, document.documentElement.scrollWidth]"
    )
    assert scrolled <= inner
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = {m["params"]["request"]["url"] for m in messages if "request" in m.get("params", {})}
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
    assert driver.get_log("browser") == []

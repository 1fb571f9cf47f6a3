"""The page at /, in a real browser."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

selenium = pytest.importorskip("selenium")
from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

from tests.serve.conftest import COLORS, NAMES  # noqa: E402

DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(DRIVER is None, reason="no chromedriver (apt-get install chromium-driver)"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=900,800"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def test_a_chosen_picture_shows_its_classes_as_bars(
    browser: webdriver.Chrome, address: str, encode: Callable[..., bytes], tmp_path: Path
) -> None:
    good, bad = tmp_path / "blue.png", tmp_path / "bad.png"
    good.write_bytes(encode(COLORS[2]))
    bad.write_bytes(b"no picture")
    browser.get(address)
    wait = WebDriverWait(browser, 20)
    wait.until(lambda b: "3 classes" in b.find_element(By.ID, "facts").text)
    browser.find_element(By.ID, "files").send_keys(f"{good}\n{bad}")
    wait.until(lambda b: len(b.find_elements(By.CSS_SELECTOR, ".row")) == 3)
    rows = browser.find_elements(By.CSS_SELECTOR, ".row")
    assert rows[0].text.splitlines() == [NAMES[2], "98.7 %"]  # as text: <b> is no markup here
    bars = [row.find_element(By.CSS_SELECTOR, ".bar").size["width"] for row in rows]
    tracks = [row.find_element(By.CSS_SELECTOR, ".track").size["width"] for row in rows]
    assert bars[0] / tracks[0] == pytest.approx(0.987, abs=0.02)
    assert bars[1] < 0.1 * bars[0]
    weights = [row.value_of_css_property("font-weight") for row in rows]
    assert weights == ["600", "400", "400"]  # the likeliest stands out
    wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, ".error"))
    assert "not a picture" in browser.find_element(By.CSS_SELECTOR, ".error").text
    assert not [entry for entry in browser.get_log("browser") if "Uncaught" in entry["message"]]


def test_a_telephone_shows_names_and_bars(
    browser: webdriver.Chrome, address: str, encode: Callable[..., bytes], tmp_path: Path
) -> None:
    (tmp_path / "blue.png").write_bytes(encode(COLORS[2]))
    screen = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get(address)
    browser.find_element(By.ID, "files").send_keys(str(tmp_path / "blue.png"))
    wait = WebDriverWait(browser, 20)
    wait.until(lambda b: len(b.find_elements(By.CSS_SELECTOR, ".row")) == 3)
    bar = browser.find_element(By.CSS_SELECTOR, ".bar")
    assert bar.size["width"] > 150
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_an_uncertain_answer_is_unknown(
    browser: webdriver.Chrome, cautious_address: str, encode: Callable[..., bytes], tmp_path: Path
) -> None:
    (tmp_path / "grey.png").write_bytes(encode((90, 90, 90)))
    (tmp_path / "red.png").write_bytes(encode(COLORS[0]))
    browser.get(cautious_address)
    wait = WebDriverWait(browser, 20)
    for number, (name, unknown, possible) in enumerate(
        [("red.png", 0, NAMES[:1]), ("grey.png", 1, NAMES)], start=1
    ):
        browser.find_element(By.ID, "files").send_keys(str(tmp_path / name))
        wait.until(lambda b, n=number: len(b.find_elements(By.CSS_SELECTOR, ".possible")) == n)
        newest = browser.find_element(By.CSS_SELECTOR, ".answer")
        assert len(newest.find_elements(By.CSS_SELECTOR, ".unknown")) == unknown
        text = newest.find_element(By.CSS_SELECTOR, ".possible").text
        assert text == "Possible: " + ", ".join(possible)
    assert newest.find_element(By.CSS_SELECTOR, ".unknown").text.startswith("Unknown:")
    first = newest.find_element(By.CSS_SELECTOR, ".row")
    assert first.value_of_css_property("font-weight") == "400"  # no class stands out

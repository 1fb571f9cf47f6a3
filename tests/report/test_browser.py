"""The pages in a real browser, at the width of a desk and of a phone."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pochitrain.run.report.answers import read_answers
from pochitrain.run.report.run_files import read_run
from pochitrain.run.report.run_page import Source, make_run_page
from pochitrain.run.report.search_page import make_search_page, read_search
from tests.report.run_folder import Painted, answers_in_order, name_of, write_run
from tests.run.test_report import write_search

selenium = pytest.importorskip("selenium")
from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(DRIVER is None, reason="no chromedriver (apt-get install chromium-driver)"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(120)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = read_run(write_run(tmp_path_factory.mktemp("report") / "run"))
    pictures = Painted([true for true, _, _ in answers_in_order()])
    file = run.folder / "report.html"
    source = Source(read_answers(run), pictures, places={0: (0.0, 0.0), 8: (1.0, 1.0)})
    text = make_run_page(run, source, "en")
    file.write_text(text, encoding="utf-8")
    return file


def open_page(browser: webdriver.Chrome, file: Path, width: int = 1280) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get_log("performance")
    browser.get_log("browser")
    browser.get(file.as_uri())


def shown_cards(browser: webdriver.Chrome) -> list[list[str]]:
    """The texts of the cards of the dialog."""
    cards = browser.find_elements(By.CSS_SELECTOR, "dialog[open] .card")
    return [card.text.splitlines() for card in cards]


def test_a_cell_opens_its_pictures(browser: webdriver.Chrome, page: Path) -> None:
    open_page(browser, page)
    cell = browser.find_element(By.CSS_SELECTOR, '.matrix [data-true="1"][data-predicted="0"]')
    assert cell.text == "2"
    cell.click()
    cards = shown_cards(browser)
    assert [card[0] for card in cards] == ["<b>ant</b> 80.0 %", "<b>ant</b> 70.0 %"]
    assert cards[0][1] == r"is bee\u202eeeb"
    assert cards[0][2] == name_of(8).removeprefix("photos/val/")
    loaded = "return [...document.querySelectorAll('dialog img')].map(i => i.naturalWidth)"
    assert browser.execute_script(loaded) == [40, 40]
    title = browser.find_element(By.CSS_SELECTOR, "dialog h2").text
    assert title == r"bee\u202eeeb predicted as <b>ant</b>"
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    assert shown_cards(browser) == []
    right = browser.find_element(By.CSS_SELECTOR, '.matrix [data-true="0"][data-predicted="0"]')
    right.send_keys(Keys.ENTER)  # without a mouse
    assert len(shown_cards(browser)) == 7
    browser.find_element(By.CSS_SELECTOR, "dialog .close").click()
    browser.find_element(By.CSS_SELECTOR, '#classes [data-true="0"]').click()
    assert len(shown_cards(browser)) == 8  # all of the class, right or wrong
    assert not [one for one in browser.get_log("browser") if one["level"] == "SEVERE"]


def test_a_dot_of_the_map_shows_its_picture(browser: webdriver.Chrome, page: Path) -> None:
    open_page(browser, page)
    cross = browser.find_element(By.CSS_SELECTOR, ".map [data-picture] path")
    ActionChains(browser).scroll_to_element(cross).move_to_element(cross).perform()
    preview = browser.find_element(By.CSS_SELECTOR, ".preview").text.splitlines()
    assert preview[:2] == ["<b>ant</b> 80.0 %", r"is bee\u202eeeb"]


def test_values_under_the_cursor(browser: webdriver.Chrome, page: Path) -> None:
    open_page(browser, page)
    chart = browser.find_element(By.CSS_SELECTOR, ".chart")
    legend = chart.find_element(By.CSS_SELECTOR, ".legend")
    assert legend.text.replace("\n", " ") == "epoch 2 validation 0.9 training 1"  # the best one
    svg = chart.find_element(By.TAG_NAME, "svg")
    width = svg.size["width"]
    ActionChains(browser).move_to_element_with_offset(svg, width // 2 - 12, 0).perform()
    assert legend.text.replace("\n", " ") == "epoch 3 validation 1.1 training 0.5"
    svg.send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert legend.text.replace("\n", " ") == "epoch 1 validation 2.1 training 2"


def test_a_table_is_sorted_by_its_heads(browser: webdriver.Chrome, page: Path) -> None:
    open_page(browser, page)
    head = browser.find_element(By.CSS_SELECTOR, "#classes th:nth-child(4) .sort")
    column = "return [...document.querySelectorAll('#classes tbody td:nth-child(4)')].map("
    column += "c => c.textContent.trim().split(' ')[0])"
    head.click()
    assert browser.execute_script(column) == ["100.0", "87.5", "75.0"]
    head.click()
    assert browser.execute_script(column) == ["75.0", "87.5", "100.0"]
    assert head.find_element(By.XPATH, "..").get_attribute("aria-sort") == "ascending"


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("kind", ["run", "search"])
def test_it_fits_and_asks_for_nothing(
    browser: webdriver.Chrome, page: Path, tmp_path: Path, width: int, kind: str
) -> None:
    file = page
    if kind == "search":
        file = write_search(tmp_path / "search") / "report.html"
        file.write_text(make_search_page(read_search(file.parent), "ja"), encoding="utf-8")
    open_page(browser, file, width)
    inner, scrolled = browser.execute_script(
        "return [innerWidth, document.documentElement.scrollWidth]"
    )
    assert inner == width and scrolled <= inner
    images = "return [...document.images].every(i => i.complete && i.naturalWidth > 0)"
    assert browser.execute_script(images)
    messages = [json.loads(one["message"])["message"] for one in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if "request" in m.get("params", {})]
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    assert browser.get_log("browser") == []

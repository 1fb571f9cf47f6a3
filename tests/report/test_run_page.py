"""The page of a run, made from a directory whose names try to be markup."""

import ast
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jinja2 import nodes

import pochitrain
from pochitrain.check.finding import KINDS
from pochitrain.metric.interval import wilson_interval
from pochitrain.metric.table import METRICS
from pochitrain.report.html_page import FOLDER, environment
from pochitrain.report.japanese import JAPANESE
from pochitrain.report.language import Translate, choose_language
from pochitrain.run.report.answers import Answers, calibration_error, read_answers
from pochitrain.run.report.run_files import read_run
from pochitrain.run.report.run_page import Source, make_run_page
from tests.report.run_folder import Painted, answers_in_order, name_of, write_run

PACKAGE = Path(pochitrain.__file__).parent
VOID = {"meta", "img", "br", "wbr"}
OPTIONAL_END = {"html", "p", "li", "dt", "dd"}


class Page(HTMLParser):
    """What a page holds, and whether its elements are closed where they were opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open[-1] != tag and self.open[-1] in OPTIONAL_END:
            self.open.pop()
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        (self.scripts if self.open[-1:] == ["script"] else self.texts).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "20260101_001")


def make(folder: Path, language: str = "en", **source: Any) -> str:
    run = read_run(folder)
    return make_run_page(run, Source(read_answers(run), **source), language)


def painted(**options: Any) -> Painted:
    return Painted([true for true, _, _ in answers_in_order()], **options)


@pytest.mark.parametrize("language", ["en", "ja"])
def test_names_are_text_and_elements_are_closed(folder: Path, language: str) -> None:
    text = make(folder, language, dataset=painted())
    page = Page(text)
    assert not [tag for tag in page.open if tag not in {*OPTIONAL_END, "body"}]
    assert len(page.all("script")) == 1 + 1 + len(page.all("svg")) - 1  # ours, pictures, charts
    for tag in ("b", "i", "u"):
        assert (
            f"<{tag}>ant" not in text and f"<{tag}>net" not in text and f"<{tag}>twin" not in text
        )
    assert "&lt;b&gt;ant&lt;/b&gt;" in text and "&lt;i&gt;net&lt;/i&gt;" in text
    assert "\u202e" not in text and r"bee\u202eeeb" in text
    assert "<script>alert" not in text
    assert dict(page.tags)["html"]["lang"] == language


def test_nothing_is_asked_of_a_server(folder: Path) -> None:
    page = Page(make(folder, dataset=painted()))
    links = [a.get(key) or "" for _, a in page.tags for key in ("src", "href", "action", "srcset")]
    assert all(link.startswith(("data:", "#")) for link in links if link)
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv")) or ""
    assert policy.startswith("default-src 'none'")
    assert "script-src 'sha256-" in policy and "http" not in policy


def test_what_a_screen_reader_needs(folder: Path) -> None:
    page = Page(make(folder, dataset=painted()))
    assert all(image.get("alt") for image in page.all("img"))
    assert all(svg.get("aria-label") for svg in page.all("svg"))
    assert all(head.get("scope") in ("col", "row") for head in page.all("th"))
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    targets = {(a["href"] or "")[1:] for a in page.all("a")}
    assert targets <= set(ids) and len(targets) >= 8


def test_the_numbers_of_the_head(folder: Path) -> None:
    text = Page(make(folder)).text
    interval = wilson_interval(17, 20)
    assert "85.00 % accuracy on 20 validation pictures" in text
    assert f"95 % interval {interval.low:.2f} – {interval.high:.2f} %" in text
    assert "Best of 3 epochs (epoch 2)" in text
    assert "60 for training, 20 for validation" in text
    assert "12,345 parameters" in text and "64 × 48 px" in text
    assert "1 of the validation pictures are in training too" in text


def test_what_untouched_pictures_would_show(folder: Path) -> None:
    assert "a little too good" in Page(make(folder)).text
    for monitor, value, shown in (
        ("val_accuracy", 83.456, "about 83.46 %."),
        ("val_macro_f1", 0.81, "about macro F1 0.810."),
    ):
        content = {"monitor": monitor, "untouched": value}
        (folder / "optimism.json").write_text(json.dumps(content))
        assert f"untouched ones would show {shown}" in Page(make(folder)).text


def test_every_cell_opens_its_pictures(folder: Path) -> None:
    page = Page(make(folder, dataset=painted()))
    cells = [b for b in page.all("button") if "data-predicted" in b and "style" in b]
    found = {(b["data-true"], b["data-predicted"]): b["data-count"] for b in cells}
    wanted = {("0", "0"): "7", ("0", "1"): "1", ("1", "0"): "2", ("1", "1"): "6", ("2", "2"): "4"}
    assert found == wanted
    data = next(json.loads(text) for text in page.scripts if '"pictures":' in text)
    assert data["classes"][1] == r"bee\u202eeeb"  # escaped for people, not only for JSON
    assert len(data["pictures"]) == 20
    by_cell: dict[tuple[int, int], int] = {}
    for _name, true, predicted, *_rest in data["pictures"]:
        by_cell[true, predicted] = by_cell.get((true, predicted), 0) + 1
    assert {(str(t), str(p)): str(n) for (t, p), n in by_cell.items()} == wanted
    # The most confident mistakes are in the page itself; the script finds them by their place.
    assert [row[3] for row in data["pictures"][:3]] == [80.0, 80.0, 70.0]
    assert [bool(row[4]) for row in data["pictures"]] == [False] * 3 + [True] * 17
    shown = {image["id"] for image in page.all("img")}
    assert shown == {"p0", "p1", "p2"}
    twins = [row[5] for row in data["pictures"] if len(row) > 5]
    assert twins == ["photos/train/<u>twin</u>.png"]


def test_a_heatmap_is_beside_its_mistake(folder: Path) -> None:
    picture = "data:image/webp;base64,AAAA"
    text = make(folder, dataset=painted(), heatmaps={8: picture})
    images = Page(text).all("img")
    place = [image.get("id") for image in images].index("p1")  # picture 8 is the second mistake
    assert [image["src"] == picture for image in images].index(True) == place + 1
    assert "what speaks for the wrong class" in text
    assert "what speaks for the wrong class" not in make(folder, dataset=painted())


def test_a_map_points_at_the_pictures_of_the_page(folder: Path) -> None:
    places = {8: (0.0, 0.0), 0: (2.0, 1.0), 19: (1.0, -1.0)}
    page = Page(make(folder, dataset=painted(), places=places))
    dots = [a for tag, a in page.tags if tag == "g" and "data-picture" in a]
    data = next(json.loads(text) for text in page.scripts if '"pictures":' in text)
    found = {data["pictures"][int(dot["data-picture"] or "")][0] for dot in dots}
    assert found == {name_of(i).removeprefix("photos/val/") for i in places}
    assert dots[-1]["data-picture"] == "1"  # the mistake, on top of the others
    assert "c1" in (dots[-1]["class"] or "")  # the colour of its true class
    assert "Crosses are mistakes" in page.text and "Crosses" not in Page(make(folder)).text


def test_pictures_beyond_the_limit_are_left_out_mistakes_last(folder: Path) -> None:
    page = Page(make(folder, dataset=painted(broken=7), max_pictures=6))
    data = next(json.loads(text) for text in page.scripts if '"pictures":' in text)
    # Number 7 is a mistake that cannot be read. The other two, then every class in turn.
    assert [row[1:3] for row in data["pictures"]] == [[1, 0], [1, 0], [0, 0], [1, 1], [2, 2]]
    assert [row[0] for row in data["pictures"]][:2] == [
        name_of(i).removeprefix("photos/val/") for i in (8, 9)
    ]
    assert "3 of 20 pictures are misclassified" in page.text


def test_a_directory_with_little_in_it_says_what_is_missing(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "old")
    for file in folder.iterdir():
        if file.is_file() and file.name != "config.yaml":
            file.unlink()
    text = Page(make(folder)).text
    assert "This run has no validation result." in text
    for name in ("training_metrics.csv", "confusion_matrix.csv", "environment.json", "status.json"):
        assert f"has no usable {name}" in text


@pytest.mark.parametrize(
    "spoil",
    [
        {"status.json": '{"epoch": "x", "best": [1], "status": "<u>?</u>"}'},
        {"environment.json": '{"data": 5, "versions": [], "git": "x", "folder": 3}'},
        {"environment.json": '{"data": {"train": ["x"]}}'},
        {"test_metrics.json": '{"accuracy": null, "images": "x"}'},
        {"training_metrics.csv": "epoch,val_loss\n1\n"},
        {"gradient_trace.csv": "nothing"},
        {"leaked_pictures.csv": "position\nx\n"},
        {"confusion_matrix.csv": "true_class,a\na,x\n"},
        {"config.yaml": "epochs: x\ndata: [1]\noptimizer: 3\nreport: {language: 5}\n"},
        {".hydra/hydra.yaml": "hydra: {runtime: {choices: {model: [1]}}}"},
    ],
    ids=lambda spoil: next(iter(spoil)),
)
def test_damaged_files_are_left_out(folder: Path, spoil: dict[str, str]) -> None:
    for name, text in spoil.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    page = make(folder, dataset=painted())
    assert "<u>" not in page
    Page(page)


def test_answers_of_another_model_are_not_used(folder: Path) -> None:
    assert read_answers(read_run(folder)) is not None
    table = (folder / "confusion_matrix.csv").read_text(encoding="utf-8")
    (folder / "confusion_matrix.csv").write_text(table.replace("7,1,0", "6,2,0"), encoding="utf-8")
    assert read_answers(read_run(folder)) is None


def test_a_table_with_all_probabilities_is_read_too(folder: Path) -> None:
    lines = ["image_path,fold,true,true_class,predicted,predicted_class,correct,p_a,p_b,p_c"]
    for i, (true, predicted, confidence) in enumerate(answers_in_order()):
        chances = [0.05] * 3
        chances[predicted] = confidence
        text = ",".join(map(str, chances))
        lines.append(f"{i}.png,0,{true},x,{predicted},y,{true == predicted},{text}")
    (folder / "val_predictions.csv").write_text("\n".join(lines), encoding="utf-8")
    found = read_answers(read_run(folder))
    assert found is not None
    assert found.confidence.tolist() == [c for _, _, c in answers_in_order()]


def test_order_and_calibration_by_hand() -> None:
    true, said = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 0, 1, 0])
    confidence = np.array([0.9, 0.6, 0.5, 0.7, 0.8])
    answers = Answers(["a", "b"], list("vwxyz"), true, said, confidence)
    assert answers.mistakes().tolist() == [4, 1]
    assert answers.by_importance() == [4, 1, 2, 3, 0]  # by turns, the least certain first
    # 15 bins, one picture in each: |1 - .9|, |0 - .6|, |1 - .5|, |1 - .7|, |0 - .8|
    error = calibration_error(answers.bins())
    assert error == pytest.approx((0.1 + 0.6 + 0.5 + 0.3 + 0.8) / 5)


# --- languages -----------------------------------------------------------------------------------


def messages() -> set[str]:
    """Every text that templates and code hand to `_`."""
    found = set()
    for path in FOLDER.glob("*.html"):
        tree = environment().parse(path.read_text(encoding="utf-8"))
        for call in tree.find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "_":
                assert isinstance(call.args[0], nodes.Const), f"{path.name}:{call.lineno}"
                found.add(call.args[0].value)
    for path in PACKAGE.glob("*/report/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_":
                assert isinstance(node.args[0], ast.Constant), f"{path.name}:{node.lineno}"
                found.add(node.args[0].value)
    return found


def words() -> set[str]:
    """Every word of a file that is shown translated."""
    kinds = {kind.replace("_", " ") for kind in KINDS}
    metrics = {m.label.replace("f1", "F1").replace("mcc", "MCC") for m in METRICS.values()}
    states = {"running", "interrupted", "failed", "finished", "unknown"}
    return kinds | metrics | states | {"running", "complete", "pruned", "fail"}


def test_every_message_is_in_both_languages() -> None:
    assert len(messages()) > 100
    assert messages() | words() == JAPANESE.keys()
    for english, japanese in JAPANESE.items():
        places = [sorted(re.findall(r"\{(\w+)", text)) for text in (english, japanese)]
        assert places[0] == places[1], english
        assert re.search(r"[ぁ-んァ-ヶ一-龠]", japanese) or english == japanese or "_" in english


def test_values_in_messages_are_escaped() -> None:
    for language in ("en", "ja"):
        assert "&lt;b&gt;" in Translate(language)("is {true}", true="<b>")


@pytest.mark.parametrize(
    ("asked", "variables", "found"),
    [
        ("en", {"LANG": "ja_JP.UTF-8"}, "en"),
        ("ja", {}, "ja"),
        ("auto", {"LANG": "ja_JP.UTF-8"}, "ja"),
        ("auto", {"LANG": "ja_JP.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ("auto", {"LC_MESSAGES": "ja_JP"}, "ja"),
    ],
)
def test_language(
    monkeypatch: pytest.MonkeyPatch, asked: str, variables: dict[str, str], found: str
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert choose_language(asked) == found


# --- size ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_classes", [3, 2500])
def test_a_thousand_pictures_of_noise_stay_below_two_megabytes(
    folder: Path, num_classes: int
) -> None:
    """Noise is what compresses worst; names are long, and most pictures are mistakes."""
    generator = np.random.default_rng(0)
    true, said = generator.integers(0, num_classes, (2, 1000))
    classes = [f"a_name_of_a_class_{i:05d}" for i in range(num_classes)]
    names = [f"photos/val/a_rather_long_name_of_a_picture_{i:05d}.jpeg" for i in range(1000)]
    answers = Answers(classes, names, true, said, generator.random(1000))
    noise = Painted(true.tolist(), side_px=200)
    text = make_run_page(read_run(folder), Source(answers, noise), "en")
    assert len(text.encode()) <= 2_000_000
    data = next(json.loads(t) for t in Page(text).scripts if '"pictures":' in t)
    assert 100 < len(data["pictures"]) < 1000  # the budget ends it, mistakes are there first
    assert all(row[1] != row[2] for row in data["pictures"][:100])

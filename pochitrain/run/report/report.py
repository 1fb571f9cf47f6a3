"""`pochi report RUN…`, and the page at the end of a training."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pochitrain.atomic import write_text
from pochitrain.config.report import ReportConfig
from pochitrain.config.validators import check_fields
from pochitrain.console import PrintableConsole, open_console
from pochitrain.data.dataset import DataSplits, ImageDataset, groups_of
from pochitrain.data.decode import UnreadableImageError
from pochitrain.error import ConfigError, PochiError
from pochitrain.inference.classifier import Classifier
from pochitrain.inference.embedding import compute_embedding
from pochitrain.manner import print_json
from pochitrain.report.language import choose_language
from pochitrain.report.thumbnail import LARGE_PX, shrink
from pochitrain.run.compare.entry import EntrySettings, open_pictures, validation_predictions
from pochitrain.run.overlay import overlays
from pochitrain.run.report.answers import Answers, answers_of, read_answers
from pochitrain.run.report.multirun_page import find_grid, make_multirun_page
from pochitrain.run.report.pictures import NUM_MISTAKES
from pochitrain.run.report.run_files import RunFiles, read_run
from pochitrain.run.report.run_page import Source, make_run_page
from pochitrain.run.report.search_page import is_search, make_search_page, read_search
from pochitrain.text import first_line

PAGE = "report.html"


@dataclass
class ReportSettings:
    """The settings of the command line."""

    runs: Sequence[str]
    language: str | None = None
    """None = as in the config of the run."""
    max_pictures: int | None = None
    """The same."""
    explain: bool = False
    """Whether each of the first mistakes has a heatmap of where the model looks, and there is a map
    of the pictures by their features."""
    device: str | None = None
    allow: Sequence[str] = ()


def report(settings: ReportSettings) -> list[Path]:
    """Write a page for each directory; returns the files.

    Raises:
        ConfigError: if one is no run, search or multirun, or cannot be written to.
    """
    folders = [find_folder(word) for word in settings.runs]
    console = open_console()
    progress = PrintableConsole(stderr=True)
    written = []
    for folder in folders:
        written.append(write_report(folder, settings, progress))
        console.result(f"Written: {written[-1]}", markup=False)
    print_json({"files": [str(path) for path in written]})
    return written


def find_folder(word: str) -> Path:
    """The directory of a run, search or multirun that a word of the command line names.

    Raises:
        ConfigError: if there is none, or it cannot be written to.
    """
    path = Path(word)
    if path.suffix == ".pth" and path.parent.name == "models":
        path = path.parent.parent
    if not (is_one_run(path) or is_search(path) or find_grid(path)):
        seen = "a folder without runs" if path.is_dir() else "which is not there"
        raise ConfigError(
            f"RUN must be a run directory, a search or a folder that holds runs, got {word!r}, "
            f"{seen}."
        )
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigError(
            f"RUN must be a directory that can be written to, got {word!r} (Permission denied). "
            "Copy it to another place first."
        )
    return path


def is_one_run(path: Path) -> bool:
    return (path / "config.yaml").is_file()


def write_report(folder: Path, settings: ReportSettings, progress: PrintableConsole) -> Path:
    """Write the page of a directory of any of the three kinds."""
    if is_one_run(folder):
        return report_run(folder, settings, progress)
    language = choose_language(settings.language or ReportConfig.language)
    if is_search(folder):
        text = search_page(folder, language)
    else:
        text = make_multirun_page(folder, find_grid(folder), language)
    write_text(folder / PAGE, text)
    return folder / PAGE


def search_page(folder: Path, language: str) -> str:
    """HTML of the page of a search.

    Raises:
        ConfigError: if a file of it holds other things than a search writes.
    """
    try:
        return make_search_page(read_search(folder), language)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ConfigError(
            f"RUN must be a search whose files are as it has written them, got {str(folder)!r} "
            f"({type(error).__name__}: {first_line(error)})."
        ) from error


def report_run(folder: Path, settings: ReportSettings, progress: PrintableConsole) -> Path:
    """Write the page of a run, whose best model answers where its answers are not kept."""
    run = read_run(folder)
    own = own_settings(run)
    source = Source(read_answers(run), max_pictures=own.max_pictures)
    if settings.max_pictures is not None:
        source.max_pictures = settings.max_pictures
    how = EntrySettings(settings.device, settings.allow)
    classifier = None
    try:
        if source.answers is None:
            source.answers = answers_of(*validation_predictions(folder, how, progress))
        classifier, source.dataset = open_pictures(folder, how)
        if source.answers.groups is None:
            source.answers.groups = groups_of(source.dataset)
    except PochiError as error:
        source.why_missing = str(error)
    if settings.explain and source.dataset is not None and source.answers is not None:
        assert classifier is not None
        source.heatmaps = make_heatmaps(classifier, source.dataset, source.answers)
        source.places = find_places(classifier, source.dataset)
    return write_page(run, source, settings.language or own.language)


def make_heatmaps(
    classifier: Classifier, dataset: ImageDataset, answers: Answers
) -> dict[int, str]:
    """Position -> data URL of the mistakes that a page shows at once.

    Raises:
        ConfigError: for a network without a feature map, or without the extra `explain`.
    """
    pictures = {}
    for position in answers.mistakes().tolist()[:NUM_MISTAKES]:
        with suppress(UnreadableImageError, OSError):
            pictures[position] = dataset.load(position)
    shown = overlays(classifier, pictures.values())
    return {
        position: shrink(heatmap, LARGE_PX)
        for position, heatmap in zip(pictures, shown, strict=True)
    }


def find_places(classifier: Classifier, dataset: ImageDataset) -> dict[int, tuple[float, float]]:
    """Position of each picture -> its place on a map by features; empty if there can be none."""
    try:
        found = compute_embedding(classifier, dataset, int(classifier.config["batch_size"]))
    except ConfigError:  # no last layer on a vector per picture, or hardly any pictures
        return {}
    pairs = zip(found.indices.tolist(), found.coordinates.tolist(), strict=True)
    return {position: (x, y) for position, (x, y) in pairs}


def write_page(run: RunFiles, source: Source, language: str) -> Path:
    path = run.folder / PAGE
    write_text(path, make_run_page(run, source, choose_language(language)))
    return path


def own_settings(run: RunFiles) -> ReportConfig:
    """What the config of the run says; the defaults in an older one."""
    node = run.group("report")
    known = ReportConfig.__dataclass_fields__
    values = {key: value for key, value in node.items() if key in known}
    with suppress(ConfigError):
        found = ReportConfig(**values)
        check_fields(ReportConfig, vars(found), "report.")
        return found
    return ReportConfig()


def report_training(folder: Path, data: DataSplits, console: PrintableConsole) -> None:
    """Write the page at the end of a training; nothing that goes wrong here fails the run."""
    try:
        run = read_run(folder)
        own = own_settings(run)
        source = Source(read_answers(run), data.val, max_pictures=own.max_pictures)
        if source.answers is not None and data.val is not None:
            source.answers.groups = groups_of(data.val)
        path = write_page(run, source, own.language)
    except Exception as error:  # the run is complete without its page
        reason = f"{type(error).__name__}: {first_line(error)}"
        console.warn(f"Warning: {PAGE} could not be made ({reason}).")
        return
    console.print(f"Report: {path}", markup=False)

"""A check of the pictures, from the composed config to findings.json and report.html."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from pochitrain.atomic import write_text
from pochitrain.check.classes import (
    count_sides,
    crop_loss,
    judge_classes,
    judge_cut,
    judge_modes,
)
from pochitrain.check.duplicate import MOST_PICTURES, Pair, find_exact, find_near
from pochitrain.check.finding import KINDS, Findings, leaks_first
from pochitrain.check.pictures import Pictures
from pochitrain.check.quality import judge_quality, judge_sizes
from pochitrain.check.scan import Look, scan
from pochitrain.config.component import Components
from pochitrain.console import PrintableConsole, open_console
from pochitrain.data.dataset import require_splits
from pochitrain.data.twins import save_alike
from pochitrain.error import ConfigError, require
from pochitrain.manner import print_json
from pochitrain.paths import make_numbered_directory
from pochitrain.report.data_check import format_page
from pochitrain.run.label_check import judge_labels
from pochitrain.text import format_json, shorten_list
from pochitrain.threads import limit_threads

PARENT = Path("outputs")
SHOWN = 3
"""Examples of each kind in the terminal."""


@dataclass
class CheckSettings:
    """The settings of the command line."""

    output: str | None = None
    fix_list: str | None = None
    labels: bool = True
    """Whether suspicious labels are searched for."""
    no_labels_because: str = ""
    """Why they are not; empty if nobody wants them."""


def check_data(cfg: DictConfig, warnings: list[str], settings: CheckSettings) -> bool:
    """Look at all pictures of the config and write what was found.

    Returns:
        Whether there is a problem (a finding that is not only worth knowing).

    Raises:
        ConfigError: for wrong input.
    """
    console = open_console()
    limit_threads()
    if "verify" in cfg.data:
        cfg.data.verify = False  # this check says more about unreadable pictures
    data = require_splits(Components(cfg).build_data())
    folder = make_output(settings.output)
    pictures = Pictures(data)
    looked_at = scan(pictures)
    looks = {i: found for i, found in enumerate(looked_at) if isinstance(found, Look)}
    findings = Findings(pictures.names)
    for image, found in enumerate(looked_at):
        if isinstance(found, str):
            findings.add("unreadable", (image,), found, drop=(image,))
    findings.found += find_exact(pictures, looks)
    near, pairs = find_near(pictures, looks)
    findings.found += near
    remember(pictures, looks, pairs)
    findings.found += judge_quality({i: look.quality for i, look in looks.items()})
    findings.found += judge_sizes({i: look.size for i, look in looks.items()})
    for judge in (judge_modes, judge_cut):
        findings.found += judge(looks)
    findings.found += judge_classes(pictures)
    notes = [*warnings, *data.warnings, *([f"Left out: {line}" for line in data.skipped])]
    if len(looks) > MOST_PICTURES:
        notes.append(f"Nearly the same pictures are searched for among up to {MOST_PICTURES:,}.")
    if settings.labels:
        found_labels, note = judge_labels(cfg, pictures, sorted(looks), console)
        findings.found += found_labels
        notes += [note] if note else []
    elif settings.no_labels_because:
        notes.append(settings.no_labels_because)
    files = write_files(folder, pictures, looks, findings, notes)
    if settings.fix_list is not None:
        names = [pictures.class_name(i) for i in range(len(pictures))]
        write_text(settings.fix_list, findings.fix_list(names))
        files.append(settings.fix_list)
    print_json(
        {
            "pictures": {
                "training": pictures.num_train,
                "validation": len(pictures) - pictures.num_train,
            },
            "classes": {
                name: {"training": train, "validation": val}
                for name, (train, val) in zip(
                    pictures.class_names, count_sides(pictures), strict=True
                )
            },
            "problems": len(findings.problems()),
            "counts": {kind: len(findings.of_kind(kind)) for kind in findings.kinds()},
            "findings": findings.as_json(),
            "notes": notes,
            "files": files,
        }
    )
    print_summary(console, pictures, looks, findings, notes)
    console.result(f"Written: {'  '.join(files)}", markup=False)
    return bool(findings.problems())


def make_output(output: str | None) -> Path:
    """Make the folder of this check: `--output`, or the next free `outputs/data_check[_N]`.

    Raises:
        ConfigError: if that is not possible.
    """
    try:
        if output is not None:
            Path(output).mkdir(parents=True, exist_ok=True)
            return Path(output)
        PARENT.mkdir(exist_ok=True)
        return make_numbered_directory(PARENT, "data_check")
    except OSError as error:
        raise ConfigError(
            f"--output must be a folder that can be written to ({error.strerror}: "
            f"{str(error.filename)!r}). Choose another with --output DIR."
        ) from error


def require_parent(fix_list: str | None) -> None:
    """Refuse a file in a folder that does not exist, before the pictures are looked at."""
    if fix_list is not None:
        path = Path(fix_list)
        good = path.absolute().parent.is_dir() and not path.is_dir()
        require(good, "--fix-list", "a file in a folder that exists", fix_list)


def remember(pictures: Pictures, looks: dict[int, Look], pairs: Iterable[Pair]) -> None:
    """Keep what is alike for the trainings to come, each pair with all its exact copies."""
    copies: dict[bytes, list[int]] = defaultdict(list)
    for image, look in looks.items():
        copies[look.pixels].append(image)
    groups = [
        [*copies[looks[pair.first].pixels], *copies[looks[pair.second].pixels]] for pair in pairs
    ]
    groups += [group for group in copies.values() if len(group) > 1]
    split = pictures.num_train
    save_alike(
        pictures.sides,
        [[(int(i >= split), i - split if i >= split else i) for i in group] for group in groups],
    )


def describe(pictures: Pictures, looks: dict[int, Look]) -> dict[str, str]:
    """What the set is like, label -> text."""
    num_val = len(pictures) - pictures.num_train
    rows = {"pictures": f"{pictures.num_train:,} training, {num_val:,} validation"}
    counts = [
        f"{name} {train}" + (f"/{val}" if num_val else "")
        for name, (train, val) in zip(pictures.class_names, count_sides(pictures), strict=True)
    ]
    rows["classes"] = f"{len(counts)}: {shorten_list(counts, 12)}"
    if looks:
        sizes = sorted(look.size[0] * look.size[1] for look in looks.values())
        unique = {look.size for look in looks.values()}
        middle = sorted(look.size for look in looks.values())[len(looks) // 2]
        rows["sizes"] = (
            f"{len(unique):,} different, from {sizes[0]:,} to {sizes[-1]:,} pixels, "
            f"typically {middle[0]} x {middle[1]}"
        )
        losses = sorted(crop_loss(looks).values())
        rows["shapes"] = f"a square crop cuts off {losses[len(losses) // 2]:.0%} of a typical one"
        modes: dict[str, int] = defaultdict(int)
        for look in looks.values():
            modes[look.mode or "in memory"] += 1
        rows["stored as"] = ", ".join(f"{mode} {count:,}" for mode, count in sorted(modes.items()))
    return rows


def write_files(
    folder: Path,
    pictures: Pictures,
    looks: dict[int, Look],
    findings: Findings,
    notes: list[str],
) -> list[str]:
    write_text(folder / "findings.json", format_json(findings.as_json()))
    page = format_page(pictures, findings, describe(pictures, looks), notes)
    write_text(folder / "report.html", page)
    return [str(folder / "findings.json"), str(folder / "report.html")]


def print_summary(
    console: PrintableConsole,
    pictures: Pictures,
    looks: dict[int, Look],
    findings: Findings,
    notes: list[str],
) -> None:
    rows = describe(pictures, looks)
    width = max(map(len, rows))
    for label, text in rows.items():
        console.print(f"{label:<{width}}  {text}", markup=False)
    for note in notes:
        console.warn(note)
    if not findings.found:
        console.result("Nothing to report.", style="bold")
        return
    width = max(map(len, findings.kinds()))
    for kind in findings.kinds():
        own = leaks_first(findings.of_kind(kind))
        across = sum(finding.across_split for finding in own)
        number = f"{len(own):,}" + (f" ({across:,} across the split)" if across else "")
        console.result(f"[bold]{kind:<{width}}  {number}[/bold]  {KINDS[kind]}")
        for finding in own[:SHOWN]:
            paths = [findings.names[i] for i in finding.images]
            text = ": ".join([*([shorten_list(paths, 2)] if paths else []), finding.detail])
            console.result(f"  {text}", markup=False)
        if len(own) > SHOWN:
            console.result(f"  and {len(own) - SHOWN:,} more", markup=False)

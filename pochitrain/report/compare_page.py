"""The page of a comparison of runs: one HTML file that needs nothing else."""

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from pochitrain.metric.table import METRICS
from pochitrain.report.gallery import embed
from pochitrain.report.html_page import frame_page

MAX_SHOWN = 200
"""Characters of a value of a config."""


@dataclass
class Card:
    """A picture that one setting has right and another wrong."""

    image: Image.Image | None
    path: str
    true: str
    said: Sequence[tuple[str, str]]
    """Setting and the class that it predicts, of both."""


Section = tuple[Mapping[str, Any], str, Sequence[tuple[str, int, Sequence[Card]]]]
"""A comparison as in compare.json, its verdict, and for each side: its name, how many pictures
only it has right, and some of these."""


def format_page(
    content: Mapping[str, Any],
    config: Mapping[str, Sequence[str]],
    sections: Sequence[Section],
    graphs: Sequence[Path],
) -> str:
    """HTML of a comparison.

    Args:
        content: as in compare.json.
        config: key -> its value in each setting, where these differ.
        graphs: PNG files to show.
    """
    shown = "".join(f'<img class=graph alt="{path.stem}" src="{png(path)}">' for path in graphs)
    body = BODY.format(
        verdicts="".join(f"<li>{html.escape(line)}</li>" for line in content["text"]),
        notes="".join(f"<p class=note>{html.escape(note)}</p>" for note in content["notes"]),
        metrics=metric_table(content),
        config=config_table([one["label"] for one in content["settings"]], config),
        graphs=f"<h2>Curves</h2>{shown}" if shown else "",
        sections="".join(map(format_section, sections)),
    )
    return frame_page("Comparison of runs", STYLE, body)


def metric_table(content: Mapping[str, Any]) -> str:
    metrics = [m for name, m in METRICS.items() if name != "val_loss"]
    heads = "".join(f"<th>{m.label}{f' {m.unit}' * bool(m.unit)}</th>" for m in metrics)
    first = "<th></th><th class=name>run</th><th>seed</th><th>epoch</th><th>pictures</th>"
    head = f"<tr>{first}{heads}</tr>"
    body = []
    for setting in content["settings"]:
        for run in content["runs"]:
            if run["setting"] != setting["label"]:
                continue
            epoch = "" if run["best_epoch"] is None else f"{run['best_epoch']}/{run['epochs']}"
            seed = "" if run["seed"] is None else run["seed"]
            cells = "".join(
                f"<td>{format_value(run['metrics'].get(m.name), m.unit)}</td>" for m in metrics
            )
            body.append(
                f"<tr><th>{run['setting']}</th><td class=name>{html.escape(run['name'])}</td>"
                f"<td>{html.escape(str(seed))}</td><td>{epoch}</td><td>{run['pictures']:,}</td>"
                f"{cells}</tr>"
            )
        if setting["accuracy_std"] is not None:
            text = f"{setting['accuracy_mean']:.2f} ± {setting['accuracy_std']:.2f}"
            body.append(
                f"<tr class=mean><th>{setting['label']}</th><td class=name colspan=4>mean ± "
                f"standard deviation</td><td>{text}</td>"
                f"<td colspan={len(metrics) - 1}></td></tr>"
            )
    return f"<table>{head}{''.join(body)}</table>"


def format_value(known: Mapping[str, float | None] | None, unit: str, sign: str = "") -> str:
    """A value, and its interval below it; `sign` is + to show that of positive numbers too."""
    if known is None or known["value"] is None:
        return "-"
    form = f"{sign}.{2 if unit else 4}f"
    low, high = known["low"], known["high"]
    text = f"{known['value']:{form}}"
    return text if low is None else f"{text}<small>{low:{form}} to {high:{form}}</small>"


def config_table(labels: Sequence[str], config: Mapping[str, Sequence[str]]) -> str:
    if not config:
        return "<p>The configs differ by nothing but the seed.</p>"
    heads = "".join(f"<th>{label}</th>" for label in labels)
    rows = "".join(
        f"<tr><td class=name>{html.escape(key)}</td>"
        + "".join(f"<td class=value>{html.escape(clip(value))}</td>" for value in values)
        + "</tr>"
        for key, values in config.items()
    )
    return f"<table><tr><th class=name>key</th>{heads}</tr>{rows}</table>"


def clip(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def format_section(section: Section) -> str:
    comparison, verdict, sides = section
    first, second = html.escape(comparison["first"]), html.escape(comparison["second"])
    kind = "better" if comparison["significant"] else "same"
    parts = [difference_table(comparison)]
    for name, num, cards in sides:
        if num:
            more = f", {len(cards)} of them" if num > len(cards) else ""
            figures = "".join(map(format_card, cards))
            parts.append(
                f"<h3>Only {html.escape(name)} is right <span>{num:,} pictures{more}</span></h3>"
                f"<div class=cards>{figures}</div>"
            )
    return (
        f'<section><h2>{first} and {second}</h2><p class="verdict {kind}">{html.escape(verdict)}'
        f"</p>{''.join(parts)}</section>"
    )


def difference_table(comparison: Mapping[str, Any]) -> str:
    """First minus second in every metric; empty where nothing was tested."""
    known = comparison["differences"]
    if not known:
        return ""
    metrics = [METRICS[name] for name in known]
    heads = "".join(f"<th>{m.label}{f' {m.unit}' * bool(m.unit)}</th>" for m in metrics)
    cells = "".join(f"<td>{format_value(known[m.name], m.unit, '+')}</td>" for m in metrics)
    title = f"{html.escape(comparison['first'])} minus {html.escape(comparison['second'])}"
    return (
        f"<div class=wide><table><tr><th></th>{heads}</tr><tr><th>{title}</th>{cells}</tr>"
        "</table></div>"
    )


def format_card(card: Card) -> str:
    path = html.escape(card.path, quote=True)
    shown = "<div class=gone>not there</div>"
    if card.image is not None:
        shown = f'<img src="{embed(card.image)}" alt="{path}">'
    said = "".join(
        f'<div class="{"right" if found == card.true else "wrong"}">{html.escape(name)}: '
        f"{html.escape(found)}</div>"
        for name, found in card.said
    )
    name = html.escape(card.path.rpartition("/")[2])
    return (
        f'<figure title="{path}">{shown}<figcaption><b>{html.escape(card.true)}</b>{said}'
        f"<span class=path>{name}</span></figcaption></figure>"
    )


def png(path: Path) -> str:
    """The file as a data URL."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


STYLE = """\
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; padding-top: .75rem;
  border-top: 2px solid #222; }
h3 { font-size: 1rem; margin: 1.2rem 0 .5rem; }
h3 span { color: #777; font-weight: 400; }
ul { padding-left: 1.2rem; margin: 0 0 1rem; }
li { margin: .3rem 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .35rem .7rem; text-align: right; border-bottom: 1px solid #e4e4e4;
  vertical-align: top; font-variant-numeric: tabular-nums; white-space: nowrap; }
th.name, td.name { text-align: left; }
td.name, td.value { white-space: normal; overflow-wrap: anywhere; }
td.name { min-width: 9rem; }
td.value { min-width: 6rem; }
.verdict + .wide { margin-top: .8rem; }
tr:first-child th { border-bottom: 2px solid #999; font-weight: 600; white-space: normal;
  vertical-align: bottom; }
td small { display: block; color: #777; font-size: .75rem; }
.mean td, .mean th { background: #f6f6f6; font-weight: 600; }
.graph { max-width: 100%; height: auto; display: block; margin: 0 0 1rem; }
.note { color: #7a4b00; font-size: .9rem; margin: .3rem 0; overflow-wrap: anywhere; }
.verdict { padding: .6rem .9rem; border-left: 5px solid; background: #f6f6f6; margin: 0; }
.better { border-color: #2e7d32; }
.same { border-color: #999; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; }
figure { margin: 0; width: 9rem; border: 1px solid #ddd; border-radius: 6px; padding: .5rem; }
figure img, .gone { width: 100%; aspect-ratio: 1; object-fit: contain; background: #f4f4f4;
  display: block; }
.gone { display: flex; align-items: center; justify-content: center; color: #999; }
figcaption { font-size: .8rem; margin-top: .4rem; overflow-wrap: anywhere; }
.right { color: #1b6e20; }
.wrong { color: #b34700; }
@media (max-width: 480px) {
  .cards { gap: .5rem; }
  figure { width: calc(50% - .25rem); }
}
"""

BODY = """\
<h1>Comparison of runs</h1>
<ul>{verdicts}</ul>
{notes}
<h2>Validation metrics, with 95 % intervals</h2>
<div class=wide>{metrics}</div>
<h2>In what the configs differ</h2>
<div class=wide>{config}</div>
{graphs}
{sections}"""

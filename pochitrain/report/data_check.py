"""The page of a check of the pictures: one HTML file, with small versions of what it shows."""

import html
from collections.abc import Mapping, Sequence

from pochitrain.check.finding import KINDS, Finding, Findings, leaks_first
from pochitrain.check.pictures import Pictures
from pochitrain.data.decode import UnreadableImageError
from pochitrain.report.gallery import embed
from pochitrain.report.html_page import frame_page

MAX_FINDINGS = 60
"""Of each kind, so many are shown."""
MAX_IMAGES = 8
"""Of each finding."""


def format_page(
    pictures: Pictures, findings: Findings, facts: Mapping[str, str], notes: Sequence[str]
) -> str:
    """HTML of all findings, the most important kind first.

    Args:
        facts: label -> text, what the set is like.
        notes: lines on what was not looked at.
    """
    kinds = findings.kinds()
    sections = "\n".join(format_kind(pictures, findings, kind) for kind in kinds)
    links = " ".join(
        f'<a href="#{kind}">{title(kind)} <b>{len(findings.of_kind(kind)):,}</b></a>'
        for kind in kinds
    )
    rows = "".join(
        f"<dt>{html.escape(label)}</dt><dd>{html.escape(text)}</dd>"
        for label, text in facts.items()
    )
    lines = "".join(f"<p class=note>{html.escape(note)}</p>" for note in notes)
    body = BODY.format(
        facts=rows,
        notes=lines,
        links=links or "<b>Nothing to report.</b>",
        leaks=describe_leaks(pictures, findings),
        sections=sections,
    )
    return frame_page("Check of the pictures", STYLE, body)


def describe_leaks(pictures: Pictures, findings: Findings) -> str:
    """A line on the validation pictures that are in training too; empty without validation."""
    num_val = len(pictures) - pictures.num_train
    if not num_val:
        return ""
    leaked = {
        image
        for finding in findings.found
        if finding.across_split
        for image in finding.images
        if image >= pictures.num_train
    }
    share = f"{len(leaked):,} of {num_val:,} validation pictures"
    kind = "bad" if leaked else "good"
    return f'<p class="leaks {kind}"><b>{share}</b> are, or nearly are, in training too.</p>'


def title(kind: str) -> str:
    return kind.replace("_", " ")


def format_kind(pictures: Pictures, findings: Findings, kind: str) -> str:
    own = leaks_first(findings.of_kind(kind))
    cards = "\n".join(format_finding(pictures, findings, f) for f in own[:MAX_FINDINGS])
    more = len(own) - MAX_FINDINGS
    rest = f"<p class=note>And {more:,} more: see findings.json.</p>" if more > 0 else ""
    return (
        f'<section id="{kind}"><h2>{title(kind)} <span>{len(own):,}</span></h2>'
        f"<p>{html.escape(KINDS[kind])}</p><div class=cards>{cards}</div>{rest}</section>"
    )


def format_finding(pictures: Pictures, findings: Findings, finding: Finding) -> str:
    shown = both_sides(pictures, finding.images)
    figures = "".join(format_image(pictures, findings, image) for image in shown)
    more = len(finding.images) - len(shown)
    rest = f" And {more:,} more pictures." if more else ""
    leak = "<b class=leak>across split</b> " if finding.across_split else ""
    return (
        f'<article class="n{min(2, len(shown))}"><div class=row>{figures}</div>'
        f"<p>{leak}{html.escape(finding.detail)}.{rest}</p></article>"
    )


def both_sides(pictures: Pictures, images: Sequence[int]) -> list[int]:
    """The pictures to show, at most MAX_IMAGES, taken by turns from both sides."""
    train = [image for image in images if image < pictures.num_train]
    val = [image for image in images if image >= pictures.num_train]
    if not val or not train:
        return list(images[:MAX_IMAGES])
    half = MAX_IMAGES // 2
    num_val = min(len(val), max(half, MAX_IMAGES - len(train)))
    return [*train[: MAX_IMAGES - num_val], *val[:num_val]]


def format_image(pictures: Pictures, findings: Findings, image: int) -> str:
    name = html.escape(findings.names[image], quote=True)
    side = "validation" if image >= pictures.num_train else "training"
    side = side if len(pictures.sides) > 1 else ""
    try:
        shown = f'<img src="{embed(pictures.load(image))}" alt="{name}">'
    except UnreadableImageError:
        shown = "<div class=gone>unreadable</div>"
    return (
        f'<figure title="{name}">{shown}<figcaption><div class=head>'
        f"<b>{html.escape(pictures.class_name(image))}</b><i>{side}</i></div>"
        f"<span class=path>{name}</span></figcaption></figure>"
    )


STYLE = """\
h2 { font-size: 1.15rem; margin: 2.5rem 0 0; padding-top: .75rem; border-top: 2px solid #222; }
h2::first-letter { text-transform: uppercase; }
h2 span { color: #777; font-weight: 400; }
section > p { margin: .2rem 0 .8rem; color: #555; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; }
dt { color: #777; }
dd { margin: 0; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: .5rem; margin: 1rem 0; }
nav a { padding: .25rem .7rem; border: 1px solid #ccc; border-radius: 1rem; color: #222;
  text-decoration: none; font-size: .9rem; }
nav a:hover { background: #f2f2f2; }
.leaks { padding: .6rem .9rem; border-left: 5px solid; background: #f6f6f6; }
.leaks.bad { border-color: #c0392b; background: #fdf1ef; }
.leaks.good { border-color: #2e7d32; }
.note { color: #7a4b00; font-size: .9rem; margin: .3rem 0; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; align-items: flex-start; }
article { border: 1px solid #ddd; border-radius: 8px; padding: .6rem; max-width: 100%; }
article.n0, article.n2 { flex: 0 1 auto; }
article > p { margin: .5rem 0 0; font-size: .85rem; overflow-wrap: anywhere; }
article.n1 { width: 11.2rem; }
.row { display: flex; flex-wrap: wrap; gap: .6rem; }
.row:empty + p { margin: 0; }
figure { margin: 0; width: 10rem; }
article.n2 { max-width: 44rem; }
img, .gone { width: 10rem; height: 10rem; object-fit: contain; background: #f4f4f4; display: block;
  border-radius: 4px; }
.gone { display: flex; align-items: center; justify-content: center; color: #999;
  border: 1px dashed #bbb; }
figcaption { font-size: .8rem; margin-top: .3rem; overflow-wrap: anywhere; }
.head { display: flex; flex-wrap: wrap; justify-content: space-between; column-gap: .5rem; }
figcaption i { color: #777; font-style: normal; }
.leak { background: #c0392b; color: #fff; padding: .05rem .4rem; border-radius: 3px;
  font-size: .75rem; white-space: nowrap; }
@media (max-width: 480px) {
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .5rem; }
  .cards { gap: .5rem; }
  article { width: 100% !important; }
  article.n1 { width: calc(50% - .25rem) !important; }
  figure { width: calc(50% - .3rem); }
  article.n1 figure { width: 100%; }
  img, .gone { width: 100%; height: auto; aspect-ratio: 1; }
}
"""

BODY = """\
<h1>Check of the pictures</h1>
<dl>{facts}</dl>
{notes}
{leaks}
<nav>{links}</nav>
{sections}"""

"""A page of the most confident mistakes, in one HTML file that contains the images."""

import html
from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image

from pochitrain.report.html_page import frame_page
from pochitrain.report.thumbnail import shrink

THUMBNAIL_PX = 160
MAX_MISTAKES = 200


@dataclass
class Mistake:
    """A misclassified image."""

    image: Image.Image
    path: str
    predicted: str
    true: str
    confidence: float
    """0 to 1."""
    heatmap: Image.Image | None = None
    """The picture with the evidence for the predicted class over it, where that is wanted."""


def format_gallery(mistakes: Iterable[Mistake], num_images: int, num_mistakes: int) -> str:
    """HTML of `mistakes`, most confident first.

    Args:
        mistakes: iterated once, so that a generator holds one full-size image at a time.
        num_images: number of classified images.
        num_mistakes: mistakes among them; the page shows at most MAX_MISTAKES.
    """
    cards = list(map(format_card, mistakes))
    shown = f", the {len(cards)} most confident ones" if len(cards) < num_mistakes else ""
    title = f"{num_mistakes} of {num_images} pictures were misclassified{shown}"
    body = BODY.format(title=html.escape(title), cards="\n".join(cards))
    return frame_page("Mistakes", STYLE, body)


def format_card(mistake: Mistake) -> str:
    path = html.escape(mistake.path, quote=True)
    why = ""
    if mistake.heatmap is not None:
        text = html.escape(f"evidence for {mistake.predicted}", quote=True)
        why = f'<img src="{embed(mistake.heatmap)}" alt="{text}" title="{text}">'
    return (
        f'<figure title="{path}"><img src="{embed(mistake.image)}" alt="{path}">{why}'
        f"<figcaption><b>{html.escape(mistake.predicted)}</b> {100 * mistake.confidence:.1f} %"
        f'<br><span class="true">is {html.escape(mistake.true)}</span>'
        f'<br><span class="path">{path}</span></figcaption></figure>'
    )


def embed(image: Image.Image) -> str:
    """A small version as a data URL."""
    return shrink(image, THUMBNAIL_PX)


STYLE = """\
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(180px, 1fr)); gap: 1rem; }
figure { margin: 0; padding: .6rem; border: 1px solid #ddd; border-radius: 6px; }
img { width: 160px; height: 160px; object-fit: contain; background: #f4f4f4;
  display: block; margin: auto; image-rendering: auto; }
img + img { margin-top: .4rem; }
figcaption { font-size: .85rem; margin-top: .5rem; overflow-wrap: anywhere; }
.true { color: #b34700; }
"""

BODY = """\
<h1>{title}</h1>
<main>
{cards}
</main>"""

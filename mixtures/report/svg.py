"""SVG text as one element of a page: nothing from outside, no name twice, fonts that readers have."""

from __future__ import annotations

import html
import re

_FONTS = (
    "Helvetica, Arial, 'DejaVu Sans', sans-serif"  # no wider than the font that the layout was measured with
)


def as_element(svg: str, description: str) -> str:
    """Return the text of an SVG file as an element to put into a page.

    Names that nothing refers to go, so that none occurs twice in a page; coordinates keep two
    decimals, a hundredth of a point; the element scales with the page.

    Parameters
    ----------
    svg : str
        As matplotlib writes it, with text as text.
    description : str
        What it shows, for readers who do not see it.
    """
    svg = svg[svg.index("<svg") :].replace("xlink:href", "href")
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda match: match[0] if match[1] in used else "", svg)
    svg = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\.\d\d)\d+", r"\1", tag[0]), svg)  # not in what is read
    svg = svg.replace("'DejaVu Sans'", _FONTS)
    head = f'<svg role="img" aria-label="{html.escape(description)}" viewBox='
    return re.sub(
        r'<svg [^>]*?viewBox=("[^"]+")[^>]*>', lambda match: f"{head}{match[1]}>", svg, count=1
    ).strip()

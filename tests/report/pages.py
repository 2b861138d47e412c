"""Reading a report back: its tags in order, its tables, its text."""

from html.parser import HTMLParser
from itertools import pairwise

VOID = {"meta", "br", "img", "hr", "link", "input"}


class Page(HTMLParser):
    """A page: tags with attributes, text by table row, and whether every tag is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.text, self.open = [], [], "", []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text += data
        if ("td" in self.open or "th" in self.open) and self.rows:
            self.rows[-1][-1] += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def row(self, *cells):
        """The one row that begins with these cells."""
        (found,) = [row for row in self.rows if row[: len(cells)] == list(cells)]
        return found


def check_page(text):
    """What holds of every report: whole in itself, in order, described."""
    page = Page(text)
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == 1
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3", "h4")]
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    assert not page.all("script")
    for _, attributes in page.tags:
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
    assert len(page.all("caption")) == len(page.all("table")) > 0
    assert all("scope" in attributes for attributes in page.all("th"))
    assert len(page.all("figcaption")) == len(page.all("figure")) == len(page.all("svg"))
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.all("svg"))
    return page

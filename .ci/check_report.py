"""Check that a study's report exists and says what it must: title, accounting, every claim's verdict."""

import re
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

VERDICTS = re.compile(r"\b(supported|refuted|inconclusive)\b", re.IGNORECASE)
BLOCKS = {"tr", "li", "p", "dt", "dd", "section", "article", "div", "h1", "h2", "h3"}
UNSEEN = {"style", "script"}


class Passages(HTMLParser):
    """The text that a reader sees, a passage for each block of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.passages = [""]
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self._unseen += tag in UNSEEN
        if tag in BLOCKS:
            self.passages.append("")

    def handle_endtag(self, tag: str) -> None:
        self._unseen -= tag in UNSEEN

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.passages[-1] = " ".join(f"{self.passages[-1]} {data}".split())


def missing(study: dict, page: str) -> list[str]:
    """Name what the page of a study should say and does not."""
    reader = Passages()
    reader.feed(page)
    wanted = [study["title"], "Accounting"]
    absent = [f"the words {words!r}" for words in wanted if not any(words in p for p in reader.passages)]
    return absent + [
        f"a verdict on the claim {claim['id']!r}"
        for claim in study["claim"]
        if not any(claim["id"] in p and VERDICTS.search(p) for p in reader.passages)
    ]


def main(study_file: str, report_file: str) -> None:
    """Exit with a message where the report is absent or incomplete."""
    report = Path(report_file)
    if not report.is_file():
        sys.exit(f"no report at {report}")
    study = tomllib.loads(Path(study_file).read_text(encoding="utf-8"))
    if absent := missing(study, report.read_text(encoding="utf-8")):
        sys.exit(f"{report} lacks {'; '.join(absent)}")
    print(f"the report holds its title, the accounting and {len(study['claim'])} verdicts")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A licence's page as plain text."""

from html.parser import HTMLParser

BLOCKS = {"p", "li", "h1", "h2", "h3", "h4", "div", "br", "tr"}
UNREAD = {"script", "style"}


class _Article(HTMLParser):
    """Collects the text inside <article>, a line a block."""

    def __init__(self):
        super().__init__()
        self.pieces: list[str] = []
        self.depth, self.unread = 0, 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.depth += tag == "article"
        self.unread += tag in UNREAD
        if tag in BLOCKS:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag == "article"
        self.unread -= tag in UNREAD

    def handle_data(self, data: str) -> None:
        if self.depth and not self.unread:
            self.pieces.append(data)


def plain_text(page: str) -> str:
    """The text of a page's <article>; the page as it is where it has none, as a plain text file has."""
    parser = _Article()
    parser.feed(page)
    lines = (" ".join(line.split()) for line in "".join(parser.pieces).splitlines())
    return "\n".join(line for line in lines if line) or page

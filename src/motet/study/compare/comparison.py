"""What a comparison gives back: its content as plain values, as text, as JSON and as a page."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motet.artifact import write_file
from motet.study.compare.html import html
from motet.study.compare.text import text

JSON, HTML = "compare.json", "compare.html"


@dataclass(frozen=True)
class Comparison:
    """`content` is what compare.json holds; `folder` has it and the runs, None of runs compared where they are."""

    content: dict[str, Any]
    folder: Path | None = None

    def to_text(self) -> str:
        """In plain words and small tables."""
        return text(self.content)

    def to_json(self) -> str:
        """The content as JSON text."""
        return json.dumps(self.content, indent=1, ensure_ascii=False, allow_nan=False)

    def to_html(self, *, title: str = "comparison") -> str:
        """One page that needs no network."""
        return html(self.content, title=title)

    @property
    def page(self) -> Path | None:
        """Where the page is, once it is written."""
        return None if self.folder is None else self.folder / HTML

    def write_page(self, path: Path, *, title: str) -> Path:
        """Write the page alone; its path."""
        write_file(path, self.to_html(title=title).encode())
        return path

    def write(self, folder: Path, *, title: str) -> None:
        """Write compare.html and, last, compare.json."""
        self.write_page(folder / HTML, title=title)
        write_file(folder / JSON, (self.to_json() + "\n").encode())

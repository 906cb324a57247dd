"""`docs/cli.md` is made from the commands."""

from __future__ import annotations

from pathlib import Path

from dativo.cli._reference import reference


def test_the_page_is_current():
    page = Path(__file__).parents[2] / "docs" / "cli.md"

    assert page.read_text("utf-8") == reference(), "run `python -m dativo.cli._reference > docs/cli.md`"

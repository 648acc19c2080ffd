"""The table of families in the documents."""

from tests.families.table import DOCUMENT, TITLES, written


def test_the_document_says_what_the_families_have():
    text = DOCUMENT.read_text("utf-8")
    assert text == written(text), "run python -m tests.families.table"
    assert all(title in text for title in TITLES.values())

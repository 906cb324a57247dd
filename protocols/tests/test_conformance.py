"""Every transcript gives what its expectations say, however it is cut."""

from __future__ import annotations

import json
import random

import pytest

from protocols.tests.transcripts import CASES, result_of, transcript

TRANSCRIPTS = [path for path in CASES.rglob("*") if path.suffix in (".jsonl", ".bin")]
NAMES = sorted(str(path.relative_to(CASES).with_suffix("")) for path in TRANSCRIPTS)


@pytest.mark.parametrize("case", NAMES)
def test_transcript_gives_what_is_expected(case: str) -> None:
    expected = json.loads((CASES / f"{case}.expected.json").read_text())
    assert result_of(case, [transcript(case)], **expected["options"]) == expected["result"]


@pytest.mark.parametrize("case", NAMES)
def test_transcript_gives_the_same_in_any_pieces(case: str) -> None:
    expected = json.loads((CASES / f"{case}.expected.json").read_text())
    text = transcript(case)
    cuts = sorted(random.Random(case).sample(range(len(text) + 1), min(len(text), 12)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert result_of(case, pieces, threads=1, memory_budget_bytes=1 << 20, **expected["options"]) == expected["result"]


def test_every_expectation_has_a_transcript() -> None:
    expectations = (str(path.relative_to(CASES)).removesuffix(".expected.json") for path in CASES.rglob("*.expected.json"))
    assert sorted(expectations) == NAMES

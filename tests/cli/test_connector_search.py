"""`dativo connector search`."""

from __future__ import annotations

import json

import pytest

RECIPE = (
    "name: {name}\nversion: '1'\ndescription: {about}\ndefault_engine: singer\nengines: {{singer: {{package: tap-{name}==1}}}}\n"
)


@pytest.fixture
def search(project):
    """Names of what is found."""
    project.write("connectors/parcels.yaml", RECIPE.format(name="parcels", about="Parcels and letters of a post office"))
    project.write("connectors/letters.yaml", RECIPE.format(name="letters", about="Letters only"))

    def ask(*words: str) -> list[str]:
        found = json.loads(project.dativo("connector", "search", *words, "--json").out)["recipes"]
        return [recipe["name"] for recipe in found]

    return ask


def test_a_name_comes_before_a_description(search):
    assert search("letters") == ["letters", "parcels"]


def test_every_word_must_be_said(search):
    assert search("letters", "office") == ["parcels"]
    assert search("letters zeppelin") == []


def test_misspelt_words_are_understood(search):
    assert search("parcles") == ["parcels"]


def test_packages_images_and_engines_are_searched(search):
    assert search("tap-parcels") == ["parcels"]
    assert "faker" in search("airbyte")
    assert search("airbyte/source-mongodb") == ["mongodb"]


def test_the_table(project):
    lines = project.dativo("connector", "search", "postgres", "pipelinewise").out.splitlines()

    assert lines[0].split() == ["recipe", "version", "engine", "description"]
    assert lines[1].startswith("pipelinewise-tap-postgres  1.8.4    singer  PostgreSQL tables and views")
    assert len(lines) == 2


def test_nothing_is_found(project):
    ran = project.dativo("connector", "search", "zeppelin")

    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith("no recipe fits `zeppelin`: `dativo connector list` shows all")

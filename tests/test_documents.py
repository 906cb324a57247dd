"""The documents say what is so: links lead somewhere, named files exist, commands run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
IDS = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
ROOMS = "protocols|sdk|engines|dativo|tests|benchmarks|scripts|docs"

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)


def commands(document: Path) -> list[str]:
    """What a person is told to type: lines that begin with `$`, without their comments; and the examples of `docs/cli.md`."""
    typed = [line[2:] for block in blocks(document, "console") for line in block.splitlines() if line.startswith("$ ")]
    for block in blocks(document, "text"):
        typed += [line.strip() for line in block.partition("Examples:\n")[2].splitlines() if line.startswith("  ")]
    return [re.sub(r"\s+#.*", "", line) for line in typed]


def headings(document: Path) -> set[str]:
    """Anchors of a document, as they are made from its headings."""
    titles = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@every_document
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), f"{target} leads nowhere"
        assert not anchor or anchor in headings(file), f"{file.name} has no heading for #{anchor}"


@every_document
def test_named_files_exist(document: Path) -> None:
    named = re.findall(rf"`((?:{ROOMS})/[\w./-]*\w\.(?:py|rs|yaml|json|md|toml|sh|lock))`", document.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


@every_document
def test_recipes_of_make_exist(document: Path) -> None:
    recipes = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = {words[1] for command in commands(document) if len(words := command.split()) > 1 and words[0] == "make"}
    told |= set(re.findall(r"`make ([a-z]+)`", document.read_text()))
    assert told <= recipes


@every_document
def test_python_is_python(document: Path) -> None:
    for block in blocks(document, "python"):
        compile(block, str(document), "exec")


@every_document
def test_commands_are_understood(document: Path) -> None:
    """Each `dativo` command has the options and arguments that it is given; what it does is tested elsewhere."""
    from dativo.cli._root import run

    for command in commands(document):
        for part in re.split(r"&&|\||;", command):
            words = shlex.split(re.sub(r"\s+[<>]\s*\S+|--project \S+", "", part))
            if words[:1] == ["dativo"]:
                # An unknown command or option is refused before the help is shown.
                assert run([*words[1:], "--help"]) == 0, command


@pytest.mark.network
@pytest.mark.xdist_group("taps-jsonl")
def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    """In its order, with its job and its configuration, on two rows."""
    readme = ROOT / "README.md"
    (job,) = [text for text in blocks(readme, "yaml") if "target:" in text]
    (tmp_path / "shop.yaml").write_text(job)
    (tmp_path / "config.json").write_text(json.dumps(yaml.safe_load(job)["source"]["config"]))
    (tmp_path / "orders.jsonl").write_text('{"id": 1, "amount": 1.5}\n{"id": 2, "amount": null}\n')
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    ran = 0
    for command in commands(readme):
        if command.startswith("dativo "):
            ended = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
            assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
            ran += 1
    assert ran >= 5

"""`dativo init`."""

from __future__ import annotations

import json


def test_it_writes_a_project_and_says_what_is_next(project):
    ran = project.dativo("init", "demo")

    assert ran.code == 0
    assert ran.out == "demo/jobs/example.yaml\ndemo/data/people.jsonl\ndemo/.gitignore\ndemo/README.md\n"
    assert ran.err == "next: dativo --project demo run example\n"
    assert (project.folder / "demo/connectors").is_dir()
    assert (project.folder / "demo/.gitignore").read_text() == ".dativo/\nout/\n"


def test_the_job_is_valid(project):
    project.dativo("init")

    ran = project.dativo("state", "history", "example")

    assert (ran.code, ran.out, ran.err) == (0, "", "job `default/example` has no state yet\n")


def test_a_connector_of_ones_own(project):
    ran = project.dativo("init", "--connector", "singer:tap-github==1.0.0")

    assert ran.err == "next: dativo discover jobs/example.yaml\n"
    assert "  connector: singer:tap-github==1.0.0\n" in (project.folder / "jobs/example.yaml").read_text()
    assert project.dativo("state", "history", "example").code == 0
    assert not (project.folder / "data").exists()


def test_a_job_that_is_there_is_refused_and_nothing_is_written(project):
    project.write("jobs/example.yaml", "mine\n")

    ran = project.dativo("init")

    assert ran.code == 2
    assert ran.err == "error: `jobs/example.yaml` is there already\nhint: move it away, or choose another directory\n"
    assert sorted(path.name for path in project.folder.iterdir()) == ["jobs"]
    assert (project.folder / "jobs/example.yaml").read_text() == "mine\n"


def test_a_readme_is_kept_and_a_gitignore_extended(project):
    project.write("README.md", "mine\n")
    project.write(".gitignore", "out/\n*.log")

    ran = project.dativo("init", "--json")

    assert json.loads(ran.out)["written"] == ["jobs/example.yaml", "data/people.jsonl", ".gitignore"]
    assert (project.folder / "README.md").read_text() == "mine\n"
    assert (project.folder / ".gitignore").read_text() == "out/\n*.log\n.dativo/\n"


def test_a_folder_that_cannot_be_made(project):
    project.write("file", "")

    ran = project.dativo("init", "file/demo")

    assert ran.code == 2
    assert ran.err == "error: cannot write the project into `file/demo`: Not a directory: `file/demo/jobs`\n"

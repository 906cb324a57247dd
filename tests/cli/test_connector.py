"""`dativo connector`."""

from __future__ import annotations

import json
import re
from pathlib import Path

from dativo_engines.sandbox import ImageStore
from dativo_engines.sandbox._platform import this_platform

from engines.tests.sandbox_archives import ImageFiles, file, layer, write_tar


def test_nothing_is_there(project):
    listed = json.loads(project.dativo("connector", "list", "--json").out)

    assert listed["installed"] == []


def test_install_list_remove(project, wheel):
    installed = project.dativo("connector", "install", f"singer:{wheel}")
    listed = json.loads(project.dativo("connector", "list", "--json").out)["installed"]
    table = project.dativo("connector", "list").out
    removed = project.dativo("connector", "remove", "tap-tiny")

    assert installed.code == 0
    assert installed.out == "tap-tiny @ file://<folder>/tap_tiny-1.2-py3-none-any.whl is installed: version 1.2, <size>\n"
    assert [(each["version"], each["executables"]) for each in listed] == [("1.2", ["tap-tiny"])]
    assert "tap-tiny @ file://<folder>/tap_tiny-1.2-py3-none-any.whl  1.2      3." in table
    assert removed.out == "tap-tiny @ file://<folder>/tap_tiny-1.2-py3-none-any.whl is removed, <size> freed\n"
    assert json.loads(project.dativo("connector", "list", "--json").out)["installed"] == []


def test_a_reference_removes_what_it_installed(project, wheel):
    project.dativo("connector", "install", f"singer:{wheel}")

    assert project.dativo("connector", "remove", f"singer:{wheel}").code == 0


def test_unpacked_images_are_listed_and_removed(project):
    image = ImageFiles([layer(file("a", "1"))], names=["airbyte/source-x:1"])
    cache = Path(project.environment["DATIVO_CACHE"])
    ImageStore(cache).unpack(write_tar(project.folder / "image.tar", image.oci()), this_platform()).close()

    listed = json.loads(project.dativo("connector", "list", "--json").out)["images"]
    table = project.dativo("connector", "list").out.splitlines()
    removed = project.dativo("connector", "remove", "airbyte:airbyte/source-x:1")

    assert [(each["names"], each["digest"]) for each in listed] == [(["airbyte/source-x:1"], image.config)]
    assert ["airbyte/source-x:1", image.config[7:19], this_platform()] in [re.split(r"  +", line)[:3] for line in table]
    assert removed.out == "airbyte/source-x:1 is removed, <size> freed\n"
    assert json.loads(project.dativo("connector", "list", "--json").out)["images"] == []


def test_recipes_are_listed(project):
    project.write(
        "connectors/mine.yaml",
        "name: mine\nversion: '3'\ndescription: My own tap\ndefault_engine: singer\nengines: {singer: {executable: my-tap}}\n",
    )

    lines = project.dativo("connector", "list").out.splitlines()

    assert ["mine", "3", "singer", "My own tap"] in [re.split(r"  +", line) for line in lines]


def test_a_program_has_nothing_to_install(project):
    ran = project.dativo("connector", "install", "singer:tap-x")

    assert ran.code == 2
    assert ran.err == (
        "error: `singer:tap-x` is a program, there is nothing to install\nhint: name a package: `singer:tap-name==1.2.3`\n"
    )


def test_removing_what_is_not_there(project):
    ran = project.dativo("connector", "remove", "tap-x")

    assert (ran.code, ran.err) == (2, "error: no environment `tap-x`\nhint: there are: none\n")


def test_names_are_completed(project, wheel):
    project.dativo("connector", "install", f"singer:{wheel}")

    def complete(line):
        return project.dativo(_DATIVO_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD="3").out.splitlines()

    assert complete("dativo connector show post") == ["plain,postgres", "plain,postgres-native"]
    assert complete("dativo connector test declar") == ["plain,declarative-manifest"]
    assert complete("dativo connector remove tap") == ["plain,tap-tiny"]

"""What a person sees on a terminal."""

from __future__ import annotations

import re

import pytest

TAP = "singer:./tap.py"

pytestmark = pytest.mark.usefixtures("tap")

JOB = "name: small\nsource: {connector: 'singer:./tap.py'}\ntarget: {connector: jsonl, config: {path: out}}\n"


def plain(text: str) -> str:
    """Without escape sequences, and without spaces at the ends of lines."""
    return re.sub(r" +$", "", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text), flags=re.MULTILINE)


def test_rows_are_a_table_with_types_and_dim_nulls(project):
    ran = project.on_terminal("read", TAP, "--stream", "people")

    assert plain(ran.out) == (
        "people\n"
        "   id  name    born        tags\n"
        "int64  string  date        json\n"
        '    0  n0      2020-01-01  ["a", "b"]\n'
        "    1  NULL    2020-01-02  NULL\n"
        "    2  n2      2020-01-03  NULL\n"
    )
    assert "\x1b[2mNULL" in ran.raw_out.decode()


def test_columns_that_do_not_fit_are_named(project):
    ran = project.on_terminal("read", TAP, "--stream", "pets", width=30)

    assert plain(ran.out) == (
        "pets\n"
        "   id  name    born\n"
        "int64  string  date\n"
        "    0  n0      2020-01-01\n"
        "    1  NULL    2020-01-02\n"
        "1 more column: tags\n"
    )


def test_a_long_value_is_cut(project):
    ran = project.on_terminal("read", TAP, "--stream", "pets", "--set", f"more.name={'x' * 300}", width=60)

    lines = plain(ran.out).splitlines()
    assert max(len(line) for line in lines) <= 60
    assert "…" in lines[3]


def test_a_value_cannot_steer_the_terminal(project):
    config = project.write("config.json", '{"streams": {"pets": 1}, "more": {"name": "a\\u001b[2Jb\\nc"}}')

    ran = project.on_terminal("read", TAP, "--config", config.name)

    assert "a\\x1b[2Jb\\nc" in ran.out


def test_a_terminal_gets_the_first_rows(project):
    ran = project.on_terminal("read", TAP, "--set", "streams={many: 1000}")

    lines = plain(ran.out).splitlines()
    assert (len(lines), lines[-1]) == (24, "the first 20 rows; `--limit N` shows N")


def test_a_locale_without_utf_8(project):
    config = project.write("config.json", '{"streams": {"pets": 1}, "more": {"name": "Zoë"}}')

    ran = project.on_terminal("read", TAP, "--config", config.name, LC_ALL="C", PYTHONIOENCODING="ascii")

    assert ran.code == 0
    assert "Zo\\xeb" in ran.out


def test_no_colour(project):
    ran = project.on_terminal("run", "nowhere", NO_COLOR="1")

    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", ran.raw_out.decode())


def test_a_dumb_terminal_gets_no_escapes(project):
    ran = project.on_terminal("read", TAP, "--stream", "pets", TERM="dumb")

    assert "\x1b" not in ran.raw_out.decode()


def test_spec_is_a_table(project):
    ran = project.on_terminal("spec", TAP)

    assert plain(ran.out) == (
        "setting  type             required  default  description\n"
        "token    string (secret)  yes\n"
        "streams  object                              Rows by stream\n"
        "pause    number                     0\n"
    )


def test_discover_is_a_table(project):
    ran = project.on_terminal("discover", TAP)

    assert plain(ran.out).splitlines()[1] == "people        4  id   -       INCREMENTAL"


def test_a_run_is_watched_live_and_then_wiped(project):
    project.write("jobs/small.yaml", JOB)

    ran = project.on_terminal("run", "small", "--set", "source.config.pause=0.3")

    shown = plain(ran.out)
    assert "default/small  reading, " in shown
    assert re.search(r"^people +\d", shown, re.MULTILINE)
    assert shown.count("state after ") == 1
    assert ran.raw_out.decode().rindex("\x1b[2K") < ran.raw_out.decode().index("state after")


def test_live_lines_fit_a_low_terminal(project):
    project.write("jobs/small.yaml", JOB)
    streams = ", ".join(f"s{i}: 1" for i in range(40))

    ran = project.on_terminal("run", "small", "--set", f"source.config.streams={{{streams}}}", height=12)

    assert ran.code == 0
    assert re.search(r"and \d+ more streams, \d+ rows in all", plain(ran.out))


def test_a_table_too_wide_is_not_squeezed(project):
    project.write("jobs/small.yaml", JOB)
    project.dativo("run", "small")

    ran = project.on_terminal("runs", width=60)

    assert re.search(r"^<run>  default/small  YYYY-MM-DD HH:MM:SS  succeeded ", plain(ran.out), re.MULTILINE)

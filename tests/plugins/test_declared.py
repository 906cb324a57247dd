"""What a plugin declares, it gets: files, variables, hosts; and nothing beside them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from dativo_engines import SandboxFile, SandboxOptions
from dativo_engines.plugins._hosts import Host, parse_hosts
from dativo_engines.plugins._relay import leads_home
from dativo_engines.plugins._system import seen_by_plugin
from dativo_protocols import ConfigError

from tests.plugins.conftest import Make
from tests.plugins.host import Service

pytestmark = pytest.mark.usefixtures("strict")
TALK = """
import json, socket, sys
def talk(host, port):
    try:
        with socket.create_connection((host, int(port)), 5) as connection:
            connection.sendall(b"hello")
            return connection.recv(100).decode()
    except OSError as error:
        return error.strerror or str(error)
print(json.dumps([talk(*address.rsplit(":", 1)) for address in sys.argv[1:]]))
"""
FILES = """
import json, sys
answers = []
for path in sys.argv[1:]:
    try:
        text = open(path).read()
        open(path, "a").write("more")
    except OSError as error:
        text = error.strerror
    answers.append(text)
print(json.dumps(answers))
"""


def test_a_declared_file_can_be_read_and_only_a_writable_one_written(plugin: Make, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("read", "written", "other")]
    for path in paths:
        path.write_text("text")
        path.chmod(0o600)
    declared = (SandboxFile(paths[0]), SandboxFile(paths[1], writable=True))
    answers = plugin(FILES, sandbox=SandboxOptions(files=declared)).run(*map(str, paths)).got
    assert answers == ["Read-only file system", "text", "No such file or directory"]
    assert [path.read_text() for path in paths] == ["text", "textmore", "text"]


def test_what_a_plugin_writes_belongs_to_whom_its_folder_belongs(plugin: Make, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir(mode=0o700)
    code = f"import os; open({str(folder / 'made')!r}, 'w').write('x'); print(os.getuid())"
    assert plugin(code, sandbox=SandboxOptions(files=(SandboxFile(folder, writable=True),))).run().got == 1000
    assert (folder / "made").stat().st_uid == os.getuid()


def test_files_below_tmp_can_be_declared(plugin: Make, tmp_path: Path) -> None:
    link, real = tmp_path / "link", tmp_path / "folder" / "real"
    real.parent.mkdir()
    real.write_text("text")
    link.symlink_to(real)
    code = "import json, sys; print(json.dumps([open(path).read() for path in sys.argv[1:]]))"
    made = plugin(code, sandbox=SandboxOptions(files=(SandboxFile(link),)))
    assert made.run(str(link), str(real)).got == ["text", "text"]


@pytest.mark.parametrize("path", ["/", "/proc", "/dev"])
def test_the_whole_machine_cannot_be_declared(plugin: Make, path: str) -> None:
    with pytest.raises(ConfigError, match="cannot be handed to a plugin"):
        plugin("", sandbox=SandboxOptions(files=(SandboxFile(Path(path)),))).run()


def test_a_declared_file_must_be_there(plugin: Make, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"name what does not exist: .*nowhere"):
        plugin("", sandbox=SandboxOptions(files=(SandboxFile(tmp_path / "nowhere"),))).run()


@pytest.mark.parametrize("inner", ["code", "file", "link"])
def test_nothing_that_it_reads_lies_in_what_it_may_change(plugin: Make, tmp_path: Path, inner: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "file").write_text("x")
    (tmp_path / "link").symlink_to(out / "file")
    declared = {
        "code": (SandboxFile(tmp_path, writable=True),),
        "file": (SandboxFile(out, writable=True), SandboxFile(out / "file")),
        "link": (SandboxFile(out, writable=True), SandboxFile(tmp_path / "link")),
    }
    with pytest.raises(ConfigError, match="which the plugin may change"):
        plugin("", sandbox=SandboxOptions(files=declared[inner])).run()


def test_what_is_nobodys_business_is_empty_in_a_folder_that_is_declared(
    plugin: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: Callable[..., None]
) -> None:
    project = tmp_path / "project"
    (project / ".dativo").mkdir(parents=True)
    (project / ".dativo" / "state.sqlite").write_text("x")
    monkeypatch.chdir(project)
    code = "import json, os, sys; print(json.dumps([os.listdir(path) for path in sys.argv[1:]]))"
    made = plugin(code, sandbox=SandboxOptions(files=(SandboxFile(project),)))
    assert made.run(str(project), str(project / ".dativo")).got == [[".dativo"], []]
    without("bwrap")
    made.run(str(project))
    assert any(f"folder that it is given: `{project}/.dativo`" in line for _, line in made.log)


def test_a_plugins_own_word_about_its_environment_shows_it_nothing_else(tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    (environment / "bin").mkdir(parents=True)
    (environment / "pyvenv.cfg").write_text("home = /etc/nothing\n")
    (environment / "bin" / "program").write_text("#!/bin/sh\n")
    seen = {each.inside for each in seen_by_plugin(str(environment / "bin" / "program"), [], [])}
    assert str(environment) in seen
    assert "/etc" not in seen


def test_only_declared_variables_are_handed_in(plugin: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "declared")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not")
    code = "import json, os; print(json.dumps({**os.environ}))"
    got = plugin(code, sandbox=SandboxOptions(environment=("API_KEY", "MISSING")), environment={"MODE": "own"}).run().got
    assert (got["API_KEY"], got["MODE"]) == ("declared", "own")
    assert set(got) - {"API_KEY", "MODE", "LANGUAGE", "TZ"} == {"PATH", "HOME", "TMPDIR", "LANG", "PWD", "DATIVO_PROCESS"}


def test_a_declared_host_is_reached_by_name_and_by_address_and_no_other_port(plugin: Make) -> None:
    service, other = Service(), Service()
    declared = (f"localhost:{service.port}", f"127.0.0.1:{service.port}")
    places = [f"localhost:{service.port}", f"127.0.0.1:{service.port}", f"localhost:{other.port}", f"127.0.0.1:{other.port}"]
    answers = plugin(TALK, sandbox=SandboxOptions(network=declared)).run(*places).got
    assert answers == ["heard hello", "heard hello", "Connection refused", "Connection refused"]
    assert other.arrived == []


def test_a_declared_address_of_another_machine_leads_to_the_relay_and_so_does_a_name(plugin: Make) -> None:
    made = plugin(TALK, sandbox=SandboxOptions(network=("[::1]:1", "127.0.0.9:2", "no-such-host.invalid:3")))
    answers = made.run("::1:1", "127.0.0.9:2", "no-such-host.invalid:3", "other.invalid:3").got
    assert all("reset" in answer or "closed" in answer or answer == "" for answer in answers[:3]), answers
    assert answers[3] in ("Name or service not known", "Temporary failure in name resolution")
    lines = [line for _, line in made.log]
    assert "cannot connect to `127.0.0.9:2`: Connection refused" in lines
    assert any(line.startswith("cannot connect to `no-such-host.invalid:3`: ") for line in lines)


def test_much_passes_the_relay_both_ways_and_ends_come_through(plugin: Make) -> None:
    service = Service()
    code = """
import hashlib, json, socket, sys, threading
with socket.create_connection(("localhost", int(sys.argv[1]))) as connection:
    sent = b"".join(i.to_bytes(64, "big") for i in range(1 << 17))
    threading.Thread(target=lambda: (connection.sendall(sent), connection.shutdown(socket.SHUT_WR))).start()
    got = 0
    while data := connection.recv(1 << 20):
        got += len(data)
print(json.dumps([len(sent), got > 0]))
"""
    answer = plugin(code, sandbox=SandboxOptions(network=(f"localhost:{service.port}",))).run(str(service.port)).got
    assert answer == [1 << 23, True]
    assert sum(map(len, service.arrived)) == 1 << 23


def test_the_machines_network_is_shared_where_that_is_declared(plugin: Make) -> None:
    service = Service()
    made = plugin(TALK, sandbox=SandboxOptions(network="all"))
    assert made.run(f"127.0.0.1:{service.port}").got == ["heard hello"]
    assert ("warning", "`network: all`: the plugin shares this machine's network") in made.log


@pytest.mark.parametrize(
    ("name", "address", "home"),
    [
        ("db.example", "127.0.0.1", True),
        ("db.example", "::1", True),
        ("db.example", "::ffff:127.0.0.1", True),
        ("api.example", "169.254.169.254", True),
        ("api.example", "fe80::1%eth0", True),
        ("api.example", "0.0.0.0", True),
        ("db.example", "10.1.2.3", False),
        ("db.example", "2001:db8::5", False),
        ("localhost", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.1", False),
        ("169.254.169.254", "169.254.169.254", False),
    ],
)
def test_a_name_outside_cannot_lead_to_this_machine_itself(name: str, address: str, home: bool) -> None:
    assert leads_home(name, address) == home


def test_hosts_are_named_with_and_without_ports() -> None:
    assert parse_hosts(["API.example", "db.example:5432", "api.example:80", "10.0.0.5:5432", "[2001:DB8::5]:80", "::1"]) == (
        Host("api.example", 443, "127.1.0.1"),
        Host("db.example", 5432, "127.1.0.2"),
        Host("api.example", 80, "127.1.0.1"),
        Host("10.0.0.5", 5432, "10.0.0.5"),
        Host("2001:db8::5", 80, "2001:db8::5"),
        Host("::1", 443, "::1"),
    )


@pytest.mark.parametrize("text", ["https://api.example", "*.example", "db.example:", "a b", "db:99999", "[10.0.0]:1", ""])
def test_what_is_no_host_is_said_so(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_hosts([text])


def test_a_run_leaves_no_thread(plugin: Make) -> None:
    before = threading.active_count()
    assert plugin("print(1)", sandbox=SandboxOptions(output_bytes=1 << 20, seconds=60.0)).run().got == 1
    assert threading.active_count() <= before + 1

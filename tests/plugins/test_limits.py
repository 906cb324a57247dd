"""Limits end a plugin, and the error names the limit; what is not reached is not in the way."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
from dativo_engines import SandboxOptions
from dativo_engines.plugins._process import ProcessorTime
from dativo_engines.sandbox._groups import Groups

from tests.plugins.conftest import Make

pytestmark = pytest.mark.usefixtures("strict")
MIB = 1 << 20
SPIN = """
import os
for _ in range(2):
    os.fork()
while True:
    pass
"""
WRITE = """
import os, sys
left = int(sys.argv[1])
while left:
    left -= os.write(1, b"x" * min(left, 1 << 20))
"""


def test_processor_time_of_all_processes_counts_without_control_groups(plugin: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Groups, "cpu_seconds", lambda self: None)
    answer = plugin(SPIN, sandbox=SandboxOptions(cpu_seconds=0.5, seconds=60.0)).run()
    assert "more processor time than its limit of 0.5 seconds" in answer.failure.message
    assert answer.failure.hint == "raise `sandbox: {cpu_seconds: …}`"


def test_time_of_a_process_that_is_gone_is_remembered() -> None:
    counted = ProcessorTime(os.getpid())
    child = os.fork()
    if child == 0:
        until = time.process_time() + 0.5
        while time.process_time() < until:
            pass
        time.sleep(30)
        os._exit(0)
    try:
        deadline = time.monotonic() + 25
        while counted.seconds() < 0.4 and time.monotonic() < deadline:
            time.sleep(0.05)
        before = counted.seconds()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert counted.seconds() >= before >= 0.4


def test_output_up_to_its_limit_comes_whole_and_one_byte_more_fails(plugin: Make) -> None:
    made = plugin(WRITE, sandbox=SandboxOptions(output_bytes=3 * MIB))
    answer = made.run(str(3 * MIB))
    assert (len(answer.stdout), answer.exit.code, answer.exit.cause) == (3 * MIB, 0, None)
    answer = made.run(str(3 * MIB + 1))
    assert (len(answer.stdout), answer.exit.code) == (3 * MIB, None)
    assert "more output than its limit of 3 MiB" in answer.failure.message
    assert answer.failure.hint == "raise `sandbox: {output: …}` above 3 MiB"


def test_a_slow_reader_holds_a_metered_plugin_back(plugin: Make) -> None:
    code = "import os\nfor count in range(64):\n    os.write(1, bytes(1 << 20))\n    os.write(2, b'%d\\n' % count)\n"
    with plugin(code, sandbox=SandboxOptions(output_bytes=1 << 30)).running() as process:
        time.sleep(1.5)
        assert max(map(int, process.stderr_tail), default=0) <= 4


@pytest.mark.parametrize("without_bwrap", [False, True])
def test_its_own_resource_limits_are_these(
    plugin: Make, without: Callable[..., None], monkeypatch: pytest.MonkeyPatch, without_bwrap: bool
) -> None:
    if without_bwrap:
        without("bwrap")
    code = """
import json, resource as r
kinds = (r.RLIMIT_CORE, r.RLIMIT_NOFILE, r.RLIMIT_FSIZE, r.RLIMIT_CPU)
print(json.dumps([r.getrlimit(kind) for kind in kinds]))
"""
    options = SandboxOptions(open_files=100, file_bytes=7 * MIB, cpu_seconds=59.5)
    assert plugin(code, sandbox=options).run().got == [[1, 1], [100, 100], [7 * MIB] * 2, [60, 60]]


def test_no_limit_is_none(plugin: Make) -> None:
    code = "import resource as r; print(r.getrlimit(r.RLIMIT_FSIZE)[1] == r.RLIM_INFINITY)"
    options = SandboxOptions(memory_bytes=None, processes=None, file_bytes=None)
    assert plugin(code, sandbox=options).run().stdout == b"True\n"


def test_a_configuration_longer_than_the_files_that_it_may_write_is_handed_in(plugin: Make) -> None:
    code = "import json, sys; print(len(json.load(open(sys.argv[1]))['text']))"
    made = plugin(code, sandbox=SandboxOptions(file_bytes=1000))
    assert made.run("config.json", config={"text": "x" * (5 * MIB)}).stdout == f"{5 * MIB}\n".encode()


def test_its_own_failure_is_told_with_its_words_and_code(plugin: Make) -> None:
    answer = plugin("import sys; sys.exit('ERROR the key is wrong')").run()
    assert answer.failure.message == "`plugin` failed: the key is wrong (exit code 1)"
    answer = plugin("import os; os.kill(os.getpid(), 11)").run()
    assert answer.failure.message == "`plugin` was ended by SIGSEGV: it crashed (exit code 139)"


def test_it_can_use_several_threads_and_processes(plugin: Make) -> None:
    code = """
import concurrent.futures as f, json, multiprocessing as m
def double(x):
    return 2 * x
if __name__ == "__main__":
    with f.ThreadPoolExecutor(4) as threads, m.get_context("fork").Pool(2) as processes:
        print(json.dumps([sum(threads.map(double, range(10))), sum(processes.map(double, range(10)))]))
"""
    assert plugin(code).run().got == [90, 90]


def test_what_it_says_is_logged(plugin: Make) -> None:
    made = plugin("import sys; print('WARNING careful', file=sys.stderr)")
    made.run()
    assert ("warning", "WARNING careful") in made.log

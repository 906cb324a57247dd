"""What a plugin's sandbox costs: its start, and its pipe, beside those of a plain process.

    python -m benchmarks.plugin_sandbox                   # a minute, on a machine that does nothing else
    python -m benchmarks.plugin_sandbox --rounds 5 --megabytes 100

Starts are from `start` to the first byte of output, of `/bin/echo`, and the processor time of all that took part; rounds take
turns. Throughput is a program's that writes 1 MiB at a time, to a reader that throws it away.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dativo_engines import Connector, EngineOptions, SandboxOptions
from dativo_engines._private import PrivateDirectory
from dativo_engines._program import ProgramRuntime
from dativo_engines._redaction import Redactor
from dativo_engines.plugins import Means, PluginSandbox, _runtime, means

HOSTS = SandboxOptions(network=("localhost:9",))
METERED = SandboxOptions(output_bytes=1 << 50)
WRITE = "import os, sys\nfor _ in range(int(sys.argv[1])): os.write(1, bytes(1 << 20))"
MIB = 1 << 20

Kinds = dict[str, tuple[SandboxOptions | None, Callable[[Means], Means]]]
KINDS: Kinds = {
    "a plain process": (None, lambda found: found),
    "`process`": (SandboxOptions(), lambda found: Means(None, 0, False, {})),
    "`landlock`": (SandboxOptions(), lambda found: Means(None, found.landlock, found.seccomp, {})),
    "`strict`": (SandboxOptions(), lambda found: found),
    "`strict`, a declared host": (HOSTS, lambda found: found),
    "`strict`, a limit of output": (METERED, lambda found: found),
}


def processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


@contextlib.contextmanager
def prepared(kind: str, command: Sequence[str], folder: Path) -> Iterator[Any]:
    """A runtime that is ready to start."""
    sandbox, lessen = KINDS[kind]
    connector = Connector("native:benchmark", executable=command[0], arguments=tuple(command[1:]))
    options = EngineOptions(cache_dir=folder / "cache")
    found = lessen(means())
    _runtime.means = lambda: found  # type: ignore[assignment]
    with PrivateDirectory(folder / "private") as directory:
        how: dict[str, Any] = {"directory": directory, "redactor": Redactor()}
        plain = sandbox is None
        runtime = (
            ProgramRuntime(connector, options, **how) if plain else PluginSandbox(connector, options, sandbox=sandbox, **how)
        )
        with contextlib.closing(runtime):
            runtime.prepare()
            yield runtime


def start(kind: str, folder: Path) -> tuple[float, float]:
    """Seconds to the first byte, and processor seconds of the whole run."""
    spent = processor_seconds()
    with prepared(kind, ["/bin/echo", "x"], folder) as runtime:
        began = time.perf_counter()
        with runtime.start([], {"config.json": b"{}"}) as process:
            os.read(process.stdout, 10)
            first = time.perf_counter() - began
            process.wait()
    return first, processor_seconds() - spent


def throughput(kind: str, folder: Path, megabytes: int) -> float:
    """Bytes a second, from the first byte to the last."""
    with prepared(kind, [sys.executable, "-c", WRITE], folder) as runtime, runtime.start([str(megabytes)], {}) as process:
        got = len(os.read(process.stdout, MIB))
        began = time.perf_counter()
        while data := os.read(process.stdout, MIB):
            got += len(data)
        return got / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--megabytes", type=int, default=2000)
    options = parser.parse_args()
    starts: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    speeds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for round_ in range(options.rounds):
            for kind in KINDS:
                starts[kind].append(start(kind, folder))
                if round_ < 3:
                    speeds[kind].append(throughput(kind, folder, options.megabytes))
    print("| | start, ms | fastest | processor time, ms | GB/s |\n|---|---|---|---|---|")
    for kind in KINDS:
        first, spent = zip(*starts[kind], strict=True)
        figures = (statistics.median(first) * 1e3, min(first) * 1e3, statistics.median(spent) * 1e3)
        print(f"| {kind} | {' | '.join(f'{each:.0f}' for each in figures)} | {statistics.median(speeds[kind]) / 1e9:.1f} |")


if __name__ == "__main__":
    main()

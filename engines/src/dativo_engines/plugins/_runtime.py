"""Runs a plugin's program with nothing of this machine but what it declares."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from dativo_protocols import ConfigError

from dativo_engines._engine import Connector, ContainerOptions, EngineOptions
from dativo_engines._environ import clean_environment
from dativo_engines._private import PrivateDirectory
from dativo_engines._redaction import Redactor
from dativo_engines._runtime import ConnectorRuntime, placed
from dativo_engines._sandbox_options import Level, SandboxOptions
from dativo_engines.plugins._hosts import parse_hosts
from dativo_engines.plugins._levels import SCOPED, Means, chosen, means
from dativo_engines.plugins._own_folder import OwnFolder, can_be_reached
from dativo_engines.plugins._plan import ENTRANCE, PLAN, Plans, certificates
from dativo_engines.plugins._process import PluginProcess, QuietLog
from dativo_engines.plugins._system import seen_by_plugin
from dativo_engines.sandbox import _launcher
from dativo_engines.sandbox._compiled import compiled
from dativo_engines.sandbox._limits import Limits, outside_user
from dativo_engines.supervisor import find_program


class PluginSandbox(ConnectorRuntime):
    """Starts a plugin's program as strongly confined as this machine allows; see `Runtime`.

    Args:
        connector: With an `executable`, and arguments that name files by absolute paths.
        options: Of the run.
        directory: Of the run.
        redactor: Masks what is logged.
        sandbox: What the plugin declares and what it may use.
        code: The plugin's own files and folders, which it can read.

    Attributes:
        level: How it is confined, once prepared.
    """

    def __init__(
        self,
        connector: Connector,
        options: EngineOptions,
        *,
        directory: PrivateDirectory,
        redactor: Redactor,
        sandbox: SandboxOptions | None = None,
        code: Sequence[Path] = (),
    ) -> None:
        if options.log is not None:
            options = replace(options, log=QuietLog(options.log))
        super().__init__(connector, options, directory=directory, redactor=redactor)
        self._sandbox = sandbox or SandboxOptions()
        self._code = tuple(code)
        self.level: Level = "process"
        self._plans: Plans | None = None
        self._program = ""
        self._user: int | None = None
        self._starts = 0

    @property
    def name(self) -> str:
        """What the user calls it, for messages."""
        return self._connector.reference

    def prepare(self) -> None:
        """Looks for the program and for what the plugin declares, and how it can be confined here.

        Raises:
            ConfigError: Something of it does not exist.
            SandboxError: The level that is demanded cannot be had: names what is missing.
        """
        if self._plans is not None:
            return
        connector, sandbox = self._connector, self._sandbox
        if connector.executable is None:
            raise ConfigError(f"`{connector.reference}` names no program")
        self._program = os.path.abspath(find_program(connector.executable, clean_environment(connector.environment).get("PATH")))
        hosts = () if sandbox.network == "all" else parse_hosts(sandbox.network)
        trusted = [path for value in certificates(sandbox).values() if (path := Path(value)).exists()]
        seen = seen_by_plugin(self._program, [*self._code, *trusted], [(file.path, file.writable) for file in sandbox.files])
        found = means()
        self.level = chosen(found, sandbox.level)
        self._user = outside_user()
        if self._user is not None and self._is_alone and not all(can_be_reached(each.source, self._user) for each in seen):
            self._user = None
        self._plans = Plans(
            connector,
            self._options,
            sandbox,
            self._directory,
            program=self._program,
            seen=seen,
            hosts=hosts,
            found=found,
            level=self.level,
            user=self._user,
        )
        for line in self._remarks(found, hidden=self._plans.hidden(), has_hosts=bool(hosts)):
            self._log("warning", line)

    def start(
        self,
        arguments: Sequence[str],
        files: Mapping[str, bytes],
        *,
        stop_timeout_seconds: float | None = None,
        takes_input: bool = False,
    ) -> PluginProcess:
        """Starts the program with the connector's own arguments before these.

        Raises:
            ConnectorError: Its process cannot be started.
        """
        if self._plans is None:
            raise RuntimeError("not prepared")
        self._starts += 1
        with ExitStack() as opening:
            limits = self._limits()
            opening.callback(limits.close)
            for sentence in limits.weaker if self._starts == 1 else ():
                self._log("warning", f"no control group can be made: {sentence}")
            if self._is_alone:
                folder = opening.enter_context(OwnFolder(self._directory, self._user))
                plan, place = self._plans.in_this_system(folder, limits, files)
            else:
                plan, place = self._plans.in_own_system(limits, files)
            paths = {name: f"{place}/{name}" for name in files}
            entrance = [os.path.realpath(sys.executable), "-I", "-S", f"{place}/{ENTRANCE}", f"{place}/{PLAN}"]
            launcher = [sys.executable, "-I", "-S", str(self._directory.write("launcher.pyc", compiled(_launcher))), str(plan)]
            process = PluginProcess(
                [*launcher, *entrance, self._program, *self._connector.arguments, *placed(arguments, paths)],
                self._sandbox,
                limits,
                is_wrapper=not self._is_alone,
                directory=self._directory,
                stop_timeout_seconds=self._stop_timeout(stop_timeout_seconds),
                redactor=self._redactor,
                log=self._options.log,
                takes_input=takes_input,
            )
            # What the plugin leaves there goes when it has ended.
            self._stack.push(opening.pop_all())
        return self._stack.enter_context(process)

    @property
    def _is_alone(self) -> bool:
        """Whether it has no system of its own, but shares this machine's."""
        return self.level in ("process", "landlock")

    def _limits(self) -> Limits:
        """The limits that hold for all its processes together; those of each one, it sets itself at its entrance."""
        sandbox = self._sandbox
        options = ContainerOptions(memory_bytes=sandbox.memory_bytes, cpus=sandbox.cpus, pids=sandbox.processes)
        return Limits(
            options,
            name=f"dativo-{self._directory.mark[:16]}-{self._starts}",
            user=self._user,
            note=lambda group: self._directory.note("group", group),
            key="sandbox",
            processes="processes",
            accounting=sandbox.cpu_seconds is not None,
        )

    def _remarks(self, found: Means, *, hidden: Sequence[str], has_hosts: bool) -> Iterator[str]:
        """What the user should know about how it is confined."""
        if self.level != "strict":
            reasons = "; ".join(error.message for error in found.lacking("strict"))
            yield f"the plugin's sandbox is only of the level `{self.level}`: {reasons}"
        if self._sandbox.network == "all":
            yield "`network: all`: the plugin shares this machine's network"
        elif has_hosts and self.level == "landlock":
            yield "the plugin can reach the declared ports of any host: only a network of its own holds the hosts"
        if self.level == "landlock" and hidden:
            yield f"the plugin can read what lies in a folder that it is given: {', '.join(f'`{path}`' for path in hidden)}"
        if self.level == "landlock" and found.landlock < SCOPED:
            yield f"version {found.landlock} of Landlock lets a plugin signal its user's other processes"
        if self._is_alone and self._user is None and os.geteuid() == 0:
            yield "the plugin runs as root, though without its privileges: nobody else can reach its files"
        if self.level == "process":
            yield "nothing but its user's rights keeps the plugin from files, network and processes"

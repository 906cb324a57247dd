"""uv where there is one, else venv and pip: both behind three calls, their complaints made clear."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from dativo_protocols import ConfigError, ConnectorError

from dativo_engines._private import PrivateDirectory
from dativo_engines._redaction import Redactor, secrets_in
from dativo_engines.supervisor import Process

# The user's own settings of indexes, proxies, credentials and caches.
PASSED = ("UV_", "PIP_", "XDG_", "NETRC", "SSH_AUTH_SOCK", "GIT_", "CARGO_HOME", "RUSTUP_HOME")

_NO_PACKAGE = re.compile(
    r"was not found in the package registry|there are no versions of|No matching distribution found|because .+ was not found"
    r"|has no wheels|no version of|there is no version of|we can conclude that your requirements are unsatisfiable"
    r"|Could not find a version that satisfies|not found in the provided package locations",
    re.IGNORECASE,
)
_NO_NETWORK = re.compile(
    r"error sending request|dns error|failed to lookup address|Connection refused|Network is unreachable|NewConnectionError"
    r"|Temporary failure in name resolution|timed out|Network connectivity is disabled|Failed to establish a new connection"
    r"|ReadTimeoutError|ProxyError|tunnel error|invalid peer certificate|CERTIFICATE_VERIFY_FAILED",
    re.IGNORECASE,
)


def find_uv() -> str | None:
    """`DATIVO_UV`, else uv on PATH, else the one beside this interpreter; an empty `DATIVO_UV` means none."""
    named = os.environ.get("DATIVO_UV")
    if named is not None:
        return shutil.which(named) if named else None
    beside = Path(sys.executable).parent / "uv"
    return shutil.which("uv") or (str(beside) if os.access(beside, os.X_OK) else None)


class InstallError(Exception):
    """What the installer said."""


class Installer:
    """Makes and fills one environment.

    Args:
        path: The environment's directory.
        log: Called with level and line.
    """

    def __init__(self, path: Path, log: Callable[[str, str], None]) -> None:
        self._path = path
        self._python = str(path / "bin" / "python")
        self._log = log
        self._uv = find_uv()
        self._directory = PrivateDirectory()

    def __enter__(self) -> Installer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._directory.close()

    def create(self) -> None:
        """An empty environment with this interpreter."""
        if self._uv:
            self._run([self._uv, "venv", "--directory", "/", "--no-project", "--python", sys.executable, str(self._path)])
        else:
            self._run([sys.executable, "-m", "venv", str(self._path)])

    def add(self, requirements: Sequence[str]) -> None:
        """Installs packages with all they need."""
        self._run([*self._installing(), *requirements])

    def newest(self, requirement: str, package: str) -> str | None:
        """The newest version that the requirement itself allows, whatever else it would need; None when it cannot be told."""
        if not self._uv or "@" in requirement or "==" in requirement:
            return None
        try:
            # Into nowhere: what is installed already would satisfy it.
            said = self._run([*self._installing(), "--dry-run", "--no-deps", "--reinstall", requirement])
        except InstallError:
            return None
        found = re.search(rf"^\s*[+~]\s*{re.escape(package)}==(\S+)", said, re.MULTILINE)
        return found[1] if found else None

    def _installing(self) -> list[str]:
        if self._uv:
            # Not in the current directory: a project's settings there would change what is installed.
            return [self._uv, "pip", "install", "--directory", "/", "--no-progress", "--python", self._python]
        return [self._python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]

    def _run(self, command: list[str]) -> str:
        """Stdout and stderr of an installer that succeeded."""
        redactor = Redactor(secrets_in([*command, *(value for name, value in os.environ.items() if name.startswith(PASSED))]))
        environment = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
        # As pip does by itself: a connector's first start is then as fast as the later ones, and nothing is written into it.
        environment["UV_COMPILE_BYTECODE"] = "1"
        with Process(
            command,
            directory=self._directory,
            environment=environment,
            redactor=redactor,
            log=lambda level, line: self._log("debug", line),
            passed=PASSED,
        ) as process:
            said = b""
            while part := os.read(process.stdout, 1 << 16):
                said += part
            ended = process.wait()
            text = redactor(said.decode(errors="replace")) + "\n".join(process.stderr_tail)
        if ended is None or ended.code != 0:
            raise InstallError(text)
        return text


def install(installer: Installer, requirement: str, pins: Sequence[str], *, shown: str) -> None:
    """Makes the environment and installs the requirement.

    Raises:
        ConfigError: It cannot be had, or cannot be installed here.
        ConnectorError: The package index cannot be reached (retryable).
    """
    try:
        installer.create()
        installer.add([requirement, *pins])
    except InstallError as error:
        said = str(error)
        facts: dict[str, object] = {"requirement": shown, "stderr": said[-8000:]}
        if _NO_NETWORK.search(said):
            raise ConnectorError(
                f"cannot install `{shown}`: the package index cannot be reached",
                hint="check the network, the proxy and the certificates",
                retryable=True,
                facts=facts,
            ) from None
        if _NO_PACKAGE.search(said):
            raise ConfigError(
                f"cannot install `{shown}`: {_reason(said)}",
                hint="check the package's name and version, and whether it supports this Python "
                f"({sys.version_info.major}.{sys.version_info.minor})",
                facts=facts,
            ) from None
        raise ConfigError(
            f"cannot install `{shown}`: {_reason(said)}",
            hint="run again with `--verbose` for the installer's output",
            facts=facts,
        ) from None


def _reason(said: str) -> str:
    """One sentence: the index's answer where it is one, else the installer's own last reason."""
    if re.search(r"was not found in the package registry|not found in the provided package locations|from versions: none", said):
        return "there is no such package, or no release of it for this Python"
    text = " ".join(said.split())
    # uv ends with `cause: …`, or draws `╰─▶ …`; pip writes `ERROR: …` in several lines, the first one with the facts.
    for pattern in (
        r"(?:.*\bcause:|.*╰─▶) (.+?)(?: hint:| help:|$)",
        r"\bERROR: (.+?)(?: ERROR:| \[notice\]|$)",
        r"\berror: (.+)$",
    ):
        if found := re.match(pattern, text) or re.search(pattern, text):
            return found[1].rstrip(".")[:1000]
    return text[-300:] or "the installer said nothing"

"""What a plugin gets of what its manifest asks for: as much as the job grants, and nothing that it does not ask for."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dativo_protocols import SandboxError, frozen

from dativo_engines._redaction import secret_settings
from dativo_engines._sandbox_options import SandboxFile, SandboxOptions
from dativo_engines.plugins._hosts import parsed_host
from dativo_engines.plugins._plan import LOCALE

if TYPE_CHECKING:
    from dativo_sdk.manifest import Manifest, Permissions

# Every plugin has them.
ALWAYS = (*LOCALE, "PATH", "HOME", "TMPDIR")


@frozen
class Permitted:
    """What a plugin gets.

    Attributes:
        sandbox: Its sandbox.
        unused: What the job grants and the manifest does not ask for, in words.
    """

    sandbox: SandboxOptions
    unused: tuple[str, ...] = ()


def permitted(
    manifest: Manifest | None,
    granted: SandboxOptions,
    config: Mapping[str, Any] | None,
    *,
    variables: Collection[str] = (),
    secrets: Collection[str] = (),
) -> Permitted:
    """What the manifest asks for and the job grants. Where no manifest says `permissions`, the job's word is all there is.

    Args:
        manifest: Of the plugin.
        granted: By the job.
        config: The plugin's; None where it is only asked what it can be configured with, and gets what it may have.
        variables: Names of environment variables that the job sets for it.
        secrets: Values that are secret, beside those that look so.

    Raises:
        ConfigError: A permission names a setting that is no text, or no host.
        SandboxError: It asks for more than the job grants, or is given a secret that it does not ask for.
    """
    if manifest is None or "permissions" not in manifest.model_fields_set:
        return Permitted(granted)
    asked = manifest.permissions.resolved(config or {})
    files, no_files = _files(asked, granted)
    network, no_hosts = _network(asked, granted)
    limits, no_limits = _limits(asked, granted)
    unset = [name for name in asked.environment if not _has_variable(name, (*granted.environment, *variables))]
    missing: dict[str, Any] = {"files": no_files, "network": no_hosts, "environment": unset, **no_limits}
    missing = {key: value for key, value in missing.items() if value}
    if missing and config is not None:
        raise _refused(manifest, missing)
    if config is not None:
        _check_secrets(manifest, config, secrets)
    environment = tuple(name for name in granted.environment if name in asked.environment)
    sandbox = replace(granted, files=files, network=network, environment=environment, **limits)
    return Permitted(sandbox, tuple(_unused(granted, sandbox)))


def _files(asked: Permissions, granted: SandboxOptions) -> tuple[tuple[SandboxFile, ...], list[Any]]:
    """Those that it gets, and those that it does not, as a job names them."""
    got: dict[Path, bool] = {}
    missing: list[Any] = []
    for texts, writable in ((asked.read, False), (asked.write, True)):
        for text in texts:
            path = Path(os.path.abspath(Path.cwd() / os.path.expanduser(text)))
            # By where links lead, else the plugin could have itself given what it made a link to in an earlier run.
            real = Path(os.path.realpath(path))
            whole = next(
                (
                    each
                    for each in granted.files
                    if real.is_relative_to(os.path.realpath(each.path)) and each.writable >= writable
                ),
                None,
            )
            if whole is None:
                missing.append({"path": text, "write": True} if writable else text)
                continue
            # What it is yet to make, it makes in a folder that is there.
            while not path.exists() and path != whole.path and path.parent != path:
                path = path.parent
            if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(whole.path)):
                path = whole.path
            got[path] = got.get(path, False) or writable
    return tuple(SandboxFile(path, writable) for path, writable in got.items()), missing


def _network(asked: Permissions, granted: SandboxOptions) -> tuple[Any, list[str] | str]:
    if asked.network == "all":
        return ("all", []) if granted.network == "all" else (granted.network, "all")
    known = None if granted.network == "all" else {parsed_host(host) for host in granted.network}
    missing = [host for host in asked.network if known is not None and parsed_host(host) not in known]
    return tuple(host for host in asked.network if host not in missing), missing


def _limits(asked: Permissions, granted: SandboxOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    got, missing = dict[str, Any](), dict[str, Any]()
    for key, name in (("memory", "memory_bytes"), ("processes", "processes"), ("cpu_seconds", "cpu_seconds")):
        wanted, limit = getattr(asked, key), getattr(granted, name)
        if wanted is None:
            continue
        if limit is not None and wanted > limit:
            missing[key] = wanted
        got[name] = wanted if limit is None else min(wanted, limit)
    return got, missing


def _has_variable(name: str, names: Collection[str]) -> bool:
    return name in names or name in ALWAYS or name.startswith("LC_")


def _check_secrets(manifest: Manifest, config: Mapping[str, Any], secrets: Collection[str]) -> None:
    asked = manifest.permissions.secrets
    more = [
        name for name in secret_settings(config, secrets) if not any(name == one or name.startswith(f"{one}.") for one in asked)
    ]
    if more:
        named = ", ".join(f"`{name}`" for name in more)
        raise SandboxError(
            f"plugin `{manifest.name}` is given secrets that its manifest does not ask for: {named}",
            hint=f"take them out of its `config`; if it needs them, its manifest is to say `secrets: [{', '.join(more)}]`",
            facts={"plugin": manifest.name, "secrets": more},
        )


def _refused(manifest: Manifest, missing: Mapping[str, Any]) -> SandboxError:
    import yaml

    where = "source" if manifest.kind == "reader" else "target"
    said = yaml.safe_dump(dict(missing), default_flow_style=True, sort_keys=False, width=10_000).strip()
    return SandboxError(
        f"plugin `{manifest.name}` asks for what the job does not grant: {', '.join(f'`{key}`' for key in missing)}",
        hint=f"if it may have that, add to the job's `{where}`: `sandbox: {said}`",
        facts={"plugin": manifest.name, "permissions": dict(missing)},
    )


def _unused(granted: SandboxOptions, got: SandboxOptions) -> Iterator[str]:
    for file in granted.files:
        whole = os.path.realpath(file.path)
        if not any(Path(os.path.realpath(each.path)).is_relative_to(whole) for each in got.files):
            yield f"file `{file.path}`"
    if granted.network == "all":
        yield from () if got.network == "all" else ("`network: all`",)
    else:
        hosts = {parsed_host(host) for host in got.network}
        yield from (f"host `{host}`" for host in granted.network if parsed_host(host) not in hosts)
    yield from (f"variable `{name}`" for name in granted.environment if name not in got.environment)

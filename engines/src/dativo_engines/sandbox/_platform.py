"""Which of an index's images runs on this machine."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

from dativo_protocols import ConfigError

# As Linux names processors, and as images do.
ARCHITECTURES = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "i386": "386",
    "i686": "386",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
}


def this_platform() -> str:
    """`linux/amd64`, `linux/arm64`, …"""
    machine = platform.machine().lower()
    return f"linux/{ARCHITECTURES.get(machine, machine)}"


def wanted_platform(asked: str | None) -> str:
    """The platform to look for.

    Args:
        asked: By the job: `linux/amd64`, also with a variant; None for this machine's.

    Raises:
        ConfigError: This machine cannot run it.
    """
    here = this_platform()
    if asked is None:
        return here
    if _without_variant(asked.lower()) != here:
        raise ConfigError(
            f"this machine is `{here}` and cannot run `{asked}` in a sandbox",
            hint="leave out `platform`, or run it in a Docker Engine that emulates other processors",
        )
    return asked.lower()


def platform_of(described: Mapping[str, Any]) -> str:
    """The platform that an index entry or an image's configuration states; empty where it states none."""
    system, architecture = described.get("os"), described.get("architecture")
    if not system or not architecture:
        return ""
    name = f"{system}/{ARCHITECTURES.get(str(architecture).lower(), architecture)}"
    return f"{name}/{described['variant']}" if described.get("variant") else name


def choose(manifests: Sequence[Mapping[str, Any]], wanted: str, where: str) -> Mapping[str, Any]:
    """The entry of an index for a platform. An entry that states none fits where it is the only one.

    Raises:
        ConfigError: There is none, or more than one image.
    """
    # Signatures and build records lie beside the images they are about.
    named = [(platform_of(entry.get("platform") or {}), entry) for entry in manifests]
    named = [(name, entry) for name, entry in named if name != "unknown/unknown"]
    if len(named) == 1 and not named[0][0]:
        return named[0][1]
    fitting = [(name, entry) for name, entry in named if name == wanted]
    fitting = fitting or [(name, entry) for name, entry in named if _without_variant(name) == _without_variant(wanted)]
    if not fitting:
        there = ", ".join(f"`{name}`" for name, _ in named if name) or "images without a platform"
        raise ConfigError(
            f"`{where}` has no image for `{wanted}`, this machine's platform",
            hint=f"it has: {there}",
            facts={"platform": wanted},
        )
    # One image may have several names, and a processor several variants.
    if len({entry.get("digest") for name, entry in fitting if name == fitting[0][0]}) > 1:
        raise ConfigError(f"`{where}` holds several images for `{wanted}`", hint="save one image to an archive of its own")
    return fitting[0][1]


def _without_variant(name: str) -> str:
    return "/".join(name.split("/")[:2])

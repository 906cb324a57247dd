"""Which image a name means: pinned after the first run, pulled when missing, refused when built for another machine."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dativo_protocols import ConfigError, ConnectorError, frozen

from dativo_engines.containers._client import requests_to
from dativo_engines.containers._pins import Pin, PinStore
from dativo_engines.containers._user import UserFacts

Log = Callable[[str, str], None]

_SHELL = re.compile(r"[$`;|&<>*?]")
# What a processor runs besides its own.
_ALSO_RUNS = {("amd64", "386"), ("arm64", "arm")}


@frozen
class Image:
    """An image that is there.

    Attributes:
        pin: What the name means.
        config: As the engine knows it: `User`, `Env`, `Entrypoint`, `Volumes`…
        platform: `linux/amd64`.
        engine_platform: What the engine runs without emulation.
    """

    pin: Pin
    config: Mapping[str, Any]
    platform: str
    engine_platform: str

    @property
    def is_foreign(self) -> bool:
        """Whether the engine needs an emulator for it."""
        engine, own = self.engine_platform.split("/"), self.platform.split("/")
        return engine[:2] != own[:2] and (engine[1], own[1]) not in _ALSO_RUNS

    @property
    def environment(self) -> dict[str, str]:
        return dict(entry.partition("=")[::2] for entry in self.config.get("Env") or ())

    @property
    def volumes(self) -> tuple[str, ...]:
        """Directories that the image declares as data's own."""
        return tuple(self.config.get("Volumes") or ())

    @property
    def entrypoint(self) -> list[str]:
        """The connector's program: `AIRBYTE_ENTRYPOINT`, as Airbyte's platform does, else the image's `ENTRYPOINT`.

        Raises:
            ConfigError: It has neither.
        """
        named = self.environment.get("AIRBYTE_ENTRYPOINT", "").strip()
        if _SHELL.search(named):
            return ["/bin/sh", "-c", f'exec {named} "$@"', "sh"]
        found = shlex.split(named) or list(self.config.get("Entrypoint") or ())
        if not found:
            raise ConfigError(
                f"image `{self.pin.reference}` names no program: it has neither `ENTRYPOINT` nor `AIRBYTE_ENTRYPOINT`",
                hint="is this the image of an Airbyte connector? A recipe can name the program as `executable`",
            )
        return found


class ImageStore:
    """Finds images and remembers what they are.

    Args:
        client: Of the engine.
        cache_dir: Where pins are kept.
        log: Called with level and line.
    """

    def __init__(self, client: Any, cache_dir: Path, log: Log) -> None:
        self._client = client
        self._pins = PinStore(cache_dir)
        self._log = log

    def find(self, reference: str, *, platform: str | None, pull: bool) -> Image:
        """The image that was pinned, else the one that the name means now, which is then pinned.

        Args:
            reference: A name, or the path of an archive that `docker save` wrote.
            platform: As asked for, or None for the engine's own.
            pull: Whether to pull what is missing.

        Raises:
            ConfigError: There is no such image, it is not there any more, or not for this machine.
            ConnectorError: The registry cannot be reached (retryable).
        """
        with requests_to(self._client, reference):
            found: dict[str, Any] | None
            pin = self._pins.load(reference, platform)
            if pin is not None:
                found = self._pinned(pin, platform, pull)
            elif os.path.exists(reference):
                found = self._load(Path(reference))
            else:
                found = self._inspect(reference)
                if found is None or (platform and not _fits(platform, _platform(found))):
                    found = self._pull(reference, platform) if pull else None
            if found is None:
                raise ConfigError(
                    f"there is no image `{reference}`, and it may not be pulled", hint="set `pull: true`, or load it"
                )
            version = self._client.version()
            image = Image(
                pin or Pin(reference, found["Id"], _digest(reference, found)),
                found.get("Config") or {},
                _platform(found),
                f"{version['Os']}/{version['Arch']}",
            )
        _check_platform(image, platform)
        if pin is None:
            self._pins.save(image.pin, platform)
        return image

    def facts(self, image: Image) -> UserFacts | None:
        """What was found in the image's files before."""
        try:
            facts = dict(image.pin.facts)
            return UserFacts(**{**facts, "bare": tuple(facts["bare"])})
        except (TypeError, KeyError):
            return None

    def keep(self, image: Image, facts: UserFacts, platform: str | None) -> None:
        """Notes what was found in the image's files."""
        self._pins.save(replace(image.pin, facts=asdict(facts)), platform)

    def _inspect(self, name: str) -> dict[str, Any] | None:
        from docker.errors import ImageNotFound

        try:
            found: dict[str, Any] = self._client.inspect_image(name)
        except ImageNotFound:
            return None
        return found

    def _pinned(self, pin: Pin, platform: str | None, pull: bool) -> dict[str, Any]:
        found = self._inspect(pin.id)
        named = None if os.path.exists(pin.reference) else self._inspect(pin.reference)
        path = self._pins.path(pin.reference, platform)
        if found is None and pin.digest and pull:
            self._pull(pin.digest, platform)
            found = self._inspect(pin.id)
        if found is None:
            raise ConfigError(
                f"the image that `{pin.reference}` was pinned to is not there any more: {pin.digest or pin.id}",
                hint=f"load it again, or remove `{path}` to take what the name means now",
                facts={"image": pin.reference, "pinned": pin.digest or pin.id, "now": named["Id"] if named else None},
            )
        if named is not None and named["Id"] != pin.id:
            self._log(
                "warning",
                f"`{pin.reference}` means another image now, {_short(named['Id'])}: the one of the first run is used, "
                f"{_short(pin.id)}; remove `{path}` to take the new one",
            )
        return found

    def _load(self, path: Path) -> dict[str, Any]:
        if path.is_dir():
            raise ConfigError(
                f"`{path}` is an OCI layout, which the Docker Engine cannot load",
                hint="set `runtime: sandbox`, or put it into the engine with a tool and name the image",
            )
        self._log("info", f"loading `{path}` into the Docker Engine")
        ids: list[str] = []
        with path.open("rb") as file:
            for line in self._client.load_image(file):
                if error := line.get("error"):
                    raise ConfigError(f"the Docker Engine cannot load `{path}`: {error}", hint="write it with `docker save`")
                if loaded := re.search(r"Loaded image(?: ID)?: (\S+)", line.get("stream") or ""):
                    ids.append(loaded[1])
        images = {found["Id"]: found for name in ids if (found := self._inspect(name)) is not None}
        if len(images) != 1:
            raise ConfigError(
                f"`{path}` holds {len(images)} images", hint="save one image alone, or load it and name it by its tag"
            )
        return next(iter(images.values()))

    def _pull(self, reference: str, platform: str | None) -> dict[str, Any] | None:
        """Pulls the image, telling of it.

        Raises:
            ConfigError: The registry does not have it, or does not give it.
            ConnectorError: The registry cannot be reached (retryable).
        """
        from docker.errors import APIError

        self._log("info", f"pulling `{reference}`")
        repository, at, digest = reference.partition("@")
        tag = digest if at else None
        try:
            for line in self._client.pull(repository, tag=tag, stream=True, decode=True, platform=platform):
                if error := line.get("error"):
                    raise _cannot_pull(reference, platform, str(error))
                if "progressDetail" not in line or not line["progressDetail"]:
                    self._log("debug", f"pull: {line.get('id', '')} {line.get('status', '')}".strip())
        except APIError as error:
            raise _cannot_pull(reference, platform, str(error.explanation or error)) from None
        found = self._inspect(reference)
        if found is not None:
            self._log("info", f"pulled `{reference}`: {_short(found['Id'])}, {found.get('Size', 0) / 2**20:.0f} MiB")
        return found


def _cannot_pull(reference: str, platform: str | None, said: str) -> ConfigError | ConnectorError:
    facts: dict[str, object] = {"image": reference, "engine": said}
    if re.search(r"no matching manifest|does not match the specified platform|no match for platform", said, re.I):
        return ConfigError(
            f"there is no `{reference}` for {platform or 'the platform of the Docker Engine'}",
            hint="choose another `platform` of `container`, where the engine can emulate it",
            facts=facts,
        )
    if re.search(r"no space left", said, re.I):
        return ConnectorError(
            f"cannot pull `{reference}`: the engine's disk is full", hint="`docker system prune`", retryable=True, facts=facts
        )
    if re.search(r"unauthorized|authentication|denied|manifest unknown|not found|does not exist|manifest for", said, re.I) and (
        not re.search(r"dial tcp|lookup|no such host", said, re.I)
    ):
        return ConfigError(
            f"cannot pull `{reference}`: {said}", hint="check name and tag; for a private one, `docker login` first", facts=facts
        )
    return ConnectorError(
        f"image `{reference}` is not here, and its registry cannot be reached: {said}",
        hint="check the engine's network, or `docker load` the image from an archive",
        retryable=True,
        facts=facts,
    )


def _check_platform(image: Image, wanted: str | None) -> None:
    """Whoever asks for a platform by name knows that the engine emulates it."""
    if wanted is not None and not _fits(wanted, image.platform):
        raise ConfigError(
            f"image `{image.pin.reference}` is for {image.platform}, not {wanted}", hint="name an image for that platform"
        )
    if wanted is None and image.is_foreign:
        raise ConfigError(
            f"image `{image.pin.reference}` is for {image.platform}, but this Docker Engine runs {image.engine_platform}",
            hint=f"name an image for {image.engine_platform}; if the engine emulates the other, "
            f"set `platform: {image.platform}` of `container`",
        )


def _fits(wanted: str, platform: str) -> bool:
    return platform.split("/")[: wanted.count("/") + 1] == wanted.split("/")


def _platform(found: Mapping[str, Any]) -> str:
    return "/".join(part for part in (found["Os"], found["Architecture"], found.get("Variant")) if part)


def _digest(reference: str, found: Mapping[str, Any]) -> str | None:
    """The digest under which the registry that was named knows the image."""
    if "@" in reference:
        return reference
    repository = reference.rpartition(":")[0] if ":" in reference.rpartition("/")[2] else reference
    repository = re.sub(r"^(?:docker\.io/)?(?:library/)?", "", repository)
    return next((name for name in found.get("RepoDigests") or () if name.partition("@")[0] == repository), None)


def _short(image_id: str) -> str:
    return image_id[:19]

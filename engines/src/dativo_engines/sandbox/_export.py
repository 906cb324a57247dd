"""Takes an image out of a running Docker Engine."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from dativo_protocols import ConfigError, ConnectorError, DativoError

from dativo_engines.sandbox._images import Image, ImageStore


def export(store: ImageStore, name: str, platform: str, *, cache_dir: Path, pull: bool, log: Callable[[str, str], None]) -> Image:
    """The image of this name, unpacked from what a Docker Engine has.

    Args:
        store: Where it is unpacked to.
        name: `airbyte/source-faker:7.2.1`.
        platform: `linux/amd64`.
        cache_dir: Where it is noted which image the name meant at first.
        pull: Whether the engine may fetch an image that it lacks.
        log: Called with level and line.

    Raises:
        ConfigError: There is no engine, or it has no such image.
        ConnectorError: The engine failed (retryable).
    """
    from dativo_engines.containers._client import connect, requests_to
    from dativo_engines.containers._images import ImageStore as EngineImages

    try:
        client = connect()
    except DativoError as error:
        raise _missing(name, error.message) from None
    cache_dir.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(client), tempfile.TemporaryFile(dir=cache_dir) as file:
        try:
            image = EngineImages(client, cache_dir, log).find(name, platform=platform, pull=pull)
            log("info", f"taking `{name}` out of the Docker Engine")
            with requests_to(client, name):
                for chunk in client.get_image(image.pin.id):
                    file.write(chunk)
        except ConfigError as error:
            raise _missing(name, error.message) from None
        except OSError as error:
            raise ConnectorError(
                f"cannot take `{name}` out of the Docker Engine: {error.strerror}", hint="make room on the disk", retryable=True
            ) from error
        file.seek(0)
        return store.unpack(Path(name), platform, file=file, name=name)


def _missing(name: str, why: str) -> ConfigError:
    return ConfigError(
        f"no image `{name}` for a sandbox: it was not unpacked here before, and {why}",
        hint=f"where it can be had: `docker pull {name} && docker save -o image.tar {name}`; then `image: /path/image.tar`",
        facts={"image": name},
    )

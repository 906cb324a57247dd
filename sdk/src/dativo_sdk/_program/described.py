"""Who a plugin is, told from its class."""

from __future__ import annotations

import inspect
from typing import Any

from dativo_protocols import frozen

from dativo_sdk._api_version import API_VERSION


@frozen
class Described:
    """What the class says of itself.

    Attributes:
        api_version: Of the SDK that it was written for; where it does not say, the one it runs with.
    """

    name: str
    version: str
    api_version: str
    description: str

    @classmethod
    def of(cls, plugin: type[Any]) -> Described:
        """From `name`, `version`, `__api_version__` and the docstring, or from the class's name."""
        own_doc = inspect.cleandoc(plugin.__doc__ or "").partition("\n")[0]
        return cls(
            str(getattr(plugin, "name", plugin.__name__)),
            str(getattr(plugin, "version", "0")),
            str(getattr(plugin, "__api_version__", None) or API_VERSION),
            own_doc,
        )

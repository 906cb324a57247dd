"""Which plugins are loaded, by the version that they were written against."""

from __future__ import annotations

import warnings
from typing import Any, Protocol, runtime_checkable

import pytest
from dativo_protocols import ConfigError
from dativo_sdk import API_VERSION, capabilities, compatible, deprecated, since
from dativo_sdk._api_version import is_known_to
from dativo_sdk._plugin import load_class


@pytest.mark.parametrize("version", [None, "2.3", "2.0"])
def test_the_same_major_version_is_loaded_up_to_the_minor_one(version: str | None) -> None:
    assert compatible(version, host_version="2.3") is None


@pytest.mark.parametrize(
    ("version", "hint"),
    [
        ("2.4", "update Dativo and the package `dativo-plugin-sdk` to one with version 2.4"),
        ("3.0", "update Dativo and the package `dativo-plugin-sdk` to one with version 3.0"),
        ("1.9", "take a version of the plugin that was written for 2.x"),
        ("2", 'its makers write `__api_version__ = "2.3"`'),
        ("2.03", 'its makers write `__api_version__ = "2.3"`'),
    ],
)
def test_any_other_is_refused_and_the_error_says_what_to_do(version: str, hint: str) -> None:
    refused = compatible(version, host_version="2.3", name="`mine`")
    assert isinstance(refused, ConfigError)
    assert hint in (refused.hint or "")
    assert refused.facts == {"api_version": version, "host_api_version": "2.3"}
    assert refused.message.startswith("`mine` ")


def test_a_plugin_of_a_newer_version_is_not_loaded(tmp_path: Any) -> None:
    plugin = tmp_path / "newer.py"
    plugin.write_text("class Newer:\n    __api_version__ = '1.99'\n")
    with pytest.raises(ConfigError, match=r"written for version 1\.99 of the plugin API, and version 1\.0 is installed here"):
        load_class(f"{plugin}:Newer")


@runtime_checkable
class Newer(Protocol):
    """A power of a later version."""

    __since__ = "1.2"

    def newer(self) -> None: ...


def test_a_power_that_is_newer_than_the_plugin_is_not_its_power() -> None:
    old = type("Old", (), {"__api_version__": "1.1", "newer": lambda self: None})
    new = type("New", (), {"__api_version__": "1.2", "newer": lambda self: None})
    assert (is_known_to(Newer, old), is_known_to(Newer, new)) == (False, True)


def test_what_a_version_added_says_so() -> None:
    @since("1.0")
    def added() -> None:
        """Does it.

        At length.
        """

    assert (added.__doc__ or "").startswith("Does it. (Since API version 1.0.)\n")
    with pytest.raises(ValueError, match=f"the API version is {API_VERSION}"):
        since("1.99")


def test_what_is_deprecated_warns_once_and_works() -> None:
    @deprecated(since="1.0", removed_in="2.0", instead="`new`")
    def old(value: int) -> int:
        return value

    with pytest.warns(
        DeprecationWarning, match=r"`.*old` is deprecated since API version 1\.0 and goes with 2\.0: use `new`"
    ) as heard:
        assert [old(1), old(2)] == [1, 2]
    assert len(heard) == 1
    assert heard[0].filename == __file__


def test_a_deprecated_class_warns_when_one_is_made() -> None:
    @deprecated(since="1.0", removed_in="2.0", instead="`New`")
    class Old:
        def __init__(self, value: int) -> None:
            self.value = value

    with pytest.warns(DeprecationWarning, match="Old"):
        assert Old(3).value == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(Old(4), Old)


def test_what_was_to_go_cannot_stay() -> None:
    with pytest.raises(ValueError, match="is to be removed"):
        deprecated(since="0.9", removed_in="1.0", instead="`new`")


def test_capabilities_are_what_the_class_has() -> None:
    class Reads:
        releases_gil = True
        modes = ("full_refresh",)

        def read_batch(self, max_rows: int) -> None: ...
        def check(self) -> None: ...

    can = capabilities(Reads).to_json()
    assert (can["read"], can["write"], can["modes"], can["powers"]) == (True, False, ["full_refresh"], ["check"])
    assert can["releases_gil"] is True

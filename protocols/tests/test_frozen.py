"""`frozen` does what the standard library's frozen dataclasses do."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field
from typing import Any

import pytest
from dativo_protocols import frozen


def standard(cls: type) -> Any:
    return dataclasses.dataclass(frozen=True, slots=True)(cls)


def made(decorator: Callable[[type], Any]) -> Any:
    class Point:
        """A place."""

        x: int
        y: int = 2
        tags: list[str] = field(default_factory=list)
        secret: str = field(default="s", repr=False)
        note: str = field(default="n", compare=False)

        @property
        def both(self) -> int:
            return self.x + self.y

    return decorator(Point)


@frozen
class Kept:
    name: str
    size: int = 0


@frozen
class One:
    x: int


@frozen
class Checked:
    x: int

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("below zero")

    def __str__(self) -> str:
        return f"#{self.x}"


@frozen
class Nothing:
    """Has no field."""


def test_objects_are_made_shown_and_compared_as_by_the_standard_library() -> None:
    ours, theirs = made(frozen), made(standard)
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))
    assert (ours.__doc__, ours.__match_args__, ours.__slots__) == (theirs.__doc__, theirs.__match_args__, theirs.__slots__)
    assert repr(ours(1)) == repr(theirs(1))
    assert ours(1, 3, ["a"]).both == 4
    assert ours(1).tags is not ours(1).tags
    for cls in (ours, theirs):
        assert cls(1) == cls(1, note="other")
        assert cls(1) != cls(1, secret="other")
        assert cls(1) != (1, 2, [], "s", "n")
    assert ours(1) != theirs(1)


@pytest.mark.parametrize("arguments", [(), (1, 2, [], "s", "n", "more")])
def test_wrong_arguments_have_the_same_words(arguments: tuple[object, ...]) -> None:
    said = []
    for cls in (made(frozen), made(standard)):
        with pytest.raises(TypeError) as caught:
            cls(*arguments)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_nothing_can_be_changed() -> None:
    for cls in (made(frozen), made(standard)):
        point = cls(1)
        with pytest.raises(FrozenInstanceError, match="cannot assign to field 'x'"):
            point.x = 2
        with pytest.raises(FrozenInstanceError, match="cannot delete field 'x'"):
            del point.x


def test_objects_are_keys() -> None:
    assert {Kept("a"): 1, One(1): 2}[Kept("a", 0)] == 1
    assert hash(One(1)) == hash(One(1))
    assert len({Nothing(), Nothing()}) == 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(made(frozen)(1))


def test_the_standard_librarys_functions_take_them() -> None:
    kept = Kept("a", 1)
    assert dataclasses.is_dataclass(Kept)
    assert [each.name for each in dataclasses.fields(Kept)] == ["name", "size"]
    assert dataclasses.replace(kept, size=2) == Kept("a", 2)
    assert dataclasses.asdict(kept) == {"name": "a", "size": 1}
    for again in (copy.copy(kept), copy.deepcopy(kept), pickle.loads(pickle.dumps(kept))):
        assert again == kept
        assert again is not kept


def test_own_methods_are_kept() -> None:
    assert str(Checked(1)) == "#1"
    with pytest.raises(ValueError, match="below zero"):
        Checked(-1)


def test_a_dataclass_of_the_standard_library_may_have_one_as_its_base() -> None:
    @dataclasses.dataclass(frozen=True, slots=True)
    class More(Kept):
        last: int = 3

    assert repr(More("a")).endswith("More(name='a', size=0, last=3)")
    with pytest.raises(FrozenInstanceError):
        More("a").last = 4  # type: ignore[misc]


def test_what_it_cannot_make_is_refused_when_it_is_defined() -> None:
    with pytest.raises(TypeError, match="has a dataclass as its base"):

        @frozen
        class More(Kept):
            last: int = 3

    with pytest.raises(TypeError, match="field `y` has no default"):

        @frozen
        class Wrong:
            x: int = 1
            y: int  # type: ignore[misc]

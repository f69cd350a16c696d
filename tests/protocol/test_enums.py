"""Enums cross in one form for each class, and come back."""

from __future__ import annotations

import enum

import pytest

from perdure._protocol.enums import crosses_by_value, form_of, member_of


class Number(enum.IntEnum):
    ONE = 1


class Truth(enum.Enum):
    YES = True
    NO = False


class Mixed(enum.Enum):
    A = "a"
    B = (1,)


class Letters(enum.Enum):
    A = "B"
    B = "A"


class Alias(enum.Enum):
    FIRST = 1
    SECOND = 1  # noqa: PIE796  # an alias


class Access(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Picky(enum.Enum):
    A = 1

    @classmethod
    def _missing_(cls, value: object) -> Picky:
        raise KeyError(value)


@pytest.mark.parametrize(
    ("member", "form"),
    [
        (Number.ONE, 1),
        (Truth.YES, True),
        (Mixed.A, "A"),
        (Mixed.B, "B"),
        (Letters.A, "B"),
        (Letters.B, "A"),
        (Alias.SECOND, 1),
        (Access(0), 0),
        (Access.READ | Access.WRITE, 3),
        (Picky.A, 1),
    ],
    ids=repr,
)
def test_a_member_comes_back(member: enum.Enum, form: object) -> None:
    assert form_of(member) == form
    assert type(form_of(member)) is type(form) or isinstance(member, int)
    assert member_of(type(member), form) is member
    assert member_of(type(member), member) is member


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        (Number, True),
        (Number, "ONE"),
        (Truth, 1),
        (Mixed, "a"),
        (Letters, "C"),
        (Picky, 2),
        (Mixed, []),
        (Access, True),
        (Access, "1"),
        (Access, 1.5),
    ],
    ids=repr,
)
def test_another_form_is_no_member(kind: type[enum.Enum], form: object) -> None:
    with pytest.raises(ValueError, match="its members are"):
        member_of(kind, form)


def test_an_enum_with_a_value_that_is_no_scalar_crosses_by_name() -> None:
    assert not crosses_by_value(Mixed)
    assert crosses_by_value(Access)

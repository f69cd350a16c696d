"""Models cross as their fields, without pydantic being imported for it."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from perdure._protocol.codec import decode, encode
from perdure._protocol.models import content_of, is_model
from perdure.errors import ValueNotCarriableError


class Plain(pydantic.BaseModel):
    a: int = pydantic.Field(alias="A", exclude=True)


class Whole(pydantic.BaseModel):
    a: int

    @pydantic.model_serializer
    def text(self) -> str:
        return f"a={self.a}"


class Every(pydantic.BaseModel):
    a: int
    b: int

    @pydantic.field_serializer("*")
    def doubled(self, value: int) -> int:
        return value * 2


class Duck:
    def __init__(self, dumped: object) -> None:
        self.dumped = dumped

    def model_dump(self) -> object:
        return self.dumped


@pytest.mark.parametrize(
    ("model", "content"),
    [
        (Plain(A=1), {"a": 1}),
        (Every(a=1, b=2), {"a": 2, "b": 4}),
        (pydantic.RootModel[int](3), 3),
        (Duck({"a": 1}), {"a": 1}),
        (Plain.model_construct(), {}),
    ],
    ids=repr,
)
def test_a_model_crosses_as_its_content(model: Any, content: object) -> None:
    assert is_model(model)
    assert content_of(model) == content
    assert decode(encode(model, where="value")) == content


@pytest.mark.parametrize("model", [Whole(a=1), Duck([1])], ids=repr)
def test_a_dump_that_is_no_mapping_is_refused(model: Any) -> None:
    with pytest.raises(ValueNotCarriableError, match="returns no mapping"):
        encode(model, where="value")


def test_a_model_that_is_met_twice_is_one_object() -> None:
    model = Plain(A=1)
    one, two = decode(encode([model, model], where="value"))
    assert one is two

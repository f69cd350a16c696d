"""Structure: converters for annotations with parts, by pydantic.

Pure. Pydantic decides which values a dataclass, model, TypedDict, NamedTuple or union takes, by a
core schema that is first adapted to the form values have after they crossed
(``_protocol.schemas``).
Imported only for an annotation that has structure, since pydantic takes a tenth of a second.
"""

# Core schemas are dictionaries of many shapes:
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import SchemaError, SchemaValidator

from ..errors import ValueNotCarriableError
from .annotations import Converter, without_undefined
from .schemas import Adapter, mentions_undefined
from .typed_dicts import admit_typed_dicts

__all__ = ("structured",)


def structured(annotation: Any) -> Converter:
    """The converter to *annotation*, as ``annotations.converter`` promises."""
    admit_typed_dicts(annotation)
    try:
        schema = TypeAdapter(annotation).core_schema
        keeps_undefined = mentions_undefined(schema)  # the first look builds the schema
        adapted: Any = Adapter(keeps_undefined=keeps_undefined).adapt(schema)
        # The validators that classes bring along are of the schema as it was: not to be used again.
        validator = SchemaValidator(adapted, _use_prebuilt=False)
    except (PydanticSchemaGenerationError, PydanticUserError) as exc:
        if getattr(exc, "code", None) == "class-not-fully-defined":
            raise NameError(f"{annotation} names a type that is not defined") from exc
        raise TypeError(_first_sentence(exc.message)) from exc
    except (SchemaError, RecursionError) as exc:
        raise TypeError(str(exc).splitlines()[-1].strip()) from exc

    def convert(value: Any, where: str) -> Any:
        if not keeps_undefined:
            value = without_undefined(value)
        try:
            return validator.validate_python(value)
        except ValidationError as exc:
            raise _refusal(exc, where) from None  # its text shows the value, which may be secret

    return convert


def _first_sentence(message: str) -> str:
    return message.splitlines()[0].partition(". ")[0].rstrip(".")


def _refusal(error: ValidationError, where: str) -> ValueNotCarriableError:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    first = problems[0]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    return ValueNotCarriableError(where + path, f"{first['msg']}{more}")

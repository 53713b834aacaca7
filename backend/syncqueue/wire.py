"""How each kind of field looks on the wire. Pure: `read` turns a column's value into JSON, `write` the way back.

`write` raises Unfit for what the database would store differently from what was sent. null passes both ways and is
judged by the caller. Relations are text here; rows.py and references.py turn keys into rows and back.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Protocol

from django.db import connections, models

from .canonical import NotJson, canonical, plain
from .stamps import timestamp

Column = Any  # a Django field: plain columns, relations and links share no type that has what is asked of them

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_SQLITE_DIGITS = 15  # SQLite keeps decimals as doubles


class Unfit(Exception):
    """A value that this field does not take: a `code` of the contract and a message without the value."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Kind(Protocol):
    """One kind of field."""

    def read(self, value: Any) -> Any: ...
    def write(self, value: Any) -> Any: ...


@dataclass(frozen=True)
class Text:
    max_length: int | None = None

    def read(self, value: Any) -> Any:
        return str(value)

    def write(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise Unfit("type", "text is expected")
        if not value.isascii() or "\0" in value:
            storable(value)
        if self.max_length is not None and len(value) > self.max_length:
            raise Unfit("too-large", f"at most {self.max_length} characters")
        return value


@dataclass(frozen=True)
class Integer:
    low: int | None
    high: int | None

    def read(self, value: Any) -> Any:
        return int(value)

    def write(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Unfit("type", "an integer is expected")
        if isinstance(value, float) and not value.is_integer():
            raise Unfit("not-representable", "an integer without a fraction is expected")
        number = int(value)
        if (self.low is not None and number < self.low) or (self.high is not None and number > self.high):
            raise Unfit("not-representable", f"from {self.low} to {self.high}")
        return number


@dataclass(frozen=True)
class Number:
    def read(self, value: Any) -> Any:
        return plain(float(value)) if math.isfinite(value) else None  # NaN has no JSON; one bad row must stop nothing

    def write(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Unfit("type", "a number is expected")
        canonical_or_unfit(value)
        if float(value) != value:
            raise Unfit("not-representable", "more digits than a double holds")
        return float(value)


@dataclass(frozen=True)
class Exact:
    """A decimal: text with exactly the field's places."""

    digits: int
    places: int
    vendor_digits: int | None = None

    @cached_property
    def _shape(self) -> re.Pattern[str]:
        fraction = rf"\.\d{{{self.places}}}" if self.places else ""
        return re.compile(rf"-?(0|[1-9]\d*){fraction}", re.ASCII)

    def read(self, value: Any) -> Any:
        number = Decimal(value)
        return f"{number:.{self.places}f}" if number.is_finite() else None

    def write(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise Unfit("type", "a decimal as text is expected")
        if not self._shape.fullmatch(value):
            raise Unfit("not-representable", f"text with exactly {self.places} decimal places is expected")
        figures = value.lstrip("-").replace(".", "").lstrip("0")
        limit = min(self.digits, self.vendor_digits or self.digits)
        if len(figures) > limit or (value.startswith("-") and not figures):
            raise Unfit("not-representable", f"at most {limit} digits, and no negative zero")
        return Decimal(value)


@dataclass(frozen=True)
class Truth:
    def read(self, value: Any) -> Any:
        return bool(value)

    def write(self, value: Any) -> Any:
        if not isinstance(value, bool):
            raise Unfit("type", "true or false is expected")
        return value


@dataclass(frozen=True)
class Day:
    def read(self, value: Any) -> Any:
        return value.isoformat()

    def write(self, value: Any) -> Any:
        return _moment(value, _DATE, date.fromisoformat, "YYYY-MM-DD")


@dataclass(frozen=True)
class Moment:
    def read(self, value: Any) -> Any:
        return timestamp(value if value.tzinfo else value.replace(tzinfo=UTC))

    def write(self, value: Any) -> Any:
        return _moment(value, _DATETIME, datetime.fromisoformat, "YYYY-MM-DDTHH:MM:SS.ffffffZ")


@dataclass(frozen=True)
class Json:
    def read(self, value: Any) -> Any:
        return plain(value)

    def write(self, value: Any) -> Any:
        text = canonical_or_unfit(value)
        if b"\\u0000" in text and b"\\u0000" in text.replace(rb"\\", b""):
            raise Unfit("not-representable", "a zero character")
        return plain(value)


@dataclass(frozen=True)
class Reference:
    """The key of another synced record."""

    def read(self, value: Any) -> Any:
        return value

    def write(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise Unfit("type", "the key of a record, as text, is expected")
        return storable(value)


@dataclass(frozen=True)
class References:
    """The keys of other synced records, each once, sorted by UTF-8 bytes."""

    def read(self, value: Any) -> Any:
        return sorted(value)

    def write(self, value: Any) -> Any:
        if not isinstance(value, list) or not all(isinstance(key, str) for key in value):
            raise Unfit("type", "a list of keys is expected")
        if sorted(set(map(storable, value))) != value:
            raise Unfit("not-representable", "each key once, sorted by UTF-8 bytes")
        return value


def storable(text: str) -> str:
    """Return `text`. Raise Unfit for what no database keeps: a zero character, half a surrogate pair."""
    if "\0" in text:
        raise Unfit("not-representable", "a zero character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unfit("not-representable", "half a surrogate pair") from None
    return text


def canonical_or_unfit(value: Any) -> bytes:
    """Return the canonical JSON. Raise Unfit (`not-representable`)."""
    try:
        return canonical(value)
    except NotJson as error:
        raise Unfit("not-representable", str(error)) from None


def _moment(value: Any, shape: re.Pattern[str], parse: Callable[[str], Any], form: str) -> Any:
    if not isinstance(value, str):
        raise Unfit("type", f"text {form} is expected")
    try:
        if shape.fullmatch(value):
            return parse(value)
    except ValueError:
        pass  # answered below, without the value that Python's own message holds
    raise Unfit("not-representable", f"a real date in the form {form} is expected")


def kind_of(field: Column) -> Kind | None:
    """Return the kind of a column, or None where the app has none for it."""
    if isinstance(field, models.ManyToManyField):
        return References()
    if isinstance(field, models.ForeignKey):
        return Reference()
    if isinstance(field, models.DecimalField):
        vendor_digits = _SQLITE_DIGITS if connections["default"].vendor == "sqlite" else None
        return Exact(field.max_digits, field.decimal_places, vendor_digits)
    if isinstance(field, models.IntegerField):
        return Integer(*connections["default"].ops.integer_field_range(field.get_internal_type()))
    if isinstance(field, models.CharField | models.TextField):
        return Text(field.max_length)
    # a DateTimeField is a DateField too, so it comes first
    simple: list[tuple[Any, Kind]] = [(models.BooleanField, Truth()), (models.FloatField, Number()), (models.JSONField, Json())]
    simple += [(models.DateTimeField, Moment()), (models.DateField, Day())]
    return next((kind for type_, kind in simple if isinstance(field, type_)), None)

"""Guess the arguments of a call from the user's words and the tool's JSON schema.

Required properties always get a value of the right type; optional ones only if the words contain
one. The guesses are simple: capitalized words for a string, numbers in order, enum members by name.

A schema may be invalid or hostile: keywords of the wrong type are ignored, and depth, number of
values, length of texts and effort of patterns are bounded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from .types import Json, is_array, is_object

__all__ = ["guess_arguments"]

_MAX_DEPTH: Final = 8
_MAX_VALUES: Final = 500
#: Number of characters of the words to use, and of the longest text to return.
_MAX_TEXT: Final = 1000
_MAX_ITEMS: Final = 16
_MISSING: Final[Any] = object()
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")
_CAPITALIZED: Final = re.compile(r"[A-Z][\w'’-]*(?:\s+[A-Z][\w'’-]*)*")
_AFTER: Final = re.compile(
    r"\b(?:in|at|to|for|from|about|named|called|is|of|with)\s+([^\W\d_][\w'’-]*)", re.IGNORECASE
)
_QUOTED: Final = re.compile(r"[\"“]([^\"”]+)[\"”]")
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
_URI: Final = re.compile(r"https?://\S+")
_NO: Final = re.compile(r"\b(?:not|no|never|off|false|disable[d]?|without)\b|n't\b", re.IGNORECASE)
_YES: Final = re.compile(r"\b(?:yes|on|true|enable[d]?|please|with)\b", re.IGNORECASE)
#: Patterns with a repeated group, or with three repetitions or alternatives: matching may be slow.
_CHOICE: Final = r"(?:[*+?|]|\{\d*,)"
_SLOW_PATTERN: Final = re.compile(rf"\)[*+{{]|{_CHOICE}(?:.*{_CHOICE}){{2}}", re.DOTALL)
_MAX_MATCHED: Final = 200
_FORMATS: Final[Mapping[str, str]] = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T12:00:00Z",
    "time": "12:00:00Z",
    "email": "user@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "127.0.0.1",
    "hostname": "example.com",
}


def guess_arguments(schema: Json, words: str) -> Json:
    """Return arguments that match a schema of parameters, from the words if possible."""
    guesser = _ArgumentGuesser(schema, words)
    arguments = guesser.value_for({"type": "object", **schema}, required=True, depth=0)
    return arguments if is_object(arguments) else {}


class _ArgumentGuesser:
    """Guesses the arguments of one call. Uses each number in the words once."""

    def __init__(self, root: Json, words: str) -> None:
        self._root = root
        self._words = words[:_MAX_TEXT]
        self._numbers = [n for n in map(float, _NUMBER.findall(self._words)) if math.isfinite(n)]
        self._remaining = _MAX_VALUES

    def value_for(self, schema: Json, *, required: bool, depth: int) -> Any:
        """Return a value for the schema; ``_MISSING`` if none is found and none is required."""
        if self._remaining == 0:
            return None if required else _MISSING
        self._remaining -= 1
        schema = self._resolve(schema)
        found = self._find(schema, depth)
        if found is not _MISSING or not required:
            return found
        if "default" in schema:
            return schema["default"]
        return None if _allows_null(schema) else self._default_value(schema, depth)

    # -- values from the words -------------------------------------------------------------------

    def _find(self, schema: Json, depth: int) -> Any:
        if "const" in schema:
            return schema["const"]
        if is_array(schema.get("enum")):
            return self._find_member(schema["enum"])
        match _type_of(schema):
            case "string":
                return self._find_string(schema)
            case "integer" | "number":
                return self._find_number(schema)
            case "boolean":
                return self._find_boolean()
            case "array" if depth < _MAX_DEPTH:
                return self._find_array(schema, depth)
            case "object":
                return self._find_object(schema, depth)
            case _:
                return _MISSING

    def _find_member(self, members: list[Any]) -> Any:
        said = self._words.lower()
        named = [m for m in members if isinstance(m, str) and m and _is_mentioned(m.lower(), said)]
        if named:
            return max(named, key=len)
        numbers = [m for m in members if _is_number(m) and m in self._numbers]
        return numbers[0] if numbers else _MISSING

    def _find_string(self, schema: Json) -> Any:
        text = self._guess_text(schema.get("format"))
        return text if text and _fits_text(text, schema) else _MISSING

    def _guess_text(self, string_format: Any) -> str | None:
        if string_format == "email":
            return _first(_EMAIL, self._words)
        if string_format == "uri":
            return _first(_URI, self._words)
        if string_format is not None:
            return None
        return _first(_QUOTED, self._words) or self._name() or _last(_AFTER, self._words)

    def _name(self) -> str | None:
        """Return the last capitalized words that do not start a sentence."""
        names = [m for m in _CAPITALIZED.finditer(self._words) if m[0] not in ("I", "I'm", "I’m")]
        inside = [m[0] for m in names if not _begins_sentence(self._words, m.start())]
        return inside[-1] if inside else None

    def _find_number(self, schema: Json) -> Any:
        for number in self._numbers:
            value = int(number) if number.is_integer() else number
            if _NumberRange.of(schema).has(value):
                self._numbers.remove(number)
                return value
        return _MISSING

    def _find_boolean(self) -> Any:
        if _NO.search(self._words):
            return False
        return True if _YES.search(self._words) else _MISSING

    def _find_array(self, schema: Json, depth: int) -> Any:
        inner: Json = schema["items"] if is_object(schema.get("items")) else {}
        most = _count(schema, "maxItems", _MAX_ITEMS)
        values = self._elements(self._resolve(inner), depth)[:most]
        if not values:
            return _MISSING
        while len(values) < min(_count(schema, "minItems", 0), _MAX_ITEMS):
            values.append(self.value_for(inner, required=True, depth=depth + 1))
        return values

    def _elements(self, inner: Json, depth: int) -> list[Any]:
        if is_array(inner.get("enum")):
            said = self._words.lower()
            return [
                m for m in inner["enum"] if isinstance(m, str) and _is_mentioned(m.lower(), said)
            ]
        match _type_of(inner):
            case "string":
                names = [m[0] for m in _CAPITALIZED.finditer(self._words)]
                inside = [n for n in names if not self._words.lstrip().startswith(n)]
                return [name for name in inside if _fits_text(name, inner)]
            case "integer" | "number":
                found = [self._find_number(inner) for _ in list(self._numbers)]
                return [value for value in found if value is not _MISSING]
            case _:
                one = self._find(inner, depth + 1)
                return [] if one is _MISSING else [one]

    def _find_object(self, schema: Json, depth: int) -> Any:
        values = self._members(schema, depth)
        return values if values or depth == 0 else _MISSING

    def _members(self, schema: Json, depth: int) -> Json:
        if depth >= _MAX_DEPTH:
            return {}
        required: list[Any] = schema["required"] if is_array(schema.get("required")) else []
        properties: Json = schema["properties"] if is_object(schema.get("properties")) else {}
        values: Json = {}
        for key, inner in properties.items():
            part: Json = inner if is_object(inner) else {}
            value = self.value_for(part, required=key in required, depth=depth + 1)
            if value is not _MISSING:
                values[key] = value
        return values

    # -- defaults --------------------------------------------------------------------------------

    def _default_value(self, schema: Json, depth: int) -> Any:
        if is_array(schema.get("enum")):
            return next(iter(schema["enum"]), None)
        match _type_of(schema):
            case "string":
                return self._default_text(schema)
            case "integer" | "number":
                return _NumberRange.of(schema).default()
            case "boolean":
                return True
            case "array":
                return self._default_array(schema, depth)
            case "object":
                return self._members(schema, depth)
            case _:
                return self._words.strip()

    def _default_text(self, schema: Json) -> str:
        string_format = schema.get("format")
        text = (
            _FORMATS.get(string_format, "")
            if isinstance(string_format, str)
            else self._words.strip()
        )
        text = text or "something"
        least = min(_count(schema, "minLength", 0), _MAX_TEXT)
        return text.ljust(least, ".")[: _count(schema, "maxLength", _MAX_TEXT)]

    def _default_array(self, schema: Json, depth: int) -> list[Any]:
        inner: Json = schema["items"] if is_object(schema.get("items")) else {}
        least = min(_count(schema, "minItems", 0), _MAX_ITEMS) if depth < _MAX_DEPTH else 0
        return [self.value_for(inner, required=True, depth=depth + 1) for _ in range(least)]

    # -- references and alternatives -------------------------------------------------------------

    def _resolve(self, schema: Json) -> Json:
        """Resolve references, merge ``allOf``, and choose the first non-null alternative."""
        for _ in range(_MAX_DEPTH):
            if isinstance(schema.get("$ref"), str):
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = self._target(schema["$ref"]) | rest
            elif is_array(schema.get("allOf")):
                schema = _merged(schema)
            elif choices := _choices(schema):
                schema = _chosen(schema, choices)
            else:
                break
        return schema

    def _target(self, reference: str) -> Json:
        found: Any = self._root
        for key in reference.removeprefix("#").strip("/").split("/"):
            name = key.replace("~1", "/").replace("~0", "~")
            found = found.get(name, {}) if is_object(found) else {}
        return found if is_object(found) else {}


def _merged(schema: Json) -> Json:
    merged: Json = {}
    for part in reversed(schema["allOf"]):
        merged.update(part if is_object(part) else {})
    merged.update((key, value) for key, value in schema.items() if key != "allOf")
    return merged


def _choices(schema: Json) -> list[Any]:
    for key in ("anyOf", "oneOf"):
        choices: Any = schema.get(key)
        if is_array(choices):
            return choices
    return []


def _chosen(schema: Json, choices: list[Any]) -> Json:
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
    parts: list[Json] = [part for part in choices if is_object(part)]
    real = [part for part in parts if part.get("type") != "null"]
    chosen = real[0] if real else {"type": "null"}
    return chosen | rest | ({"nullable": True} if len(real) < len(parts) else {})


def _type_of(schema: Json) -> str:
    kind = schema.get("type")
    if is_array(kind):
        return next((str(name) for name in kind if name != "null"), "null")
    if kind is None:
        return "object" if "properties" in schema else "array" if "items" in schema else ""
    return str(kind)


def _allows_null(schema: Json) -> bool:
    kind = schema.get("type")
    listed = is_array(kind) and "null" in kind
    return listed or kind == "null" or bool(schema.get("nullable"))


def _first(pattern: re.Pattern[str], words: str) -> str | None:
    match = pattern.search(words)
    return None if match is None else match[match.lastindex or 0].strip()


def _last(pattern: re.Pattern[str], words: str) -> str | None:
    found = [match[match.lastindex or 0].strip() for match in pattern.finditer(words)]
    return found[-1] if found else None


def _begins_sentence(words: str, place: int) -> bool:
    before = words[:place].rstrip()
    return not before or before[-1] in ".!?:"


def _is_mentioned(member: str, said: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(member)}(?!\w)", said) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(schema: Json, key: str, default: int) -> int:
    value: Any = schema.get(key)
    return value if isinstance(value, int) and value >= 0 else default


def _fits_text(text: str, schema: Json) -> bool:
    pattern = schema.get("pattern")
    long_enough = (
        _count(schema, "minLength", 0) <= len(text) <= _count(schema, "maxLength", len(text))
    )
    return long_enough and (not isinstance(pattern, str) or _matches(pattern, text))


def _matches(pattern: str, text: str) -> bool:
    """Return whether the text matches, or whether this cannot be found out at low cost."""
    if max(len(pattern), len(text)) > _MAX_MATCHED or _SLOW_PATTERN.search(pattern):
        return True
    try:
        return re.search(pattern, text) is not None
    except (re.error, OverflowError, RecursionError):
        return True


@attrs.frozen
class _NumberRange:
    """The numbers that a schema allows."""

    low: float
    high: float
    above: float
    below: float
    step: float
    whole: bool

    @classmethod
    def of(cls, schema: Json) -> _NumberRange:
        whole = _type_of(schema) == "integer"
        return cls(
            low=_bound(schema, "minimum", -math.inf),
            high=_bound(schema, "maximum", math.inf),
            above=_bound(schema, "exclusiveMinimum", -math.inf),
            below=_bound(schema, "exclusiveMaximum", math.inf),
            step=_bound(schema, "multipleOf", 1 if whole else 0),
            whole=whole,
        )

    def has(self, value: float) -> bool:
        inside = self.low <= value <= self.high and self.above < value < self.below
        return inside and (not self.step or value % self.step == 0)

    def default(self) -> float:
        """Return an allowed value, near zero if possible."""
        value = next(filter(self.has, self._guesses()), max(self.low, 0.0))
        if not math.isfinite(value):
            return 0
        return int(value) if self.whole or float(value).is_integer() else value

    def _guesses(self) -> Iterator[float]:
        yield 0
        step = self.step or 1
        for bound in (self.low, self.above, self.high, self.below):
            if math.isfinite(bound / step):
                yield from (bound, math.ceil(bound / step) * step, math.floor(bound / step) * step)
                yield from ((bound // step + 1) * step, (-(-bound // step) - 1) * step)
        yield (max(self.low, self.above) + min(self.high, self.below)) / 2


def _bound(schema: Json, key: str, otherwise: float) -> float:
    value: Any = schema.get(key)
    try:
        return float(value) if _is_number(value) else otherwise
    except OverflowError:
        return math.copysign(math.inf, value)

"""Requests of an OpenAPI document (version 3): one for each operation, from its examples and types. Pure.

What a parameter is sent with: its example, its default, the first of its enum, or the simplest value of its
type. An optional parameter is sent only where the document has an example of it.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from pelton.exceptions import ConfigError
from pelton.requests.request import Request

_METHODS: Final = ("get", "head", "options", "post", "put", "patch", "delete")
_FORM: Final = "application/x-www-form-urlencoded"
_OF_FORMATS: Final = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "email": "a@example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.com/",
}
_OF_TYPES: Final[dict[str, Any]] = {"integer": 1, "number": 1, "boolean": True, "string": "a", "null": None}
# A document may refer to itself.
_DEEPEST: Final = 12


def read_openapi(text: str) -> list[Request]:
    """One request for each operation. Raises ConfigError."""
    document = _parsed(text)
    if not isinstance(document, dict) or not str(document.get("openapi", "")).startswith("3."):
        raise ConfigError("This is no OpenAPI document of version 3.", 'It begins with "openapi": "3.…".')
    try:
        return list(_Document(document).requests())
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f"This OpenAPI document is not understood: {error!r}.") from None


def _parsed(text: str) -> Any:
    if text.lstrip()[:1] == "{":
        try:
            return json.loads(text)
        except ValueError as error:
            raise ConfigError(f"This is not JSON: {error}.") from None
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        raise ConfigError(
            "An OpenAPI document in YAML needs PyYAML.", "pip install pyyaml, or save it as JSON."
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"This is not YAML: {error}.") from None


class _Document:
    """A document whose references are followed."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def requests(self) -> Iterator[Request]:
        """In the order of the document."""
        servers = self._document.get("servers") or [{"url": "/"}]
        base = urlsplit(str(servers[0]["url"])).path.rstrip("/")
        for path, found in self._document["paths"].items():
            item = self._resolved(found)
            for method in _METHODS:
                if method in item:
                    shared, own = item.get("parameters", []), item[method].get("parameters", [])
                    yield self._request(method, base + path, item[method], [*shared, *own])

    def _request(self, method: str, path: str, operation: Any, parameters: list[Any]) -> Request:
        # An operation's own parameter stands for one of the same name of the whole path.
        known = {(one["in"], one["name"]): one for one in map(self._resolved, parameters)}
        query = []
        for (place, name), parameter in known.items():
            if place == "path":
                path = path.replace(f"{{{name}}}", quote(_text(self._value_of(parameter)), safe=""))
            elif place == "query" and (parameter.get("required") or self._has_example(parameter)):
                query.append((name, _text(self._value_of(parameter))))
        if query:
            path += f"?{urlencode(query)}"
        return Request(method.upper(), path, *self._body(operation))

    def _body(self, operation: Any) -> tuple[str, str]:
        content = self._resolved(operation.get("requestBody") or {}).get("content") or {}
        for media_type, found in content.items():
            if media_type == _FORM or "json" in media_type:
                value = self._value_of(found)
                text = urlencode(value or {}) if media_type == _FORM else json.dumps(value)
                return text, media_type
        return "", ""

    def _resolved(self, value: Any) -> Any:
        for _ in range(_DEEPEST):
            reference = value.get("$ref")
            if reference is None:
                return value
            if not reference.startswith("#/"):
                raise ValueError(f"{reference} is in another file")
            value = self._document
            for word in reference[2:].split("/"):
                value = value[word.replace("~1", "/").replace("~0", "~")]
        raise ValueError("references that lead in a circle")

    def _has_example(self, parameter: Any) -> bool:
        schema = self._resolved(parameter.get("schema") or {})
        return "example" in parameter or bool(parameter.get("examples")) or "example" in schema

    def _value_of(self, described: Any) -> Any:
        """Of a parameter or a body: something with examples and a schema."""
        if "example" in described:
            return described["example"]
        for one in (described.get("examples") or {}).values():
            if "value" in (example := self._resolved(one)):
                return example["value"]
        return self._of_schema(described.get("schema") or {}, 0)

    def _of_schema(self, found: Any, depth: int) -> Any:
        schema = self._resolved(found)
        for name in ("example", "default", "const"):
            if name in schema:
                return schema[name]
        for name in ("examples", "enum"):
            if schema.get(name):
                return schema[name][0]
        if depth >= _DEEPEST:
            return None
        for name in ("oneOf", "anyOf"):
            if schema.get(name):
                return self._of_schema(schema[name][0], depth + 1)
        if schema.get("allOf"):
            parts = [self._of_schema(one, depth + 1) for one in schema["allOf"]]
            return {key: value for part in parts if isinstance(part, dict) for key, value in part.items()}
        kinds = schema.get("type")
        kind = kinds[0] if isinstance(kinds, list) else kinds
        if kind == "object" or (kind is None and "properties" in schema):
            wanted = set(schema.get("required", ()))
            return {
                name: self._of_schema(one, depth + 1)
                for name, one in schema.get("properties", {}).items()
                if name in wanted or not wanted
            }
        if kind == "array":
            return [self._of_schema(schema.get("items") or {}, depth + 1)]
        if kind == "integer" or kind == "number":
            return schema.get("minimum", 1)
        return _OF_FORMATS.get(schema.get("format", ""), _OF_TYPES.get(kind or "string", "a"))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value)

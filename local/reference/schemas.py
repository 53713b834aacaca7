"""How a JSON schema is told in a table, be it pydantic's or OpenAPI's."""

import ast
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from shared.specs.base import SECRET_NAME

NAMES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "map",
    "array": "list",
    "null": "null",
}
BOUNDS = {
    "minimum": " from {}",
    "exclusiveMinimum": " over {}",
    "maximum": " to {}",
    "maxLength": ", {} characters at most",
    "maxItems": ", {} at most",
}
Schema = Mapping[str, Any]
Linked = Callable[[str], str]
"""Returns what stands for the schema with this name."""


def type_of(schema: Schema, linked: Linked) -> str:
    """Return a schema in words: what a value may be, and its bounds."""
    if "$ref" in schema:
        return linked(schema["$ref"].rpartition("/")[2])
    if schema.get("pattern") == SECRET_NAME:
        return "`secret:NAME`"
    if "const" in schema:
        return code(schema["const"])
    if "enum" in schema:
        return ", ".join(map(code, schema["enum"]))
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return " or ".join(type_of(each, linked) for each in schema[choice] if each.get("type") != "null")
    return _plain(schema, linked)


def _plain(schema: Schema, linked: Linked) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        return " or ".join(NAMES[each] for each in kind)
    if "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])}: {', '.join(type_of(each, linked) for each in schema['prefixItems'])}"
    if kind == "array":
        return f"list of {type_of(schema.get('items', {}), linked)}" + _bounds(schema)
    if kind == "object":
        [inside] = [*schema.get("patternProperties", {}).values()] or [schema.get("additionalProperties")]
        return f"map, each {type_of(inside, linked)}" if isinstance(inside, Mapping) else "map"
    return (NAMES[kind] if kind else "anything") + _bounds(schema)


def _bounds(schema: Schema) -> str:
    return "".join(words.format(schema[name]) for name, words in BOUNDS.items() if name in schema)


def code(value: object) -> str:
    """Return a value as JSON has it, marked as code."""
    return f"`{value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)}`"


def default_of(name: str, schema: Schema, required: Sequence[str]) -> str:
    """Return what a key is taken to be where it is missing."""
    if name in required:
        return "*must be given*"
    default = schema.get("default")
    return "none" if default is None or isinstance(default, Mapping) else code(default)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(_escaped(cell) for cell in line)} |\n" for line in lines)


def _escaped(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|")


def meanings(kind: type) -> dict[str, str]:
    """Return what the source says of each field of a class: the text that stands below it. Its bases' come first."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if each.__module__.startswith("shared."):
            found |= _below(each)
    return found


def _below(kind: type) -> dict[str, str]:
    tree = ast.parse(Path(inspect.getfile(kind)).read_text(encoding="utf-8"))
    [body] = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind.__name__]
    found = {}
    for field, said in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and (text := _text(said)):
            found[field.target.id] = text
    return found


def _text(node: ast.stmt) -> str | None:
    value = node.value if isinstance(node, ast.Expr) else None
    return " ".join(value.value.split()) if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def said(thing: object) -> str:
    """Return the docstring of a class or a function as one paragraph each."""
    return "\n\n".join(" ".join(part.split()) for part in (inspect.getdoc(thing) or "").split("\n\n"))


def keys(kind: Any, linked: Linked) -> str:
    """Return the table of the keys of a pydantic model."""
    schema, told = kind.model_json_schema(), meanings(kind)
    required = schema.get("required", [])
    rows = [
        [f"`{name}`", type_of(each, linked), default_of(name, each, required), told.get(name, "")]
        for name, each in schema["properties"].items()
    ]
    return table(["key", "value", "default", ""], rows)

"""The page of the REST contract, made from the OpenAPI document that a backend serves."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from local.reference.schemas import Schema, code, default_of, table, type_of

DOCUMENT = Path(__file__).resolve().parents[2] / "backend" / "syncqueue" / "openapi.yaml"
HEAD = """# The REST contract

How a backend offers its changes to the sync, and takes those of the other side. `backend/syncqueue` offers it for Django, and
any other system may. `make docs` writes this page from the backend's own OpenAPI document (`backend/syncqueue/openapi.yaml`),
which the backend serves under `openapi.yaml`, and which the tests hold it to.

## What every call has in common

- `Authorization: Token TOKEN`. A token may be bound to some tenants; one with the role *viewer* may only look.
- A server that has signing keys wants each call signed: `X-Sync-Timestamp` (Unix seconds, at most 5 minutes off),
  `X-Sync-Nonce` (16 bytes in hex, used once) and `X-Sync-Signature`: `v1=` and the HMAC-SHA256, in hex, of timestamp, nonce,
  method, path with its query, each with a line feed after it, and the body as it is sent.
- Bodies are JSON, may be gzipped both ways, and stay under 10 MiB.
- A *stamp* is when and where a value was written: UTC with six decimals, `|`, and the name of the side. Of two writes of a
  field the one with the larger stamp stays, on both sides, whatever came first.
- Every call may be repeated: twice is the same as once.

## How a run uses them

1. `changes/`, page by page: what was edited at the backend. Each is applied at the other side, and `mark-synced/` says what
   became of it.
2. `apply/`: what was edited at the other side. The backend merges each change with what it holds, by the same rule, and
   answers what became of it, with any conflict.
3. A reconcile compares `digest/` of both sides, and reads the `records/` of those buckets that differ.
4. `status/` is for whoever asks how all is.

"""
MORE = """
## Beyond the contract

Ours answers three calls more, which a backend need not have: `POST erase/` and `POST about/`, each with `{entity, tenant,
keys}`, drop and tell what is kept of deleted records ([privacy.md](privacy.md)); `GET models/` tells which entities and
fields are synced, for `./bothways init` and `doctor`."""


def page() -> str:
    """Return the page as it should be."""
    document = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    calls = [_call(path, method, call, document) for path, on in document["paths"].items() for method, call in on.items()]
    named = [_named(name, schema) for name, schema in document["components"]["schemas"].items()]
    return HEAD + "\n".join(calls) + "\n" + "\n".join(named) + MORE


def _call(path: str, method: str, call: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    parts = [
        f"## {method.upper()} {path.strip('/')}/\n",
        call["summary"] + ".\n" if not call["summary"].endswith(".") else f"{call['summary']}\n",
    ]
    parts += [" ".join(call["description"].split()) + "\n"] if "description" in call else []
    if "parameters" in call:
        parts.append(table(["parameter", "value", "default", ""], map(_parameter, call["parameters"])))
    if "requestBody" in call:
        parts.append(_properties("it takes", call["requestBody"]["content"]["application/json"]["schema"]))
    parts.append(_properties("it answers", call["responses"]["200"]["content"]["application/json"]["schema"]))
    parts.append(table(["status", ""], _statuses(call["responses"], document["components"]["responses"])))
    return "\n".join(parts)


def _parameter(each: Mapping[str, Any]) -> list[str]:
    required = [each["name"]] if each.get("required") else []
    return [
        code(each["name"]),
        type_of(each["schema"], _linked),
        default_of(each["name"], each["schema"], required),
        each.get("description", ""),
    ]


def _properties(head: str, schema: Schema) -> str:
    return table([head, "value", ""], _rows(schema))


def _rows(schema: Schema) -> Iterator[list[str]]:
    for name, each in schema["properties"].items():
        missing = f"if it is missing: {code(each['default'])}" if "default" in each else "may be missing"
        said = [each.get("description", ""), "" if name in schema.get("required", []) else missing]
        yield [code(name), _told(each), "; ".join(filter(None, said))]


def _told(schema: Schema) -> str:
    """Return a schema in words; of one that has no name, its own properties too."""
    inside = schema.get("items", schema.get("additionalProperties", schema))
    if isinstance(inside, Mapping) and "properties" in inside:
        within = ", ".join(f"{code(name)}: {type_of(each, _linked)}" for name, each in inside["properties"].items())
        return f"{'list, each' if 'items' in schema else 'map, each' if inside is not schema else 'map:'} {within}"
    return type_of(schema, _linked)


def _statuses(responses: Mapping[str, Any], named: Mapping[str, Any]) -> Iterator[list[str]]:
    for status, response in responses.items():
        yield [
            status,
            named[response["$ref"].rpartition("/")[2]]["description"] if "$ref" in response else response["description"],
        ]


def _named(name: str, schema: Schema) -> str:
    head, told = f"## {name}\n", schema.get("description")
    if "properties" in schema:
        return f"{head}\n" + (f"{told[0].upper()}{told[1:]}.\n\n" if told else "") + _properties("key", schema)
    pattern = f" {code(schema['pattern'])}" if "pattern" in schema else ""
    return f"{head}\n{type_of(schema, _linked)}{f': {told}' if told else ''}{pattern}\n"


def _linked(name: str) -> str:
    return f"[{name}](#{name.lower()})"

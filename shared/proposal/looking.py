"""Looks at both sides for `init`, and changes nothing there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

from shared import wiring
from shared.errors import BadRequest
from shared.proposal import backends, documents, matching
from shared.proposal.seen import SeenEntity

SECONDS = 30
"""How long to wait for an OpenAPI page."""


@dataclass(frozen=True)
class Asked:
    """What init was told."""

    url: str
    project: str
    page: str | None
    places: Mapping[str, str]
    """The collections that were named, by entity."""
    token: Path | None
    secret: str
    sample: int


@dataclass
class Looking:
    """Both sides, looked at once each. `entities` are all that there are; `placed` says where some of them lie."""

    asked: Asked

    def __post_init__(self) -> None:
        self.firestore = wiring.firestore_at(self.asked.project)
        self.there = [name for name in self.firestore.collections() if not name.startswith("sync_")]
        told = _of_backend(self.asked)
        self.told = told is not None
        self.entities = self._guessed() if told is None else told

    def placed(self, entities: Sequence[SeenEntity]) -> list[SeenEntity]:
        """Return entities with their places and their fields' names in Firestore."""
        if not self.told:
            return list(entities)
        places = self.asked.places
        samples = {name: self._sampled(name) for name in matching.wanted(entities, places, self.there)}
        return matching.related([matching.matched(each, samples, places.get(each.name)) for each in entities])

    def _guessed(self) -> list[SeenEntity]:
        found = [documents.guessed(name, self._sampled(name)) for name in self.there]
        return [each for each in found if each.fields]

    def _sampled(self, collection: str) -> list[documents.Document]:
        number = self.asked.sample
        return [each.fields for each in self.firestore.query(collection, {}, limit=number)] if number else []


def _of_backend(asked: Asked) -> list[SeenEntity] | None:
    """Return what is told of the models; None if neither a page was named nor the backend tells."""
    if asked.page is not None:
        return _of_page(asked.page)
    told = wiring.backend_at(asked.url, lambda: _token(asked)).models()
    return None if told is None else backends.of_models(told)


def _of_page(place: str) -> list[SeenEntity]:
    try:
        return backends.of_openapi(_page(place))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadRequest(f"--openapi: {place} is not built as OpenAPI pages are ({type(error).__name__})") from None


def _token(asked: Asked) -> str:
    if asked.token is None:
        return wiring.secrets_of(asked.project).get(asked.secret)
    try:
        return asked.token.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"--token-file: {asked.token} cannot be read ({type(error).__name__})") from None


def _page(place: str) -> Any:
    try:
        if place.startswith(("http://", "https://")):
            answer = requests.get(place, timeout=SECONDS)
            answer.raise_for_status()
            return yaml.safe_load(answer.text)
        return yaml.safe_load(Path(place).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, requests.RequestException, yaml.YAMLError) as error:
        raise BadRequest(f"--openapi: {place} cannot be read as JSON or YAML ({type(error).__name__})") from None

"""Adopts what no write path saw: rows from before the app was installed, and raw SQL."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS

from syncqueue.registry import registry
from syncqueue.scanning import scan


class Command(BaseCommand):
    help = "Compare every row with its index, adopt what differs as local edits, and print counts."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--entity", action="append", help="only this entity; may be repeated")

    def handle(self, *args: Any, **options: Any) -> None:
        entities = registry().entities
        unknown = sorted(set(options["entity"] or ()) - set(entities))
        if unknown:
            raise CommandError(f"--entity: no {', '.join(unknown)}; valid: {', '.join(entities)}")
        for name, entity in entities.items():
            if name in (options["entity"] or entities):
                found = scan(entity, DEFAULT_DB_ALIAS)
                self.stdout.write(f"{name}: {found.read} read, {found.adopted} adopted, {found.absent} gone by raw SQL")

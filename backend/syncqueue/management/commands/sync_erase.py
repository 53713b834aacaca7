"""Drops the last values that tombstones keep: an erasure. Keys come from standard input, never from the command line."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS

from syncqueue.erasing import erase
from syncqueue.registry import registry


class Command(BaseCommand):
    help = "Drop the hidden values of deleted records, and what the queue and the conflicts hold of them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("entity")
        parser.add_argument("--tenant", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["entity"] not in registry().entities:
            raise CommandError(f"entity: expected one of {', '.join(registry().entities)}")
        keys = [line.rstrip("\n") for line in sys.stdin if line.strip()]
        erased = erase(options["entity"], options["tenant"], keys, DEFAULT_DB_ALIAS)
        self.stdout.write(f"{erased.tombstones} of {len(keys)} erased; a record must be deleted before it can be erased")

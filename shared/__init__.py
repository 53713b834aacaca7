"""The sync library: everything that the functions call. docs/architecture.md shows the rooms and the arrows between them."""

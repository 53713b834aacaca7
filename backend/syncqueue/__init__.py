"""The server side of the REST change queue, as a reusable Django app. Settings: `SYNC_QUEUE` (see registry.py)."""

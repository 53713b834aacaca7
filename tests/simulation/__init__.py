"""The engine in a seeded simulation: real engine, tracker, peers and store over a Firestore and a backend in memory.

What is simulated and how to read a failure: docs/simulation.md.
"""

import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]
for _place in (_TESTS.parent / "backend", _TESTS.parent, _TESTS):  # the backend's pure modules, the library, memory_firestore
    if str(_place) not in sys.path:
        sys.path.append(str(_place))

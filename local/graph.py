"""The graph of the local stack: the server, and the settings of the pair whose right side it is."""

from pathlib import Path
from typing import Any

import yaml

from local.arcade import USER, Arcade
from local.bundle import ROOT

PAIR = "content"


def with_graph(config: Path) -> str:
    """Return what a sync.yaml says, with the peers and pairs of graph.yaml beside its own."""
    told: Any = yaml.safe_load(config.read_text(encoding="utf-8"))
    graph: Any = yaml.safe_load((ROOT / "local" / "graph.yaml").read_text(encoding="utf-8"))
    merged = told | {part: graph[part] | told.get(part, {}) for part in ("peers", "pairs")}
    return yaml.safe_dump(merged, allow_unicode=True, sort_keys=False)


def graph_env(arcade: Arcade) -> dict[str, str]:
    """Return what graph.yaml asks of the environment."""
    return {"NEO4J_URI": arcade.uri, "NEO4J_USER": USER}

"""An agent at work: `python examples/agent.py NAME WORD`, events on standard input, one JSON object a line.

It adds its word to the keywords of the manuscript that each event is about, and says how that was left. What another agent is
at work on it puts aside, and comes back to.
"""

import json
import sys
from collections import deque
from typing import Any

from shared.bridge import AgentBridge
from shared.claims import Claimed


def work_on(agent: AgentBridge, event: dict[str, Any], word: str) -> str:
    """Add the word to the manuscript's keywords; return how it was left, or `claimed` if another agent has it."""
    agent.process_event(event)
    try:
        with agent.claimed("submission", event["key"], tenant=event["tenant"]) as work:
            held = (work.read().get("keywords") or {}).get("en", [])
            done = work.write(keywords={"en": [*held, word]})
            return done.end if done else "put off"
    except Claimed:
        return "claimed"


def main() -> None:
    """Work until all events are done."""
    agent, word = AgentBridge(sys.argv[1], "manuscripts"), sys.argv[2]
    waiting = deque(json.loads(line) for line in sys.stdin)
    while waiting:
        event = waiting.popleft()
        end = work_on(agent, event, word)
        if end == "claimed":
            waiting.append(event)
        sys.stderr.write(f"{agent.name}: {event['tenant']} {event['key']} {end}\n")


if __name__ == "__main__":
    main()

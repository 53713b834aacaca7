"""What billed operations cost: an estimate, at prices that sync.yaml may name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared.model import Billed

PER = 100_000


@dataclass(frozen=True, slots=True)
class Prices:
    """Of 100,000 operations each. By default Firestore's list prices for nam5, in US dollars; other regions differ."""

    reads: float = 0.06
    writes: float = 0.18
    deletes: float = 0.02
    currency: str = "USD"

    def cost(self, billed: Billed) -> dict[str, Any]:
        """Return the estimate: `amount`, to a millionth, and `currency`. The free daily allowance is not taken off."""
        amount = billed.reads * self.reads + billed.writes * self.writes + billed.deletes * self.deletes
        return {"amount": round(amount / PER, 6), "currency": self.currency}

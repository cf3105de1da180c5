"""What is counted of the program's own work: in each process, and of all processes together."""

from provider.metrics.recorder import Meter
from provider.metrics.store import Ledger, Tally

__all__ = ["Ledger", "Meter", "Tally"]

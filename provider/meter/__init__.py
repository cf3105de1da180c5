"""What is counted of the program's own work: in each process, and of all processes together."""

from provider.meter.ledger import Ledger, Tally
from provider.meter.meter import Meter

__all__ = ["Ledger", "Meter", "Tally"]

"""`python -m tests.bench.drain AT_ONCE`: our courier as `provider serve` has it, alone."""

import sys
import threading
from math import ceil

from provider import config, logs
from provider.courier import EmbeddedCourier
from provider.courier.hands import SHARE
from provider.house import House

if __name__ == "__main__":
    at_once = int(sys.argv[1])
    logs.configure()
    # One host, and so the backlog's only one, gets no more than a share of all hands.
    EmbeddedCourier(House.build(config.read()), hands=ceil(at_once / SHARE)).start()
    threading.Event().wait()  # until it is killed: a clean end is measured nowhere

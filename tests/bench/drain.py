"""`python -m tests.bench.drain FOLDER AT_ONCE`: our courier as `provider serve` has it, alone."""

import sys
import threading
from math import ceil
from pathlib import Path

from provider import config, logs
from provider.courier import EmbeddedCourier
from provider.courier.hands import SHARE
from provider.house import House

if __name__ == "__main__":
    folder, at_once = Path(sys.argv[1]), int(sys.argv[2])
    logs.configure()
    told = {"PROVIDER_INSTANCE": str(folder), "PROVIDER_PRIVATE_CALLBACKS": "allow"}
    # One host, and so the backlog's only one, gets no more than a share of all hands.
    EmbeddedCourier(House.build(config.read(told)), hands=ceil(at_once / SHARE)).start()
    threading.Event().wait()  # until it is killed: a clean end is measured nowhere

"""`python -m tests.bench.drain AT_ONCE`: our courier as `provider serve` has it, alone."""

import sys
import threading
from math import ceil

from provider import config, logging_config
from provider.delivery import InProcessDispatcher
from provider.delivery.limits import SHARE
from provider.services import Services

if __name__ == "__main__":
    at_once = int(sys.argv[1])
    logging_config.configure()
    # One host, and so the backlog's only one, gets no more than a share of all hands.
    InProcessDispatcher(
        Services.build(config.load_settings()), max_concurrent_sends=ceil(at_once / SHARE)
    ).start()
    threading.Event().wait()  # until it is killed: a clean end is measured nowhere

"""`python -m tests.bench.drain CONCURRENCY` runs our in-process dispatcher without a server."""

import sys
import threading
from math import ceil

from provider import config, logging_config
from provider.delivery import InProcessDispatcher
from provider.delivery.policy import QUICK_DESTINATION_SHARE
from tests.factories import build_services

if __name__ == "__main__":
    concurrency = int(sys.argv[1])
    logging_config.configure()
    # One host gets at most a share of all sends, and the backlog has only one host.
    InProcessDispatcher(
        build_services(config.load_settings()),
        max_concurrent_sends=ceil(concurrency / QUICK_DESTINATION_SHARE),
    ).start()
    threading.Event().wait()  # until the process is killed

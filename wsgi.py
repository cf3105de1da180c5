"""The app for another WSGI server than that of `provider serve`, which alone bounds slow clients.

Run one process at a port: each process has its own `/metrics`, and on SQLite only one may deliver.
"""

from provider.app import start

app, _ = start()

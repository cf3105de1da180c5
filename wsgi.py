"""The server for any WSGI host: `granian --interface wsgi wsgi:app`.

Run one process at a port: each process has its own `/metrics`, and on SQLite only one may deliver.
"""

from provider.app import serve

app = serve()

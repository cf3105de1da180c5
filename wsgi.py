"""The server for any WSGI host: `granian --interface wsgi wsgi:app`, one worker on SQLite."""

from provider.app import serve

app = serve()

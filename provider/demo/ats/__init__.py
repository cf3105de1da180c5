"""The ATS of the demo: web pages, a client of the contract, and a receiver of callbacks."""

import hmac
import queue
import secrets
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from provider.clock import Clock
from provider.demo.ats.contract import ContractClient, PlacedOrder
from provider.demo.ats.pages import create_pages
from provider.demo.ats.records import AtsRecords, Candidate, Job, ReceivedCallback
from provider.demo.mailbox import Mailbox
from provider.demo.receiver import CallbackReceiver

__all__ = ["DemoAts", "PlacedOrder", "ReceivedCallback"]


class _RequestHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.0"  # an open connection would keep a thread

    def log(self, *_: object) -> None:
        """Log nothing: the demo prints and shows each callback itself."""


class DemoAts(CallbackReceiver):
    """An ATS on a port of its own, with its records and the e-mails of a demo's folder."""

    def __init__(self, folder: Path, listener: socket.socket, callback_token: str = "") -> None:
        self.callback_token = callback_token or secrets.token_urlsafe(24)
        self.callbacks: queue.Queue[ReceivedCallback] = queue.Queue()
        self.unauthorized_paths: list[str] = []
        self.records = AtsRecords(folder)
        self._clock = Clock()
        host, port = listener.getsockname()
        pages = create_pages(self, Mailbox(folder / "mail"))
        super().__init__(
            make_server(
                host,
                port,
                pages,
                threaded=True,
                request_handler=_RequestHandler,
                fd=listener.fileno(),
            )
        )
        self._contract = ContractClient(self._session)
        self.server_url = ""

    def connect(self, server_url: str, token: str) -> None:
        """Set the address and the token with which the ATS calls the server."""
        self.server_url = server_url
        self._contract.connect(server_url, token)

    def products(self, kind: str) -> list[dict[str, str]]:
        """Return the products of a kind, each with `id` and `name`."""
        return self._contract.products(kind)

    def place_order(
        self, kind: str, product: dict[str, str], candidate: Candidate, job: Job
    ) -> PlacedOrder:
        """Order a product; its callbacks come to an address that only this order has."""
        path = f"/callbacks/{secrets.token_urlsafe(9)}"
        order = PlacedOrder(kind, "", product["name"], candidate.name, candidate.email, path)
        person = {
            "first_name": candidate.first_name,
            "last_name": candidate.last_name,
            "email": candidate.email,
        }
        order_id = self._contract.place_order(
            kind, product["id"], person, job.title, self.url + path
        )
        order = replace(order, id=order_id, placed_at=self._clock.now())
        self.records.add_order(order)
        return order

    def poll(self, order: PlacedOrder) -> dict[str, Any]:
        """Return the contract's status document of an order."""
        return self._contract.poll(order)

    def shared_link(self, order: PlacedOrder) -> str:
        """Return the URL of an order's shared link."""
        return self._contract.shared_link(order)

    def receive_callback(
        self, path: str, sequence: int, authorization: str, body: dict[str, Any]
    ) -> int:
        """Keep a callback that carries the account's token; return the status code to answer."""
        expected = f"Bearer {self.callback_token}"
        if not hmac.compare_digest(authorization.encode(), expected.encode()):
            self.unauthorized_paths.append(path)
            return 401
        callback = ReceivedCallback(path, sequence, body, self._clock.now())
        self.records.add_callback(callback)
        self.callbacks.put(callback)
        return 200

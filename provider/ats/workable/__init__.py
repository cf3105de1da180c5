"""Workable: the provider contract for assessments, video interviews and background checks."""

import json
from collections.abc import Mapping
from typing import Any

from flask import Flask

from provider.ats.api import ContractApi
from provider.ats.dialect import Dialect, News, Request
from provider.ats.workable import routes
from provider.ats.workable.news import body


class Workable(Dialect):
    """Workable's provider contract; `callback_url` is both origin and reply address."""

    name = "workable"
    hosts = ("*.workable.com",)
    switches = {  # noqa: RUF012
        "declined": "say `declined` instead of `rejected` for tests and interviews",
        "top_level_grade": "repeat the grade beside the result",
    }

    def serve(self, app: Flask, api: ContractApi) -> None:
        """Add the contract's endpoints at the root and under /workable/, and their description."""
        blueprint = routes.blueprint(self.name)
        api.register_blueprint(blueprint)
        # The same endpoints once more; the description names both addresses as servers.
        app.register_blueprint(blueprint, name="workable_prefixed", url_prefix="/workable")

    def render(self, news: News) -> bytes:
        """Write the body of the PUT, the same as polling answers."""
        return json.dumps(body(news), ensure_ascii=False).encode()

    def address(self, reply: Mapping[str, Any], token: str | None) -> Request:
        """PUT to the callback_url that came with the order."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return Request("PUT", str(reply["callback_url"]), headers)

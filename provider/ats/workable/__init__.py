"""Workable: the provider contract for assessments, video interviews and background checks."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from provider.ats.base import AtsAdapter, CallbackRequest, StatusUpdate
from provider.ats.settings import YesNo
from provider.ats.workable import rest
from provider.ats.workable.payload import build_payload

if TYPE_CHECKING:  # a worker must not load Flask
    from flask import Flask

    from provider.ats.http_api import ContractApi


class Workable(AtsAdapter):
    """Workable's adapter; `callback_url` identifies an order and is its reply address."""

    name = "workable"
    title = "Workable"
    default_callback_hosts = ("*.workable.com",)
    settings = (
        YesNo("declined", "say `declined` instead of `rejected` for tests and interviews"),
        YesNo("top_level_grade", "repeat the grade beside the result"),
        *rest.SETTINGS,
    )
    api = rest.WorkableApi()

    def register_routes(self, app: "Flask", api: "ContractApi") -> None:
        """Register the contract's endpoints at the root and under /workable/, and describe them."""
        from provider.ats.workable import routes  # late: a worker must not load Flask

        blueprint = routes.build_blueprint(self.name)
        api.register_blueprint(blueprint)
        # The second registration has no description: OpenAPI names both addresses as servers.
        app.register_blueprint(blueprint, name="workable_prefixed", url_prefix="/workable")

    def render(self, update: StatusUpdate) -> bytes:
        """Return the body of the PUT, equal to the answer of a poll."""
        return json.dumps(build_payload(update), ensure_ascii=False).encode()

    def build_request(self, reply_context: Mapping[str, Any], token: str | None) -> CallbackRequest:
        """Return a PUT to the order's callback_url."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return CallbackRequest("PUT", str(reply_context["callback_url"]), headers)

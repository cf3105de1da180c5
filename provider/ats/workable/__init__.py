"""Workable: the provider contract for assessments, video interviews and background checks."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from provider.ats.base import AtsAdapter, CallbackRequest, StatusUpdate
from provider.ats.workable.payload import build_payload

if TYPE_CHECKING:  # workers load no Flask
    from flask import Flask

    from provider.ats.http_api import ContractApi


class Workable(AtsAdapter):
    """Workable's provider contract; `callback_url` is both origin and reply address."""

    name = "workable"
    default_callback_hosts = ("*.workable.com",)
    options = {  # noqa: RUF012
        "declined": "say `declined` instead of `rejected` for tests and interviews",
        "top_level_grade": "repeat the grade beside the result",
    }

    def register_routes(self, app: "Flask", api: "ContractApi") -> None:
        """Add the contract's endpoints at the root and under /workable/, and their description."""
        from provider.ats.workable import routes  # late: workers load no Flask

        blueprint = routes.build_blueprint(self.name)
        api.register_blueprint(blueprint)
        # The same endpoints once more; the description names both addresses as servers.
        app.register_blueprint(blueprint, name="workable_prefixed", url_prefix="/workable")

    def render(self, update: StatusUpdate) -> bytes:
        """Write the body of the PUT, the same as polling answers."""
        return json.dumps(build_payload(update), ensure_ascii=False).encode()

    def build_request(self, reply_context: Mapping[str, Any], token: str | None) -> CallbackRequest:
        """PUT to the callback_url that came with the order."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return CallbackRequest("PUT", str(reply_context["callback_url"]), headers)

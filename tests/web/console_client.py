"""A client of the console for tests: signs in, reads pages, submits forms."""

import re
from html import unescape
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from provider.core.staff import Staff, complete_sign_in
from provider.services import Services
from tests import factories

ORDERS_PATH = "/console/orders/"


class ConsoleClient:
    """A test client; `submit` fetches the form's CSRF token first, as a browser does."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    @classmethod
    def signed_in(
        cls,
        services: Services,
        client: FlaskClient,
        role: str = "operator",
        account_ids: list[int] | None = None,
    ) -> "ConsoleClient":
        """Create a member of staff and a session; skips the slow password check."""
        email = f"{role}@provider.test"
        with services.db.writing() as session:
            session.add(
                Staff(
                    email=email,
                    role=role,
                    password_hash="-",
                    created_at=services.now(),
                    account_ids=account_ids,
                )
            )
            session.flush()
            client.set_cookie(
                "staff", complete_sign_in(session, email, "127.0.0.1", services.now())
            )
        return cls(client)

    def sign_in(self, email: str, password: str, **fields: str) -> TestResponse:
        return self.submit(
            "/console/sign-in", page="/console/sign-in", email=email, password=password, **fields
        )

    def get_text(self, path: str, expected_status: int = 200) -> str:
        """Return a page's HTML without entities."""
        response = self.client.get(path)
        assert response.status_code == expected_status, (
            response.status_code,
            response.location,
            response.text,
        )
        return unescape(response.text)

    def read_field(self, path: str, name: str) -> str:
        """Return the value of a hidden field on a page."""
        match = re.search(rf'name="{name}" value="([^"]*)"', self.get_text(path))
        assert match, f"{path} has no field {name}"
        return match[1]

    def submit(self, path: str, *, page: str = ORDERS_PATH, **form: Any) -> TestResponse:
        """Post a form with the CSRF token of `page`."""
        token = factories.csrf_token(self.client.get(page).text)
        return self.client.post(path, data={"csrf_token": token, **form})

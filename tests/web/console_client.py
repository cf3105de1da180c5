"""A member of staff at the console, in a test client: signs in, looks, fills in forms."""

from html import unescape
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from provider.core.staff import Staff, complete_sign_in
from provider.services import Services
from tests import factories

ORDERS_PATH = "/console/orders/"


class ConsoleClient:
    """A signed-in client; `submit` fetches the form first, as a browser does."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    @classmethod
    def signed_in(
        cls, services: Services, client: FlaskClient, role: str = "operator"
    ) -> "ConsoleClient":
        """Add a member of staff and sit them down; the password's slow proof is left out."""
        email = f"{role}@provider.test"
        with services.db.writing() as session:
            session.add(Staff(email=email, role=role, password_hash="-", created_at=services.now()))
            session.flush()
            client.set_cookie(
                "staff", complete_sign_in(session, email, "127.0.0.1", services.now())
            )
        return cls(client)

    def sign_in(self, email: str, password: str, **more: str) -> TestResponse:
        """Fill in the sign-in form."""
        return self.submit(
            "/console/sign-in", page="/console/sign-in", email=email, password=password, **more
        )

    def get_text(self, path: str, expected_status: int = 200) -> str:
        """Return what a page says."""
        answer = self.client.get(path)
        assert answer.status_code == expected_status, (
            answer.status_code,
            answer.location,
            answer.text,
        )
        return unescape(answer.text)

    def submit(self, path: str, *, page: str = ORDERS_PATH, **form: Any) -> TestResponse:
        """Post a form with the token of a page."""
        token = factories.csrf_token(self.client.get(page).text)
        return self.client.post(path, data={"csrf_token": token, **form})

"""A member of staff at the console, in a test client: signs in, looks, fills in forms."""

from html import unescape
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from provider.accounts import Staff, enter
from provider.house import House
from tests import cast

HOME = "/console/orders/"


class Desk:
    """A signed-in client; `submit` fetches the form first, as a browser does."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    @classmethod
    def of(cls, house: House, client: FlaskClient, role: str = "operator") -> "Desk":
        """Add a member of staff and sit them down; the password's slow proof is left out."""
        email = f"{role}@provider.test"
        with house.db.writing() as session:
            session.add(Staff(email=email, role=role, password="-", created_at=house.now()))
            session.flush()
            client.set_cookie("staff", enter(session, email, "127.0.0.1", house.now()))
        return cls(client)

    def sign_in(self, email: str, password: str, **more: str) -> TestResponse:
        """Fill in the sign-in form."""
        return self.submit(
            "/console/sign-in", page="/console/sign-in", email=email, password=password, **more
        )

    def read(self, path: str, code: int = 200) -> str:
        """Return what a page says."""
        answer = self.client.get(path)
        assert answer.status_code == code, (answer.status_code, answer.location, answer.text)
        return unescape(answer.text)

    def submit(self, path: str, *, page: str = HOME, **form: Any) -> TestResponse:
        """Post a form with the token of a page."""
        token = cast.csrf(self.client.get(page).text)
        return self.client.post(path, data={"csrf_token": token, **form})

"""A browser without scripts: opens pages, follows links, presses buttons, over HTTP."""

from collections.abc import Mapping
from urllib.parse import urljoin

import requests

from provider.demo.forms import Form, Page, parse_page
from provider.errors import ProviderError

PAGE_TIMEOUT_SECONDS = 15  # seconds that a page may take


class Browser:
    """One person's browser; `whose` is who sits before it."""

    def __init__(self, user: str, url: str) -> None:
        self.user = user
        self.session = requests.Session()
        self.session.trust_env = False
        self.page = self.page_from_response(self.session.get(url, timeout=PAGE_TIMEOUT_SECONDS))

    def visit(self, link: str) -> None:
        """Open an address, absolute or of the page that is open."""
        self.page = self.page_from_response(
            self.session.get(urljoin(self.page.url, link), timeout=PAGE_TIMEOUT_SECONDS)
        )

    def follow(self, path: str) -> None:
        """Follow the first link to an address with `path` in it."""
        link = next((each for each in self.page.links if path in each), None)
        if link is None:
            raise ProviderError(f"A page of {self.user} has no link to {path}")
        self.visit(link)

    def form(self, path: str) -> Form:
        """Return the form that posts to an address with `path` in it."""
        form = self.page.form(path)
        if form is None:
            raise ProviderError(f"A page of {self.user} has no form for {path}")
        return form

    def submit(self, form: Form, answers: Mapping[str, list[str]] | None = None) -> None:
        """Fill a form in and send it."""
        url = urljoin(self.page.url, form.action)
        sent = form.form_data(answers or {})
        self.page = self.page_from_response(
            self.session.post(url, data=sent, timeout=PAGE_TIMEOUT_SECONDS)
        )

    def page_from_response(self, response: requests.Response) -> Page:
        """Return the page that was answered; ProviderError when it is none."""
        if not response.ok:
            path = response.request.path_url.rpartition("/")[2]
            raise ProviderError(f"A page of {self.user} ({path}) answered {response.status_code}")
        return parse_page(response.text, response.url)

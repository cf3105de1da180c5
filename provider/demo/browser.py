"""A browser without JavaScript: opens pages, follows links and submits forms over HTTP."""

from collections.abc import Mapping
from urllib.parse import urljoin

import requests

from provider.demo.forms import Form, Page, parse_page
from provider.errors import ProviderError

PAGE_TIMEOUT_SECONDS = 15


class Browser:
    """One person's browser; `user` names the person in errors."""

    def __init__(self, user: str, url: str) -> None:
        self.user = user
        self.session = requests.Session()
        self.session.trust_env = False
        self.page = self.page_from_response(self.session.get(url, timeout=PAGE_TIMEOUT_SECONDS))

    def visit(self, link: str) -> None:
        """Open a URL, absolute or relative to the current page."""
        self.page = self.page_from_response(
            self.session.get(urljoin(self.page.url, link), timeout=PAGE_TIMEOUT_SECONDS)
        )

    def follow(self, path: str) -> None:
        """Follow the first link whose URL contains `path`; ProviderError if there is none."""
        link = next((url for url in self.page.links if path in url), None)
        if link is None:
            raise ProviderError(f"A page of {self.user} has no link to {path}")
        self.visit(link)

    def form(self, path: str) -> Form:
        """Return the form whose action contains `path`; ProviderError if there is none."""
        form = self.page.form(path)
        if form is None:
            raise ProviderError(f"A page of {self.user} has no form for {path}")
        return form

    def submit(self, form: Form, answers: Mapping[str, list[str]] | None = None) -> None:
        """Submit a form of the current page; the response becomes the current page."""
        url = urljoin(self.page.url, form.action)
        data = form.form_data(answers or {})
        self.page = self.page_from_response(
            self.session.post(url, data=data, timeout=PAGE_TIMEOUT_SECONDS)
        )

    def page_from_response(self, response: requests.Response) -> Page:
        """Parse a response; ProviderError for an error's status code."""
        if not response.ok:
            path = response.request.path_url.rpartition("/")[2]
            raise ProviderError(f"A page of {self.user} ({path}) answered {response.status_code}")
        return parse_page(response.text, response.url)

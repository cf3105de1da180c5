"""Plays a candidate in a browser without scripts: pages, forms, buttons, over HTTP."""

from collections.abc import Mapping
from urllib.parse import urljoin

import requests

from provider.demo.forms import Field, Form, Page, read
from provider.errors import ProviderError

TIMEOUT = 15  # seconds that a page may take
MOST_PAGES = 300

# What Lakita knows: words of the question, and her answers to it.
KNOWS = {
    "grew by the largest": ["South"],
    "more in the first half": ["True"],
    "at least 480 units": ["Q2", "Q3", "Q4"],
    "came from North": ["37.5"],
    "a further 10": ["61.20"],
    "45 parts in 18 minutes": ["150"],
    "nine days later": ["Friday"],
    "ratio 2": ["500"],  # nobody is perfect
}
# What somebody types who does not know.
GUESSES = {"number": "42", "textarea": "I do not know"}


class Candidate:
    """Somebody with an invitation and a browser."""

    def __init__(self, link: str) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self._page = self._opened(self._session.get(link, timeout=TIMEOUT))

    def take(self, knows: Mapping[str, list[str]]) -> None:
        """Start the test, answer every question, hand in."""
        self._press(self._form("/start"))
        for _ in range(MOST_PAGES):
            if form := self._page.form("/submit"):
                self._press(form)
            elif form := self._page.form("/items/"):
                self._press(form, _answers(self._page.text, form, knows))
            else:
                return  # handed in
        raise ProviderError("The test does not come to an end")

    def decline(self, reason: str) -> None:
        """Say no, and why."""
        if not self._page.form("/decline"):
            self._follow("/decline")
        self._press(self._form("/decline"), {"reason": [reason]})

    def _form(self, path: str) -> Form:
        form = self._page.form(path)
        if form is None:
            raise ProviderError(f"A page of the candidate has no form for {path}")
        return form

    def _follow(self, path: str) -> None:
        link = next((each for each in self._page.links if path in each), None)
        if link is None:
            raise ProviderError(f"A page of the candidate has no link to {path}")
        url = urljoin(self._page.url, link)
        self._page = self._opened(self._session.get(url, timeout=TIMEOUT))

    def _press(self, form: Form, answers: Mapping[str, list[str]] | None = None) -> None:
        url = urljoin(self._page.url, form.action)
        sent = form.filled(answers or {})
        self._page = self._opened(self._session.post(url, data=sent, timeout=TIMEOUT))

    def _opened(self, response: requests.Response) -> Page:
        if not response.ok:
            path = response.request.path_url.rpartition("/")[2]
            raise ProviderError(f"A page of the candidate ({path}) answered {response.status_code}")
        return read(response.text, response.url)


def _answers(text: str, form: Form, knows: Mapping[str, list[str]]) -> dict[str, list[str]]:
    known = next((said for words, said in knows.items() if words in text), [])
    return {name: _answer(fields, known) for name, fields in form.questions().items()}


def _answer(fields: list[Field], known: list[str]) -> list[str]:
    if fields[0].kind in ("radio", "checkbox"):
        right = [field.value for field in fields if field.label in known]
        return right or [fields[0].value]
    return known[:1] or [GUESSES.get(fields[0].kind, "42")]

"""Plays a candidate: takes a test, gives an interview, consents, or says no."""

import hashlib
from collections.abc import Mapping
from urllib.parse import urljoin

from provider.demo.browser import TIMEOUT, Browser
from provider.demo.film import webm
from provider.demo.forms import Field, Form
from provider.errors import ProviderError

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


# What Yusuf fills in, by the fields' names; what is not here, he writes a word about.
PARTICULARS = {"full_name": "Yusuf Demir", "date_of_birth": "1990-02-28"}


class Candidate(Browser):
    """Somebody with an invitation and a browser."""

    def __init__(self, link: str) -> None:
        super().__init__("the candidate", link)

    def take(self, knows: Mapping[str, list[str]]) -> None:
        """Start the test, answer every question, hand in."""
        self.press(self.form("/start"))
        for _ in range(MOST_PAGES):
            if form := self.page.form("/submit"):
                self.press(form)
            elif form := self.page.form("/items/"):
                self.press(form, _answers(self.page.text, form, knows))
            else:
                return  # handed in
        raise ProviderError("The test does not come to an end")

    def record(self) -> None:
        """Start the interview, send a short film for every question, hand in."""
        self.follow("/camera")
        proof = self._proof(self.form("/interview"))
        self.press(self.form("/interview"))
        self.visit("../answers")
        questions = sorted({each for each in self.page.links if "/questions/" in each})
        for number, link in enumerate(questions):
            self._send(urljoin(self.page.url, link) + "/takes", webm(tint=number * 7), proof)
        self.visit("answers")
        self.press(self.form("/send"))

    def consent(self, name: str) -> None:
        """Read, fill in what is asked for, and agree by typing the name."""
        self.follow("/consent")
        form = self.form("/consent")
        asked = [each.name for each in form.fields if each.kind not in ("hidden", "submit")]
        filled = {each: [PARTICULARS.get(each, "As in my application")] for each in asked}
        self.press(form, filled | {"name": [name]})

    def decline(self, reason: str) -> None:
        """Say no, and why."""
        if not self.page.form("/decline"):
            self.follow("/decline")
        self.press(self.form("/decline"), {"reason": [reason]})

    def _send(self, url: str, film: bytes, proof: str) -> None:
        headers = {
            "Content-Type": "video/webm;codecs=vp8",
            "X-Content-SHA256": hashlib.sha256(film).hexdigest(),
            "X-CSRFToken": proof,
            "Accept": "application/json",
        }
        sent = self.session.post(url, data=film, headers=headers, timeout=TIMEOUT)
        if sent.status_code != 201:
            raise ProviderError(f"A recording was answered with {sent.status_code}: {sent.text}")

    @staticmethod
    def _proof(form: Form) -> str:
        return next(each.value for each in form.fields if each.name == "csrf_token")


def _answers(text: str, form: Form, knows: Mapping[str, list[str]]) -> dict[str, list[str]]:
    known = next((said for words, said in knows.items() if words in text), [])
    return {name: _answer(fields, known) for name, fields in form.questions().items()}


def _answer(fields: list[Field], known: list[str]) -> list[str]:
    if fields[0].kind in ("radio", "checkbox"):
        right = [field.value for field in fields if field.label in known]
        return right or [fields[0].value]
    return known[:1] or [GUESSES.get(fields[0].kind, "42")]

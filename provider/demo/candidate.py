"""Plays a candidate: takes a test, gives an interview, consents, or says no."""

import hashlib
from collections.abc import Mapping
from urllib.parse import urljoin

from provider.demo.browser import PAGE_TIMEOUT_SECONDS, Browser
from provider.demo.forms import Field, Form
from provider.demo.sample_video import webm
from provider.errors import ProviderError

MAX_PAGES = 300

# What Lakita knows: words of the question, and her answers to it.
KNOWN_ANSWERS = {
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
DEFAULT_ANSWERS = {"number": "42", "textarea": "I do not know"}


# What Yusuf fills in, by the fields' names; what is not here, he writes a word about.
CANDIDATE_DETAILS = {"full_name": "Yusuf Demir", "date_of_birth": "1990-02-28"}


class Candidate(Browser):
    """Somebody with an invitation and a browser."""

    def __init__(self, link: str) -> None:
        super().__init__("the candidate", link)

    def take_test(self, known_answers: Mapping[str, list[str]]) -> None:
        """Start the test, answer every question, hand in."""
        self.submit(self.form("/start"))
        for _ in range(MAX_PAGES):
            if form := self.page.form("/submit"):
                self.submit(form)
            elif form := self.page.form("/items/"):
                self.submit(form, _answers_for_form(self.page.text, form, known_answers))
            else:
                return  # handed in
        raise ProviderError("The test does not come to an end")

    def record_interview(self) -> None:
        """Start the interview, send a short film for every question, hand in."""
        self.follow("/camera")
        proof = self._csrf_token(self.form("/interview"))
        self.submit(self.form("/interview"))
        self.visit("../answers")
        questions = sorted({each for each in self.page.links if "/questions/" in each})
        for number, link in enumerate(questions):
            self._upload_recording(
                urljoin(self.page.url, link) + "/takes", webm(tint=number * 7), proof
            )
        self.visit("answers")
        self.submit(self.form("/send"))

    def consent(self, name: str) -> None:
        """Read, fill in what is asked for, and agree by typing the name."""
        self.follow("/consent")
        form = self.form("/consent")
        asked = [each.name for each in form.fields if each.input_type not in ("hidden", "submit")]
        filled = {each: [CANDIDATE_DETAILS.get(each, "As in my application")] for each in asked}
        self.submit(form, filled | {"name": [name]})

    def decline(self, reason: str) -> None:
        """Say no, and why."""
        if not self.page.form("/decline"):
            self.follow("/decline")
        self.submit(self.form("/decline"), {"reason": [reason]})

    def _upload_recording(self, url: str, video: bytes, csrf_token: str) -> None:
        headers = {
            "Content-Type": "video/webm;codecs=vp8",
            "X-Content-SHA256": hashlib.sha256(video).hexdigest(),
            "X-CSRFToken": csrf_token,
            "Accept": "application/json",
        }
        sent = self.session.post(url, data=video, headers=headers, timeout=PAGE_TIMEOUT_SECONDS)
        if sent.status_code != 201:
            raise ProviderError(f"A recording was answered with {sent.status_code}: {sent.text}")

    @staticmethod
    def _csrf_token(form: Form) -> str:
        return next(each.value for each in form.fields if each.name == "csrf_token")


def _answers_for_form(
    text: str, form: Form, known_answers: Mapping[str, list[str]]
) -> dict[str, list[str]]:
    known = next((said for words, said in known_answers.items() if words in text), [])
    return {name: _answers_for_field(fields, known) for name, fields in form.questions().items()}


def _answers_for_field(fields: list[Field], known: list[str]) -> list[str]:
    if fields[0].input_type in ("radio", "checkbox"):
        right = [field.value for field in fields if field.label in known]
        return right or [fields[0].value]
    return known[:1] or [DEFAULT_ANSWERS.get(fields[0].input_type, "42")]

"""Plays a candidate: takes a test, records an interview, consents or declines."""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import urljoin

from requests import Response

from provider.core.sample_video import webm
from provider.demo.browser import PAGE_TIMEOUT_SECONDS, Browser
from provider.demo.forms import Field, Form
from provider.errors import ProviderError

MAX_PAGES = 300
PIECE_BYTES = 1024 * 1024  # of a recording
PIECE_TYPE = "application/offset+octet-stream"

# Words of a question → the answers to it.
KNOWN_ANSWERS = {
    "grew by the largest": ["South"],
    "more in the first half": ["True"],
    "at least 480 units": ["Q2", "Q3", "Q4"],
    "came from North": ["37.5"],
    "a further 10": ["61.20"],
    "45 parts in 18 minutes": ["150"],
    "nine days later": ["Friday"],
    "ratio 2": ["500"],  # wrong on purpose: a real candidate rarely answers everything
}
# Input type → the answer to a question that is not in KNOWN_ANSWERS.
DEFAULT_ANSWERS = {"number": "42", "textarea": "I do not know"}
# Fields of the pages before a consent → values. A page reads its own and ignores the others.
CANDIDATE_DETAILS = {
    "full_name.0.given": ["Yusuf"],
    "full_name.0.family": ["Demir"],
    "former_names.none": ["1"],
    "date_of_birth.0.date": ["1990-02-28"],
    "address.0.country": ["GB"],
    "address.0.street_address": ["1 Sample Street"],
    "address.0.city": ["London"],
    "address.0.postal_code": ["EC1Y 8SY"],
    "address.0.from": ["2010-01"],
    "education.0.school": ["Sample University"],
    "education.0.country": ["GB"],
    "education.0.degree": ["BSc"],
    "education.0.year": ["2012"],
    "employers.0.name": ["Sample Ltd"],
    "employers.0.town": ["London"],
    "employers.0.country": ["GB"],
    "employers.0.role": ["Clerk"],
    "employers.0.from": ["2015-03"],
    "employers.0.until": ["2019-05"],
    "employers.0.may_ask": ["yes"],
}


class Candidate(Browser):
    """A candidate's browser, which begins with the link of an invitation."""

    def __init__(self, link: str) -> None:
        super().__init__("the candidate", link)

    def take_test(self, known_answers: Mapping[str, list[str]]) -> None:
        """Start the test, answer every question and submit."""
        self.submit(self.form("/start"))
        for _ in range(MAX_PAGES):
            if form := self.page.form("/submit"):
                self.submit(form)
            elif form := self.page.form("/items/"):
                self.submit(form, _answers_for_form(self.page.text, form, known_answers))
            else:
                return  # the page after submission has neither form
        raise ProviderError(f"The test has not ended after {MAX_PAGES} pages")

    def record_interview(self) -> None:
        """Start the interview, upload a short video for every question and submit."""
        self.follow("/camera")
        csrf_token = self._csrf_token(self.form("/interview"))
        self.submit(self.form("/interview"))
        self.visit("../answers")
        questions = sorted({url for url in self.page.links if "/questions/" in url})
        for number, link in enumerate(questions):
            self._upload_recording(
                urljoin(self.page.url, link) + "/takes", webm(tint=number * 7), csrf_token
            )
        self.visit("answers")
        self.submit(self.form("/send"))

    def consent(self, name: str) -> None:
        """Go through the pages to the consent, and sign it with a name."""
        self.follow("/consent")
        for _ in range(MAX_PAGES):
            form = self.page.form("/consent/")
            if form is None:
                return  # the page after the signature has no such form
            self.submit(form, CANDIDATE_DETAILS | {"name": [name]})
        raise ProviderError(f"The way to the consent has not ended after {MAX_PAGES} pages")

    def decline(self, reason: str) -> None:
        if not self.page.form("/decline"):
            self.follow("/decline")
        self.submit(self.form("/decline"), {"reason": [reason]})

    def _upload_recording(self, url: str, video: bytes, csrf_token: str) -> None:
        """Announce a take and send it in pieces, as the page's script does."""
        digest = hashlib.sha256(video).hexdigest()
        metadata = {"sha256": digest, "filetype": "video/webm;codecs=vp8"}
        pairs = (f"{key} {b64encode(value.encode()).decode()}" for key, value in metadata.items())
        headers = {
            "X-CSRFToken": csrf_token,
            "Accept": "application/json",
            "Tus-Resumable": "1.0.0",
        }
        announcement = {"Upload-Length": str(len(video)), "Upload-Metadata": ",".join(pairs)}
        response = self._send("POST", url, headers | announcement)
        upload_url = urljoin(url, response.headers["Location"])
        for start in range(0, len(video), PIECE_BYTES):
            piece_headers = {"Upload-Offset": str(start), "Content-Type": PIECE_TYPE}
            piece = video[start : start + PIECE_BYTES]
            self._send("PATCH", upload_url, headers | piece_headers, piece)

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Response:
        response = self.session.request(
            method, url, data=body, headers=headers, timeout=PAGE_TIMEOUT_SECONDS
        )
        if not response.ok:
            raise ProviderError(
                f"A recording was answered with {response.status_code}: {response.text}"
            )
        return response

    @staticmethod
    def _csrf_token(form: Form) -> str:
        return next(field.value for field in form.fields if field.name == "csrf_token")


def _answers_for_form(
    text: str, form: Form, known_answers: Mapping[str, list[str]]
) -> dict[str, list[str]]:
    known = next((answers for words, answers in known_answers.items() if words in text), [])
    return {name: _answers_for_field(fields, known) for name, fields in form.questions().items()}


def _answers_for_field(fields: list[Field], known: list[str]) -> list[str]:
    if fields[0].input_type in ("radio", "checkbox"):
        values = [field.value for field in fields if field.label in known]
        return values or [fields[0].value]
    return known[:1] or [DEFAULT_ANSWERS.get(fields[0].input_type, "42")]

"""Plays a recruiter in the pages of the demo's ATS: orders, and opens what a result links to."""

from urllib.parse import urljoin

from provider.demo.ats import DemoAts, PlacedOrder
from provider.demo.ats.records import find_candidate
from provider.demo.browser import PAGE_TIMEOUT_SECONDS, Browser
from provider.errors import ProviderError


class Recruiter(Browser):
    """A recruiter's browser, which begins with the ATS's jobs."""

    def __init__(self, ats: DemoAts) -> None:
        super().__init__("the ATS", ats.url)
        self._ats = ats

    def order(self, candidate_id: str, kind: str, product: str) -> PlacedOrder:
        """Order a product by its name, and return the ATS's record of the order."""
        _, candidate = find_candidate(candidate_id)
        self._open_candidate(candidate_id)
        self.follow(f"/order/{kind}")
        form = self.form("/order/")
        choices = [field for field in form.fields if field.label == product]
        if not choices:
            raise ProviderError(f"The server offers no {kind} with the name {product}")
        self.submit(form, {"product": [choices[0].value]})
        return self._ats.records.list_orders(candidate)[0]

    def open_result(self, order: PlacedOrder) -> None:
        """Open report, PDF and shared link of the result card; ProviderError if one does not."""
        self._open_candidate("-".join(order.candidate.lower().split()))
        key = order.path.rpartition("/")[2]
        links = [link for link in self.page.links if "/r/" in link]
        reports = [link for link in links if not link.endswith(".pdf")]
        pdfs = [link for link in links if link.endswith(".pdf")]
        if not reports or not pdfs:
            raise ProviderError(f"The result card of {order.candidate} has no report")
        for link, expected_start in (
            (reports[0], b"<!doctype html"),
            (f"/shared-links/{key}", b"<!doctype html"),
            (pdfs[0], b"%pdf-"),
        ):
            response = self.session.get(urljoin(self.page.url, link), timeout=PAGE_TIMEOUT_SECONDS)
            if not response.ok or not response.content.lower().startswith(expected_start):
                raise ProviderError(
                    f"{order.candidate}'s report does not open: {response.status_code}"
                )

    def _open_candidate(self, candidate_id: str) -> None:
        self.visit(f"{self._ats.url}/candidates/{candidate_id}")

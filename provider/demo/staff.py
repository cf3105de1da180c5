"""Plays the staff in the console: signs in, rates, enters outcomes, completes."""

from provider.demo.browser import Browser


class StaffBrowser:
    """Somebody of the staff, signed in."""

    def __init__(self, url: str, email: str, password: str) -> None:
        self._browser = Browser("the staff", f"{url}/console/sign-in")
        self._browser.submit(
            self._browser.form("/sign-in"), {"email": [email], "password": [password]}
        )

    def rate_interview(self, order_id: str, value: int, summary: str) -> None:
        """Give every answer of an interview a rating, and complete it."""
        page = f"/console/orders/{order_id}/interview"
        self._browser.visit(page)
        for form in [each for each in self._browser.page.forms if "/ratings/" in each.action]:
            self._browser.submit(form, {"value": [str(value)], "note": ["Clear and to the point."]})
        self._browser.visit(f"{page}/complete")
        self._browser.submit(self._browser.form("/complete"), {"summary": [summary]})

    def enter_outcomes(self, order_id: str, *, consider: str) -> None:
        """Enter the outcomes of a check: one screening to consider, the rest clear."""
        self._browser.visit(f"/console/checks/{order_id}/")
        form = self._browser.form("/outcomes")
        lines = [name for name in form.questions() if name.startswith("status-")]
        found = {name: ["consider" if consider in name else "clear"] for name in lines}
        self._browser.submit(form, found)
        self._browser.visit(f"/console/checks/{order_id}/complete")
        self._browser.submit(self._browser.form("/complete"))

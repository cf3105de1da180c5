"""Plays a staff member in the console: signs in, rates interviews and completes checks."""

from provider.demo.browser import Browser

CONSIDER_REASON = "The university names another year than the candidate."


class StaffBrowser:
    """A staff member's browser, signed in."""

    def __init__(self, url: str, email: str, password: str) -> None:
        self._browser = Browser("the staff", f"{url}/console/sign-in")
        self._browser.submit(
            self._browser.form("/sign-in"), {"email": [email], "password": [password]}
        )

    def rate_interview(self, order_id: str, value: int, summary: str) -> None:
        """Rate every answer of an interview, and complete it."""
        page = f"/console/orders/{order_id}/interview"
        self._browser.visit(page)
        for form in [form for form in self._browser.page.forms if "/ratings/" in form.action]:
            self._browser.submit(form, {"value": [str(value)], "note": ["Clear and to the point."]})
        self._browser.visit(f"{page}/complete")
        self._browser.submit(self._browser.form("/complete"), {"summary": [summary]})

    def enter_outcomes(self, order_id: str, *, consider: str) -> None:
        """Enter the outcomes of a check: one to consider with a reason, the rest clear."""
        self._browser.visit(f"/console/checks/{order_id}/")
        form = self._browser.form("/outcomes")
        names = [name for name in form.questions() if name.startswith("status-")]
        outcomes = {name: ["consider" if consider in name else "clear"] for name in names}
        texts = {
            name.replace("status-", "text-"): [CONSIDER_REASON]
            for name in names
            if consider in name
        }
        self._browser.submit(form, outcomes | texts)
        self._browser.visit(f"/console/checks/{order_id}/complete")
        self._browser.submit(self._browser.form("/complete"))

    def reopen(self, order_id: str, reason: str) -> None:
        """Reopen an order, so that its candidate is invited again."""
        self._browser.visit(f"/console/orders/{order_id}/reopen")
        self._browser.submit(self._browser.form("/reopen"), {"reason": [reason]})

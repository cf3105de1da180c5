"""Public URLs, built from PROVIDER_BASE_URL. A test compares them with the routes."""

from dataclasses import dataclass

STAFF_LINK_PATHS = {"invitation": "join", "reset": "password"}


@dataclass(frozen=True)
class UrlBuilder:
    """Builds the URLs in e-mails, callbacks and the output of commands."""

    base_url: str

    def invitation(self, token: str) -> str:
        return f"{self.base_url}/c/{token}"

    def report(self, token: str) -> str:
        return f"{self.base_url}/r/{token}"

    def pdf(self, token: str) -> str:
        """Return the URL of the report's PDF. An ATS recognises a PDF by the suffix."""
        return f"{self.base_url}/r/{token}/report.pdf"

    def shared(self, token: str) -> str:
        return f"{self.base_url}/s/{token}"

    def referee(self, token: str) -> str:
        return f"{self.base_url}/f/{token}"

    def connector_hook(self, connector: str, key: str) -> str:
        """Return the address of a vendor's callbacks about one order, or of `events`."""
        return f"{self.base_url}/hooks/connectors/{connector}/{key}"

    def staff_link(self, purpose: str, token: str) -> str:
        """Return the URL of an invitation to the console, or of a forgotten password."""
        return f"{self.base_url}/console/{STAFF_LINK_PATHS[purpose]}/{token}"

    def console(self, path: str = "") -> str:
        return f"{self.base_url}/console/{path}"

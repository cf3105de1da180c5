"""Every public address, built from PROVIDER_BASE_URL; a test holds them to the routes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class UrlBuilder:
    """Addresses that leave this server: in letters, callbacks and the terminal."""

    base_url: str

    def invitation(self, token: str) -> str:
        """Where the candidate comes in."""
        return f"{self.base_url}/c/{token}"

    def report(self, token: str) -> str:
        """Where the recruiter reads the result."""
        return f"{self.base_url}/r/{token}"

    def pdf(self, token: str) -> str:
        """Where the report's PDF is; `.pdf` at the end, for the ATS goes by it."""
        return f"{self.base_url}/r/{token}/report.pdf"

    def shared(self, token: str) -> str:
        """Where whoever got a shared link reads the report."""
        return f"{self.base_url}/s/{token}"

    def console(self, path: str = "") -> str:
        """Where the staff work."""
        return f"{self.base_url}/console/{path}"

"""The addresses of this server that an account's ATS needs."""

from provider.ats import ADAPTERS
from provider.ats.webhook_urls import webhook_urls
from provider.core.accounts import Account
from provider.storage.secrets import SecretBox

REDIRECT_LABEL = "OAuth redirect URI"


def account_urls(secret_box: SecretBox, account: Account, base_url: str) -> dict[str, str]:
    """Return each address by its name at the ATS: of endpoints, of events, and after a consent."""
    adapter = ADAPTERS[account.ats]
    urls = adapter.urls(base_url) | webhook_urls(secret_box, account, base_url)
    flow = adapter.api.token_flow if adapter.api else None
    if flow is not None and flow.has_consent:
        urls[REDIRECT_LABEL] = redirect_uri(base_url)
    return urls


def redirect_uri(base_url: str) -> str:
    """Return the address to which an ATS sends the browser after a consent."""
    return f"{base_url}/console/connect"

"""The addresses to which an ATS sends the events of an account."""

from provider.ats import ADAPTERS
from provider.core.accounts import Account
from provider.core.connections import webhook_address
from provider.storage.secrets import SecretBox


def webhook_urls(secret_box: SecretBox, account: Account, base_url: str) -> dict[str, str]:
    """Return the address of each event; none for an ATS without webhooks."""
    api = ADAPTERS[account.ats].api
    if api is None or api.webhook is None:
        return {}
    address = webhook_address(secret_box, account)
    return {event: f"{base_url}/hooks/{address}/{event}" for event in api.webhook.event_names}

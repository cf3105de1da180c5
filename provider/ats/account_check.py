"""Whether the connection of an account works: what `provider account check` prints."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provider.ats import ADAPTERS
from provider.core.accounts import Account, Caller
from provider.core.pauses import PauseView, list_pauses
from provider.core.products import Product
from provider.core.products.product import visibility_conditions
from provider.outbox import CALLBACK, PARKED, Message
from provider.services import Services


@dataclass(frozen=True)
class Finding:
    """One sentence about a connection; without `is_ok` it says what somebody must do."""

    is_ok: bool
    text: str


def check_account(session: Session, services: Services, account: Account) -> list[Finding]:
    """Look at everything that an order and its callbacks need. Nothing is sent."""
    return [
        _check_address(services.settings.base_url),
        _check_tokens(account),
        _check_products(session, account),
        _check_callback_hosts(account),
        *_check_pauses(session, account),
        _check_failed_callbacks(session, account),
    ]


def _check_address(base_url: str) -> Finding:
    if urlsplit(base_url).scheme == "https":
        return Finding(True, f"The ATS reaches this server at {base_url}")
    return Finding(
        False,
        f"The address {base_url} is not https: set PROVIDER_BASE_URL to the one that the ATS "
        "reaches",
    )


def _check_tokens(account: Account) -> Finding:
    open_tokens = [token for token in account.tokens if not token.revoked_at]
    if not open_tokens:
        return Finding(False, "The ATS has no token: `provider account token` creates one")
    times = [token.last_used_at for token in open_tokens if token.last_used_at]
    if not times:
        return Finding(
            False, "The ATS has not called with its token yet: give it the token and the addresses"
        )
    return Finding(True, f"The ATS called last on {max(times):%d %B %Y at %H:%M} UTC")


def _check_products(session: Session, account: Account) -> Finding:
    kinds = ADAPTERS[account.ats].orderable_kinds(account.options)
    conditions = visibility_conditions(kinds, Caller.from_account(account))
    count = session.scalar(select(func.count(Product.id)).where(*conditions)) or 0
    if not count:
        return Finding(
            False, "The ATS sees no product: publish one, or see `provider account products`"
        )
    return Finding(True, f"The ATS sees {count} product{'s' if count > 1 else ''}")


def _check_callback_hosts(account: Account) -> Finding:
    if not account.callback_hosts:
        return Finding(False, "No host may receive callbacks: set callback_hosts")
    return Finding(True, f"Callbacks may go to {', '.join(account.callback_hosts)}")


def _check_pauses(session: Session, account: Account) -> list[Finding]:
    return [
        Finding(False, _pause_text(pause))
        for pause in list_pauses(session, account)
        if pause.channel == CALLBACK
    ]


def _pause_text(pause: PauseView) -> str:
    command = pause.fix_command
    end = f"To go on: `{command}`" if command else "They go on by themselves"
    since = f"{pause.paused_at:%d %B %Y at %H:%M} UTC"
    return f"Since {since} callbacks wait: {pause.reason}. {end}"


def _check_failed_callbacks(session: Session, account: Account) -> Finding:
    is_failed = (Message.state == PARKED, Message.queue.startswith(f"{account.id}/{CALLBACK}/"))
    count = session.scalar(select(func.count(Message.id)).where(*is_failed)) or 0
    if count:
        return Finding(
            False,
            f"{count} callback{'s' if count > 1 else ''} failed: see `provider delivery list "
            "--state parked`",
        )
    return Finding(True, "No callback has failed")

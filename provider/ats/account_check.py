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
class CheckLine:
    """One sentence about a connection; without `is_ok` it says what somebody must do."""

    is_ok: bool
    text: str


def check_account(session: Session, services: Services, account: Account) -> list[CheckLine]:
    """Look at what orders and callbacks need, as far as it is known here. Nothing is sent."""
    return [
        _check_address(services.settings.base_url),
        _check_tokens(account),
        _check_products(session, account),
        _check_callback_hosts(account),
        *_check_callback_token(account),
        *_check_pauses(session, account),
        _check_failed_callbacks(session, account),
    ]


def _check_address(base_url: str) -> CheckLine:
    if urlsplit(base_url).scheme == "https":
        return CheckLine(True, f"The ATS reaches this server at {base_url}")
    return CheckLine(
        False,
        f"The address {base_url} is not https: set PROVIDER_BASE_URL to the one that the ATS "
        "reaches",
    )


def _check_tokens(account: Account) -> CheckLine:
    open_tokens = [token for token in account.tokens if not token.revoked_at]
    if not open_tokens:
        return CheckLine(False, "The ATS has no token: `provider account token` creates one")
    times = [token.last_used_at for token in open_tokens if token.last_used_at]
    if not times:
        return CheckLine(
            False, "The ATS has not called with its token yet: give it the token and the addresses"
        )
    return CheckLine(True, f"The ATS called last at about {max(times):%H:%M UTC on %d %B %Y}")


def _check_products(session: Session, account: Account) -> CheckLine:
    kinds = ADAPTERS[account.ats].orderable_kinds(account.options)
    conditions = visibility_conditions(kinds, Caller.from_account(account))
    count = session.scalar(select(func.count(Product.id)).where(*conditions)) or 0
    if not count:
        return CheckLine(
            False, "The ATS sees no product: publish one, or see `provider account products`"
        )
    return CheckLine(True, f"The ATS sees {count} product{'s' if count > 1 else ''}")


def _check_callback_hosts(account: Account) -> CheckLine:
    if not account.callback_hosts:
        return CheckLine(False, "No host may receive callbacks: set callback_hosts")
    return CheckLine(True, f"Callbacks may go to {', '.join(account.callback_hosts)}")


def _check_callback_token(account: Account) -> list[CheckLine]:
    if account.callback_token or ADAPTERS[account.ats].returns_token:
        return []
    return [
        CheckLine(
            False, "Callbacks carry no token, and the ATS may refuse them: set callback_token"
        )
    ]


def _check_pauses(session: Session, account: Account) -> list[CheckLine]:
    return [
        CheckLine(False, _pause_text(pause))
        for pause in list_pauses(session, account)
        if pause.channel == CALLBACK
    ]


def _pause_text(pause: PauseView) -> str:
    command = pause.fix_command
    end = f"To go on: `{command}`" if command else "They go on by themselves"
    since = f"{pause.paused_at:%d %B %Y at %H:%M} UTC"
    return f"Since {since} callbacks wait: {pause.reason}. {end}"


def _check_failed_callbacks(session: Session, account: Account) -> CheckLine:
    is_failed = (Message.state == PARKED, Message.queue.startswith(f"{account.id}/{CALLBACK}/"))
    count = session.scalar(select(func.count(Message.id)).where(*is_failed)) or 0
    if count:
        return CheckLine(
            False,
            f"{count} callback{'s' if count > 1 else ''} failed: see `provider delivery list "
            "--state parked`",
        )
    return CheckLine(True, "No callback has failed")

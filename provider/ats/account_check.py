"""The check of an account's connection: the sentences of `provider account check`."""

from shlex import quote
from urllib.parse import urlsplit

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provider.ats import ADAPTERS
from provider.ats.api import CheckLine
from provider.core.accounts import Account, Caller
from provider.core.connections import SourceCursor, open_rules
from provider.core.pauses import PauseView, list_pauses
from provider.core.products import Product
from provider.core.products.product import visibility_conditions
from provider.outbox import CALLBACK, PARKED, WRITER, Message, is_in_state
from provider.services import Services

# The name of a message of each channel, in a sentence.
CHANNEL_LABELS = {CALLBACK: "callback", WRITER: "result"}


def check_account(session: Session, services: Services, account: Account) -> list[CheckLine]:
    """Look at what orders and results need, as far as it is known here. Nothing is sent."""
    adapter = ADAPTERS[account.ats]
    lines = []
    uses_endpoints = _uses_endpoints(session, account)
    if uses_endpoints:
        lines += [_check_address(services.settings.base_url), _check_tokens(account)]
    lines.append(_check_products(session, account))
    if uses_endpoints:
        lines += [_check_callback_hosts(account), *_check_callback_token(account)]
    if adapter.api:
        lines += [*_check_rules(session, account), *_check_sources(session, account)]
    return [
        *lines,
        *_check_pauses(session, account),
        *_check_failed_messages(session, account),
    ]


def _uses_endpoints(session: Session, account: Account) -> bool:
    """Return whether the ATS calls our endpoints. One that never has may only have rules."""
    if not ADAPTERS[account.ats].has_endpoints:
        return False
    has_called = any(token.last_used_at for token in account.tokens)
    return has_called or not open_rules(session, account.id)


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
            False, "Callbacks carry no token, and the ATS may refuse them: set the callback token"
        )
    ]


def _check_pauses(session: Session, account: Account) -> list[CheckLine]:
    return [
        CheckLine(False, _pause_text(pause))
        for pause in list_pauses(session, account)
        if pause.channel in CHANNEL_LABELS
    ]


def _pause_text(pause: PauseView) -> str:
    command = pause.fix_command
    end = f"To go on: `{command}`" if command else "They go on by themselves"
    since = f"{pause.paused_at:%d %B %Y at %H:%M} UTC"
    label = CHANNEL_LABELS[pause.channel]
    return f"Since {since} {label}s wait: {pause.reason}. {end}"


def _check_failed_messages(session: Session, account: Account) -> list[CheckLine]:
    adapter = ADAPTERS[account.ats]
    channels = [CALLBACK] if adapter.has_endpoints else []
    channels += [WRITER] if adapter.api and adapter.api.writers else []
    return [_check_failed_in(session, account, channel) for channel in channels]


def _check_failed_in(session: Session, account: Account, channel: str) -> CheckLine:
    is_failed = (is_in_state(PARKED), Message.queue.startswith(f"{account.id}/{channel}/"))
    count = session.scalar(select(func.count(Message.id)).where(*is_failed)) or 0
    label = CHANNEL_LABELS[channel]
    if count:
        return CheckLine(
            False,
            f"{count} {label}{'s' if count > 1 else ''} failed: see `provider delivery list "
            "--state parked`",
        )
    return CheckLine(True, f"No {label} has failed")


def _check_rules(session: Session, account: Account) -> list[CheckLine]:
    adapter = ADAPTERS[account.ats]
    count = len(open_rules(session, account.id))
    if count:
        return [CheckLine(True, f"{count} rule{'s' if count > 1 else ''} can order products")]
    if adapter.has_endpoints:  # the ATS orders by itself
        return []
    return [CheckLine(False, f"No rule orders anything: `provider rule add {quote(account.name)}`")]


def _check_sources(session: Session, account: Account) -> list[CheckLine]:
    query = select(SourceCursor).where(SourceCursor.account_id == account.id)
    lines = []
    for cursor in session.scalars(query.order_by(SourceCursor.source)):
        label = cursor.source.replace("_", " ")
        if cursor.stopped_reason:
            command = f"provider rule resume {quote(account.name)}"
            text = f"Reading {label} has stopped: {cursor.stopped_reason}. To go on: `{command}`"
            lines.append(CheckLine(False, text))
        elif cursor.last_error:
            lines.append(CheckLine(False, f"Reading {label} failed: {cursor.last_error}"))
        elif cursor.problems:
            lines.append(CheckLine(False, f"Reading {label}: {cursor.problems}"))
        elif cursor.finished_at:
            text = f"The {label} were last read on {cursor.finished_at:%d %B %Y at %H:%M} UTC"
            lines.append(CheckLine(True, text))
    return lines

"""Creating accounts, and changing their settings and secrets: shared by commands and console."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.orm import Session

from provider import outbox
from provider.ats import ADAPTERS
from provider.core import audit
from provider.core.accounts import Account, sandbox_outcomes
from provider.core.accounts.setting_texts import parse_account_name, parse_callback_token
from provider.core.accounts.settings import COMMON_SETTINGS
from provider.core.audit import Action
from provider.core.connections import set_secret
from provider.core.connections.resume import resume_api
from provider.core.kinds import KINDS
from provider.core.sandbox import name_products
from provider.errors import Invalid
from provider.outbox import CALLBACK
from provider.storage.secrets import SecretBox

CALLBACK_TOKEN = "callback_token"  # noqa: S105  (the key of the setting)
NAME = "name"  # the key of a problem with the name of a new account


class InvalidSettings(Invalid):
    """Settings that are wrong; `problems` has one sentence for each key."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(". ".join(problems.values()))
        self.problems = problems


def create_account(
    session: Session,
    secret_box: SecretBox,
    name: str,
    ats: str,
    texts: Mapping[str, str],
    now: datetime,
) -> tuple[Account, str | None]:
    """Return a new account with settings, and its token if the ATS calls our endpoints.

    Raises InvalidSettings, and Conflict if another account has the name.
    """
    adapter = ADAPTERS[ats]
    try:
        account = Account.create(session, parse_account_name(name), ats, now)
    except Invalid as error:
        raise InvalidSettings({NAME: str(error)}) from error
    account.callback_hosts = list(adapter.default_callback_hosts)
    _apply(session, secret_box, account, texts)
    token = account.issue_token(now) if adapter.has_endpoints else None
    session.flush()
    return account, token


def creation_fields(account: Account) -> audit.Fields:
    """Return what the audit log says of a new account."""
    fields = account.audit_fields()
    return fields | {"token": account.tokens[-1].prefix} if account.tokens else fields


def change_settings(
    session: Session,
    secret_box: SecretBox,
    account: Account,
    texts: Mapping[str, str],
    *,
    actor: str,
    now: datetime,
) -> None:
    """Change settings, all or none, and let go on what waited for them; InvalidSettings."""
    subject, before = f"account:{account.public_id}", account.audit_fields()
    _apply(session, secret_box, account, texts)
    adapter = ADAPTERS[account.ats]
    if any(adapter.find_setting(key) for key in texts):
        resume_api(session, account, now)
    if CALLBACK_TOKEN in texts:
        outbox.resume(session, f"account/{account.id}/{CALLBACK}")
        audit.record(session, actor, Action.ACCOUNT_CALLBACK_TOKEN_CHANGED, subject, now=now)
    audit.record(
        session,
        actor,
        Action.ACCOUNT_CHANGED,
        subject,
        now=now,
        before=before,
        after=account.audit_fields(),
    )


def change_setting(secret_box: SecretBox, account: Account, key: str, text: str) -> None:
    """Change one setting; Invalid lists the known keys, or describes a valid value."""
    adapter = ADAPTERS[account.ats]
    if key == CALLBACK_TOKEN:
        account.set_callback_token(secret_box, parse_callback_token(text))
    elif key in COMMON_SETTINGS:
        COMMON_SETTINGS[key].change(account, text)
    elif setting := adapter.find_setting(key):
        account.options = account.options | {key: setting.parse(text)}
    else:
        names = (setting.name for setting in adapter.settings)
        known_keys = ", ".join([CALLBACK_TOKEN, *COMMON_SETTINGS, *names])
        raise Invalid(f"An account has no setting “{key}”: there are {known_keys}")


def change_secret(
    session: Session,
    secret_box: SecretBox,
    account: Account,
    key: str,
    value: str | None,
    *,
    actor: str,
    now: datetime,
) -> None:
    """Store a secret of the ATS's API, or delete it with None; calls that were refused go on."""
    known = secret_descriptions(account)
    if key not in known:
        names = ", ".join(known) or "none"
        raise Invalid(f"An account of {account.ats} has no secret “{key}”: there are {names}")
    set_secret(session, secret_box, account, key, value, now)
    resume_api(session, account, now)
    audit.record(
        session,
        actor,
        Action.ACCOUNT_SECRET_CHANGED,
        f"account:{account.public_id}",
        now=now,
        after={"secret": key, "set": value is not None},
    )


def secret_descriptions(account: Account) -> Mapping[str, str]:
    """Return the secrets of an account's ATS, each with one sentence."""
    api = ADAPTERS[account.ats].api
    return api.secrets if api else {}


def _apply(
    session: Session, secret_box: SecretBox, account: Account, texts: Mapping[str, str]
) -> None:
    problems = {}
    for key, text in texts.items():
        try:
            change_setting(secret_box, account, key, text)
        except Invalid as error:
            problems[key] = str(error)
    # After the others: the account may become a sandbox by the same change.
    if (key := sandbox_outcomes.SETTING) in texts and key not in problems:
        try:
            name_products(session, account)
        except Invalid as error:
            problems[key] = str(error)
    checks = [check for kind in KINDS.values() for check in kind.account_checks.items()]
    for key, check in checks:
        if key in texts and key not in problems:
            try:
                check(account)
            except Invalid as error:
                problems[key] = str(error)
    if problems:
        raise InvalidSettings(problems)

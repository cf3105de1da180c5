"""The steps of an offboarding, and the scheduled work that exports and erases accounts.

The work runs outside of requests. After a crash its lease ends within minutes: an export begins
again, and an erasure goes on with the orders that are left. What a crashed export has written is
deleted: it has personal data.
"""

import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.orm import Session

from provider.core import audit
from provider.core.accounts import Account
from provider.core.accounts.offboarding import (
    Offboarding,
    disable_account,
    enable_account,
    request_erasure,
    request_export,
    require_exportable,
)
from provider.core.audit import Action
from provider.core.connections import resume_sources
from provider.core.connections.source_cursor import stop_sources
from provider.core.scheduled import ScheduledWork, WorkContext, prolong_lease
from provider.errors import Conflict, ProviderError
from provider.maintenance.account_erasure import (
    cancel_open_orders,
    erase_account,
    require_no_held_orders,
)
from provider.maintenance.account_export import (
    AccountExport,
    count_orders,
    write_account_export,
)
from provider.storage import secrets

EXPORT_FOLDER = "exports"  # in media storage: EXPORT_FOLDER/ACCOUNT/NAME.zip
INTERRUPTED = "The export was interrupted and begins again from the first order"
STOPPED_REASON = "The account is disabled"
COPY_CHUNK_BYTES = 1024 * 1024
# A lease is prolonged once in this time, and not at each order.
PROLONG_INTERVAL = timedelta(seconds=30)

KeepLease = Callable[[], None]


def disable(
    session: Session, account: Account, actor: str, context: WorkContext, *, cancels_orders: bool
) -> None:
    """Disable an account: see `disable_account`. Its lists are read no further."""
    now = context.now()
    disable_account(session, account, actor, now, cancels_orders=cancels_orders)
    stop_sources(session, account.id, STOPPED_REASON)
    after = {"cancels_orders": cancels_orders}
    _record(session, account, actor, Action.ACCOUNT_DISABLED, context, after)


def enable(session: Session, account: Account, actor: str, context: WorkContext) -> None:
    """Undo `disable`; the files of exports are deleted. Conflict once the erasure has begun."""
    enable_account(session, account)
    context.media.delete_folder(_export_folder(account))
    resume_sources(session, account.id, context.now(), STOPPED_REASON)
    _record(session, account, actor, Action.ACCOUNT_ENABLED, context)


def begin_export(session: Session, account: Account, actor: str, context: WorkContext) -> None:
    """Ask the scheduled work for an export. Conflict before the disabling, and while one runs."""
    offboarding = request_export(session, account, actor, context.now())
    offboarding.export_total = count_orders(session, account.id)
    _record(session, account, actor, Action.ACCOUNT_EXPORT_REQUESTED, context)


def begin_erasure(session: Session, account: Account, actor: str, context: WorkContext) -> None:
    """Ask the scheduled work for the erasure. Conflict before the export, and for a held order."""
    require_no_held_orders(session, account.id)
    request_erasure(session, account, actor, context.now())
    _record(session, account, actor, Action.ACCOUNT_ERASURE_REQUESTED, context)


def export_to_file(context: WorkContext, account_id: int, path: Path, actor: str) -> AccountExport:
    """Write the export of a disabled account to a local file, for a command.

    The file has its name only when it is complete. What a killed command has left is overwritten.
    """
    with context.db.writing() as session:  # the row is locked
        require_exportable(session, session.get_one(Account, account_id))
    partial = path.with_name(f"{path.name}.partial")
    try:
        export = write_account_export(
            context.db, context.media, context.secret_box, account_id, partial, lambda _: None
        )
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _finish_export(context, account_id, export, actor, "", path.stat().st_size)
    return export


def _run(context: WorkContext) -> None:
    last_prolonged_at = context.now()

    def keep_lease() -> None:
        nonlocal last_prolonged_at
        if context.now() >= last_prolonged_at + PROLONG_INTERVAL:
            last_prolonged_at = context.now()
            prolong_lease(context, OFFBOARD_ACCOUNTS)

    with context.db.reading() as session:
        account_ids = list(session.scalars(_working_query()))
    failures = 0
    for account_id in account_ids:
        try:
            _work_on(context, account_id, keep_lease)
        except ProviderError as error:
            _store_problem(context, account_id, str(error))
        except Exception as error:
            _log_failure(account_id)
            failures += 1
            text = f"Unexpected error ({type(error).__name__}); the server's log has the details"
            _store_problem(context, account_id, text)
    if failures:
        raise RuntimeError(f"{failures} accounts failed, as the log says")


def _work_on(context: WorkContext, account_id: int, keep_lease: KeepLease) -> None:
    with context.db.reading() as session:
        offboarding = session.get_one(Offboarding, account_id)
    if offboarding.cancels_orders:
        cancel_open_orders(context, account_id, offboarding.disabled_by)
        with context.db.writing() as session:
            session.get_one(Offboarding, account_id).cancels_orders = False
    if offboarding.is_exporting:
        _export(context, account_id, keep_lease)
    if offboarding.is_erasing:
        erase_account(context, account_id, keep_lease)


def _export(context: WorkContext, account_id: int, keep_lease: KeepLease) -> None:
    """Write the export to a temporary file, and then to media storage.

    The temporary file has no name: the system deletes it, even if the process is killed.
    """

    def report_done(count: int) -> None:
        keep_lease()
        with context.db.writing() as session:
            offboarding = session.get(Offboarding, account_id)
            if offboarding is None:
                raise Conflict("The account was enabled again")
            offboarding.export_done = count

    with context.db.reading() as session:
        folder = _export_folder(session.get_one(Account, account_id))
        actor = session.get_one(Offboarding, account_id).export_requested_by
    _forget_earlier_export(context, account_id, folder)
    key = f"{folder}/{secrets.generate_public_id()}.zip"
    with TemporaryFile(prefix="provider-export-") as file:
        export = write_account_export(
            context.db, context.media, context.secret_box, account_id, file, report_done
        )
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        keep_lease()
        context.media.put(key, _read_chunks(file))
        _finish_export(context, account_id, export, actor, key, size)


def _forget_earlier_export(context: WorkContext, account_id: int, folder: str) -> None:
    """Delete the files of earlier runs, and tell the staff if a run was interrupted.

    A run that fails stores its own problem, which stays.
    """
    with context.db.writing() as session:
        offboarding = session.get(Offboarding, account_id, with_for_update=True)
        if offboarding is None:
            raise Conflict("The account was enabled again")
        if offboarding.export_done and not offboarding.problem:
            offboarding.problem = INTERRUPTED
        offboarding.export_done, offboarding.export_key, offboarding.export_size = 0, "", 0
    context.media.delete_folder(folder)


def _export_folder(account: Account) -> str:
    return f"{EXPORT_FOLDER}/{account.public_id}"


def _finish_export(
    context: WorkContext, account_id: int, export: AccountExport, actor: str, key: str, size: int
) -> None:
    with context.db.writing() as session:
        account = session.get_one(Account, account_id)
        offboarding = session.get(Offboarding, account_id, with_for_update=True)
        if offboarding is None:  # the account was enabled meanwhile
            if key:
                context.media.delete(key)
            return
        offboarding.exported_at, offboarding.problem = context.now(), ""
        if key:
            offboarding.export_key, offboarding.export_size = key, size
        offboarding.export_done = offboarding.export_total = export.orders
        after = {"orders": export.orders, "files": export.files, "bytes": size}
        _record(session, account, actor, Action.ACCOUNT_EXPORTED, context, after)


def _read_chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(COPY_CHUNK_BYTES):
        yield chunk


def _store_problem(context: WorkContext, account_id: int, problem: str) -> None:
    with context.db.reading() as session:
        offboarding = session.get(Offboarding, account_id)
        if offboarding is None or offboarding.problem == problem:
            return
    with context.db.writing() as session:
        session.get_one(Offboarding, account_id).problem = problem


def _log_failure(account_id: int) -> None:
    from structlog import get_logger  # late: see `logging_config`

    get_logger().exception("offboarding_failed", account_id=account_id)


def _record(
    session: Session,
    account: Account,
    actor: str,
    action: Action,
    context: WorkContext,
    after: audit.Fields | None = None,
) -> None:
    subject = f"account:{account.public_id}"
    audit.record(session, actor, action, subject, now=context.now(), after=after)


def _working_query() -> Select[int]:
    """Return the query of the accounts whose `Offboarding.is_working` is true."""
    row = Offboarding
    is_exporting = and_(row.export_requested_at.is_not(None), row.exported_at.is_(None))
    is_erasing = and_(row.erasure_requested_at.is_not(None), row.erased_at.is_(None))
    is_working = or_(row.cancels_orders, is_exporting, is_erasing)
    return select(row.account_id).where(is_working).order_by(row.account_id)


def _is_needed(session: Session, _: datetime) -> bool:
    return session.scalar(_working_query().limit(1)) is not None


OFFBOARD_ACCOUNTS = ScheduledWork(
    "offboard_accounts",
    every=timedelta(seconds=5),
    run=_run,
    is_needed=_is_needed,
    lease=timedelta(minutes=5),
)

"""Inserts checks and their screenings by the million, in SQL that both databases accept.

A check has two or three screenings, those of its package. Every fourth check belongs to the main
account, which never orders sanctions: a filter by both finds nothing, though each finds many. The
first checks belong to an account that is inactive.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.engine import Connection

from tests.bench.fill import (
    CANDIDATES_SQL,
    CREATE_INDEXES_SQL,
    DROP_INDEXES_SQL,
    ID_SQL,
    INACTIVE_ORDER_COUNT,
    NUMBERS_SQL,
    create_postgres_functions,
)

# The types of each package; the main account orders the first two packages only.
PACKAGES: tuple[tuple[str, ...], ...] = (
    ("identity", "employment"),
    ("identity", "criminal_record", "education"),
    ("criminal_record", "sanctions"),
    ("identity", "sanctions", "licence"),
)
MAIN_PACKAGES = 2
OTHER_ACCOUNTS = 30
COLLEAGUES = 50
OPEN_BLOCK = 120  # checks in a row that are all open, or all ended
TODAY = datetime.now(UTC).date()
PLACED_SQL = f"'{TODAY - timedelta(days=10)} 09:00:00.000000'"
ACCOUNT_SQL = (
    f"CASE WHEN i <= {INACTIVE_ORDER_COUNT} THEN :inactive_account WHEN i % 4 = 0 THEN :account "
    f"ELSE CAST(:others AS integer) + i / 4 % {OTHER_ACCOUNTS} END"
)
PACKAGE_SQL = (
    f"(CASE WHEN i % 4 = 0 AND i > {INACTIVE_ORDER_COUNT} THEN i / 4 % {MAIN_PACKAGES} "
    f"ELSE i / 4 % {len(PACKAGES)} END)"
)
IS_OPEN_SQL = f"i / {OPEN_BLOCK} % 100 < CAST(:open_percent AS integer)"
TYPES_SQL = ", ".join(
    f"({package}, {number}, '{name}')"
    for package, names in enumerate(PACKAGES)
    for number, name in enumerate(names)
)
# Of the screenings of an open check one in ten is done, too.
STATE_SQL = (
    f"CASE WHEN {IS_OPEN_SQL} THEN CASE (i + 3 * k) % 10 WHEN 0 THEN 'done' WHEN 1 THEN 'asked' "
    "WHEN 2 THEN 'submitted' WHEN 3 THEN 'in progress' WHEN 4 THEN 'in progress' "
    "WHEN 5 THEN 'in progress' ELSE 'to do' END "
    "WHEN i % 50 = 7 THEN 'withdrawn' ELSE 'done' END"
)
# Open screenings are due from four days ago to 25 days from now, the others were in two years.
DAYS_SQL = "INSERT INTO bench_days (number, day) VALUES " + ", ".join(
    f"({number}, '{TODAY + timedelta(days=25 - number)}')" for number in range(750)
)
FILL_CHECKS_SQL = (
    CANDIDATES_SQL,
    "INSERT INTO orders (id, public_id, kind, account_id, product_id, version_id, candidate_id, "
    "external_key, request_mac, reply_context, callback_host, job_title, job_reference, "
    "preferences, status, progress, waiting_for, revision, placed_at, expires_at) "
    f"{NUMBERS_SQL} SELECT i, {ID_SQL}, 'check', {ACCOUNT_SQL}, CAST(:packages AS integer) + "
    f"{PACKAGE_SQL}, CAST(:versions AS integer) + {PACKAGE_SQL}, "
    "i, 'https://groove-tech.workable.com/checks/' || i, hex(randomblob(36)), '{}', "
    "'groove-tech.workable.com', 'Operations Manager', '', '{}', "
    f"CASE WHEN {IS_OPEN_SQL} THEN 'consented' ELSE 'completed' END, 'submitted', "
    f"CASE WHEN {IS_OPEN_SQL} THEN 'staff' ELSE 'nobody' END, 1, {PLACED_SQL}, "
    "'2036-11-08 09:00:00.000000' FROM n",
    "CREATE TEMPORARY TABLE bench_days (number integer PRIMARY KEY, day date)",
    DAYS_SQL,
    "INSERT INTO screening_tasks (public_id, order_id, account_id, key, screening_type, performer, "
    "state, assignee, due_on, created_at, done_at) "
    f"{NUMBERS_SQL}, t(p, k, screening_type) AS (VALUES {TYPES_SQL}), "
    f"s AS (SELECT i, k, screening_type, {ACCOUNT_SQL} AS account_id, {STATE_SQL} AS state "
    f"FROM n JOIN t ON p = {PACKAGE_SQL}) "
    f"SELECT {ID_SQL}, i, account_id, screening_type, screening_type, 'staff', state, "
    "CASE WHEN state NOT IN ('to do', 'submitted') THEN "
    f"'colleague-' || (i / 3 % {COLLEAGUES}) || '@provider.test' END, day, {PLACED_SQL}, "
    f"CASE WHEN state IN ('done', 'withdrawn') THEN {PLACED_SQL} END "
    "FROM s JOIN bench_days ON number = "
    "CASE WHEN state IN ('done', 'withdrawn') THEN 30 + (i + k) % 720 ELSE (i + k) % 30 END",
    "DROP TABLE bench_days",
)


@dataclass(frozen=True)
class CheckNumbers:
    """The ids that the rows refer to; those of a sequence follow the first one."""

    account: int
    inactive_account: int
    others: int  # the first other account
    packages: int
    versions: int
    open_percent: int  # of the checks
    last: int
    first: int = 1


def insert_checks(connection: Connection, numbers: CheckNumbers) -> None:
    """Insert the checks and their screenings."""
    create_postgres_functions(connection)
    is_sqlite = connection.dialect.name == "sqlite"
    before, after = ((), ()) if is_sqlite else (DROP_INDEXES_SQL, CREATE_INDEXES_SQL)
    for statement in (*before, *FILL_CHECKS_SQL, *after):
        values = vars(numbers) if statement in FILL_CHECKS_SQL else {}
        names = [name for name in values if f":{name}" in statement]
        connection.execute(text(statement), {name: values[name] for name in names})

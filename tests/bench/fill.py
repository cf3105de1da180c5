"""Inserts orders by the million, in SQL that both databases accept.

Of a hundred orders sixty are completed, ten are pending, and the rest expired. Ten are interviews
and ten are checks; the pending ones of these are submitted. A check has ten screenings. The rows
equal those of the server, which would take half an hour for a million. The first orders belong to
an inactive account and an old test: a list in descending id order finds the newest of a few old
rows last.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.engine import Connection

CALLBACK_HOST = "groove-tech.workable.com"
WAITING_INTERVAL = 50  # every n-th order has a waiting callback
PARKED_INTERVAL = 1000  # every n-th order has a parked callback
INACTIVE_ORDER_COUNT = 200  # orders of the inactive account

NUMBERS_SQL = (
    "WITH RECURSIVE n(i) AS (SELECT CAST(:first AS integer) UNION ALL "
    "SELECT i + 1 FROM n WHERE i < CAST(:last AS integer)) "
)
ID_SQL = "substr(hex(randomblob(11)), 1, 22)"
# Within the days that the console's overview counts.
PLACED_DAY = datetime.now(UTC).date() - timedelta(days=10)
TIMESTAMP_SQL = f"'{PLACED_DAY} 09:00:00.000000'"
ACCOUNT_SQL = f"CASE WHEN i <= {INACTIVE_ORDER_COUNT} THEN :inactive_account ELSE :account END"
KIND_SQL = "CASE i / 10 % 10 WHEN 8 THEN 'interview' WHEN 9 THEN 'check' ELSE 'assessment' END"
# The ids of the products follow their creation: tests, the interview, the check.
PRODUCT_SQL = (
    "CASE i / 10 % 10 WHEN 8 THEN :tests + 1 WHEN 9 THEN :tests + 2 "
    f"ELSE CASE WHEN i <= {INACTIVE_ORDER_COUNT} THEN :tests "
    "ELSE i / 100 % (:tests - 1) + 1 END END"
)
STATE_SQL = (
    "CASE WHEN topic = 'invitation' THEN 'delivered' "
    f"WHEN i % {WAITING_INTERVAL} = 0 THEN 'waiting' "
    f"WHEN i % {PARKED_INTERVAL} = 1 THEN 'parked' ELSE 'delivered' END"
)
TASK_STATE_SQL = (
    "CASE WHEN i % 10 < 6 THEN 'done' WHEN i % 10 > 6 THEN 'withdrawn' ELSE CASE k % 4 "
    "WHEN 0 THEN 'asked' WHEN 1 THEN 'to do' WHEN 2 THEN 'in progress' ELSE 'submitted' END END"
)
CANDIDATES_SQL = (
    "INSERT INTO candidates (id, email, email_digest, first_name, last_name, phone) "
    f"{NUMBERS_SQL} SELECT i, 'c' || i || '@example.com', randomblob(32), 'Lakita', 'Marrero', '' "
    "FROM n"
)
FILL_SQL = (
    CANDIDATES_SQL,
    "INSERT INTO orders (id, public_id, kind, account_id, product_id, version_id, candidate_id, "
    "external_key, request_mac, reply_context, callback_host, job_title, job_reference, "
    "preferences, status, progress, waiting_for, revision, placed_at, expires_at, finished_at) "
    f"{NUMBERS_SQL} SELECT i, {ID_SQL}, {KIND_SQL}, {ACCOUNT_SQL}, {PRODUCT_SQL}, {PRODUCT_SQL}, "
    "i, 'https://groove-tech.workable.com/assessments/' || i, hex(randomblob(36)), "
    f"""'{{"callback_url": "https://{CALLBACK_HOST}/assessments/' || i || '"}}', """
    f"'{CALLBACK_HOST}', 'Operations Manager', '', '{{}}', "
    "CASE WHEN i % 10 < 6 THEN 'completed' WHEN i % 10 < 7 THEN 'pending' ELSE 'expired' END, "
    "CASE WHEN i % 10 < 6 OR i % 10 = 6 AND i / 10 % 10 >= 8 THEN 'submitted' ELSE 'invited' END, "
    "CASE WHEN i % 10 <> 6 THEN 'nobody' WHEN i / 10 % 10 >= 8 THEN 'staff' ELSE 'candidate' END, "
    f"CAST(i % 10 <> 6 AS integer), {TIMESTAMP_SQL}, '2036-11-08 09:00:00.000000', "
    f"CASE WHEN i % 10 <> 6 THEN {TIMESTAMP_SQL} END FROM n",
    "INSERT INTO order_search (order_id, words) SELECT id, 'assessments c' || id || ' com example "
    "groove https lakita manager marrero operations tech workable ' || id || ' ' || "
    "lower(public_id) FROM orders WHERE id BETWEEN :first AND :last",
    "INSERT INTO links (order_id, purpose, token_hash, token_encrypted, created_at) "
    f"{NUMBERS_SQL}, p(purpose) AS (VALUES ('invite'), ('report'), ('pdf')) "
    f"SELECT i, purpose, randomblob(32), randomblob(75), {TIMESTAMP_SQL} FROM n, p "
    "WHERE purpose = 'invite' OR i % 10 < 6",
    "INSERT INTO results (order_id, revision, score, grade, summary, details, figures, duration, "
    f"created_at) {NUMBERS_SQL} SELECT i, 1, 78, 'passed', 'Above the mark.', "
    """'{"Numbers": 91, "Words": 50}', """
    """'{"bars": [], "findings": [], "overall_status": "clear"}', """
    f"1980, {TIMESTAMP_SQL} FROM n WHERE i % 10 < 6",
    "INSERT INTO order_events (order_id, revision, occurred_at, type, actor, note) "
    f"{NUMBERS_SQL}, e(type) AS (VALUES ('placed'), ('ended')) "
    f"SELECT i, CAST(type = 'ended' AS integer), {TIMESTAMP_SQL}, type, "
    "'ats', '' FROM n, e WHERE type = 'placed' OR i % 10 <> 6",
    "INSERT INTO screening_tasks (public_id, order_id, account_id, key, screening_type, performer, "
    "state, assignee, due_on, definition, created_at, done_at) "
    f"{NUMBERS_SQL}, t(k) AS (VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10)) "
    f"SELECT {ID_SQL}, i, {ACCOUNT_SQL}, "
    "CASE k WHEN 1 THEN 'criminal' ELSE 'added-' || k END, "
    "CASE k % 5 WHEN 0 THEN 'identity' WHEN 1 THEN 'criminal_record' WHEN 2 THEN 'sanctions' "
    f"ELSE 'employment' END, 'staff', {TASK_STATE_SQL}, "
    "CASE WHEN k % 3 = 0 THEN 'colleague-' || (i % 50) || '@provider.test' END, "
    f"'{PLACED_DAY:%Y-%m}-' || (10 + i % 19), "
    """CASE WHEN k > 1 THEN '{"key": "added-' || k || '", "name": "Added ' || k || '"}' END, """
    f"{TIMESTAMP_SQL}, CASE WHEN i % 10 <> 6 THEN {TIMESTAMP_SQL} END "
    "FROM n, t WHERE i / 10 % 10 = 9",
    # An empty ciphertext: nobody reads what these messages say.
    "INSERT INTO messages (public_id, queue, ordering_key, sequence, topic, payload_encrypted, "
    "supersedes_earlier, state, attempts, due_at, created_at, settled_at) "
    f"{NUMBERS_SQL}, t(topic) AS (VALUES ('invitation'), ('status')) SELECT {ID_SQL}, account_id "
    f"|| CASE topic WHEN 'status' THEN '/callback/{CALLBACK_HOST}' ELSE '/email' END, public_id, "
    f"CAST(topic = 'status' AS integer), topic, :ciphertext, topic = 'status', {STATE_SQL}, 0, "
    f"{TIMESTAMP_SQL}, {TIMESTAMP_SQL}, {TIMESTAMP_SQL} FROM n JOIN orders ON orders.id = i, t "
    "WHERE topic = 'invitation' OR i % 10 <> 6",
)
REQUEUE_ALL_SQL = (
    "UPDATE messages SET state = 'waiting', settled_at = NULL WHERE state <> 'waiting'"
)
# SQLite's functions for PostgreSQL, and the implicit casts of text.
POSTGRES_FUNCTIONS_SQL = (
    "CREATE OR REPLACE FUNCTION randomblob(n integer) RETURNS bytea LANGUAGE sql VOLATILE AS "
    "$$ SELECT CASE WHEN n <= 16 THEN substring(uuid_send(gen_random_uuid()) FROM 1 FOR n) "
    "ELSE uuid_send(gen_random_uuid()) || decode(repeat('ab', n - 16), 'hex') END $$",
    "CREATE OR REPLACE FUNCTION hex(b bytea) RETURNS text LANGUAGE sql IMMUTABLE AS "
    "$$ SELECT upper(encode(b, 'hex')) $$",
    *(
        statement
        for name in ("json", "date", "timestamptz")
        for statement in (
            f"DROP CAST IF EXISTS (text AS {name})",
            f"CREATE CAST (text AS {name}) WITH INOUT AS ASSIGNMENT",
        )
    ),
)
# To rebuild the indexes is faster than to update them; the rows satisfy the foreign keys.
DROP_INDEXES_SQL = (
    "SET LOCAL session_replication_role = replica",
    "CREATE TEMP TABLE dropped_indexes ON COMMIT DROP AS SELECT indexname, indexdef "
    "FROM pg_indexes WHERE schemaname = 'public' AND starts_with(indexname, 'ix')",
    "DO $$ DECLARE a record; BEGIN FOR a IN SELECT indexname FROM dropped_indexes LOOP "
    "EXECUTE 'DROP INDEX ' || quote_ident(a.indexname); END LOOP; END $$",
)
CREATE_INDEXES_SQL = (
    "DO $$ DECLARE a record; BEGIN FOR a IN SELECT indexdef FROM dropped_indexes LOOP "
    "EXECUTE a.indexdef; END LOOP; END $$",
    "SELECT setval(pg_get_serial_sequence('candidates', 'id'), max(id)) FROM candidates",
    "SELECT setval(pg_get_serial_sequence('orders', 'id'), max(id)) FROM orders",
)


def insert_orders(connection: Connection, params: dict[str, int]) -> None:
    """Insert the orders from number `first` to number `last`."""
    create_postgres_functions(connection)
    is_sqlite = connection.dialect.name == "sqlite"
    for statement in FILL_SQL if is_sqlite else (*DROP_INDEXES_SQL, *FILL_SQL, *CREATE_INDEXES_SQL):
        values = {**params, "ciphertext": b""} if statement in FILL_SQL else {}
        connection.execute(text(statement), values)


def create_postgres_functions(connection: Connection) -> None:
    """Create the functions that the SQL of this module needs on PostgreSQL."""
    if connection.dialect.name != "sqlite":
        for statement in POSTGRES_FUNCTIONS_SQL:
            connection.execute(text(statement))

"""The candidates who match a rule's condition at present, without ordering anything."""

from collections.abc import Mapping
from datetime import timedelta

from provider.ats import ADAPTERS
from provider.ats.api import UnreadableAnswer, Window
from provider.ats.rules import require_match
from provider.core.accounts import Account
from provider.core.connections import Record, matches
from provider.core.connections.source_cursor import START_OF_TIME
from provider.delivery.api_client import ApiClient
from provider.delivery.api_errors import CallDelayed, CallFailed
from provider.errors import Invalid, Unavailable
from provider.services import Services

# A person waits, and a thread of the server with her.
MAX_DURATION = timedelta(seconds=60)


def find_matches(
    services: Services, client: ApiClient, account_id: int, match: Mapping[str, str]
) -> list[Record]:
    """Read the full source of an account and return the matching records.

    Where the budget of requests is spent, this waits for more, `MAX_DURATION` in all. Invalid where
    the ATS cannot be asked for all, or for this condition. Unavailable where it does not answer, or
    not in time.
    """
    with services.db.reading() as session:
        account = session.get_one(Account, account_id)
        api = ADAPTERS[account.ats].api
        connection = client.connection(session, account)
    source = next(filter(lambda source: source.is_full, api.sources), None) if api else None
    if api is None or source is None:
        raise Invalid("This ATS cannot list all candidates")
    if missing := api.missing(connection):
        raise Invalid(f"Not set yet: {', '.join(missing)}")
    match = require_match(api, match)
    window = Window(START_OF_TIME, services.now())
    found: dict[str, Record] = {}
    record_count = 0
    end = services.now() + MAX_DURATION
    state = source.first_state(connection, [match])
    try:
        while state is not None:
            if services.now() > end:
                raise Unavailable(_too_long_text(record_count, len(found)))
            try:
                request = source.request(connection, window, state)
                response = client.call(api, connection, request, is_round=True)
            except CallDelayed as error:
                client.wait(error, end)
                continue
            page = source.read(connection, window, state, response)
            record_count += len(page.records)
            found |= {record.key: record for record in page.records if matches(match, record)}
            state = page.next_state
    except CallDelayed as error:
        text = _too_long_text(record_count, len(found)) if record_count else error.advice
        raise Unavailable(text) from None
    except (CallFailed, UnreadableAnswer) as error:
        raise Unavailable(str(error)) from None
    return list(found.values())


def _too_long_text(record_count: int, match_count: int) -> str:
    seconds = int(MAX_DURATION.total_seconds())
    return (
        f"The ATS's list is too long to be read within {seconds} seconds: more than "
        f"{record_count} candidates were read, and {match_count} of them match"
    )

"""The candidates who match a rule's condition at present, without ordering anything."""

import time
from collections.abc import Mapping

from provider.ats import ADAPTERS
from provider.ats.api import UnreadableAnswer, Window
from provider.core.accounts import Account
from provider.core.connections import Record, matches
from provider.core.connections.source_cursor import START_OF_TIME
from provider.delivery.api_client import ApiClient
from provider.delivery.api_errors import CallFailed
from provider.errors import Invalid, Unavailable
from provider.services import Services

MAX_SECONDS = 60.0  # a person waits, and a thread of the server with her


def find_matches(
    services: Services, client: ApiClient, account_id: int, match: Mapping[str, str]
) -> list[Record]:
    """Read the full source of an account and return the matching records.

    Invalid where the ATS cannot be asked for all; Unavailable where it does not answer.
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
    window = Window(START_OF_TIME, services.now())
    found: dict[str, Record] = {}
    end = time.monotonic() + MAX_SECONDS
    state = source.first_state(connection, [match])
    try:
        while state is not None:
            response = client.call(api, connection, source.request(connection, window, state))
            page = source.read(connection, window, state, response)
            found |= {record.key: record for record in page.records if matches(match, record)}
            state = page.next_state
            if state is not None and time.monotonic() > end:
                raise Unavailable("The ATS's list is too long to be read at once")
    except (CallFailed, UnreadableAnswer) as error:
        raise Unavailable(str(error)) from None
    return list(found.values())

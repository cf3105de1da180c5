"""The headers and cookies of every route are those of the reviewed table."""

from dataclasses import replace

from provider.config import Settings
from tests import factories
from tests.web.header_snapshot import BASE_URL, SNAPSHOT, collect


def test_headers_of_every_route_equal_the_snapshot(settings: Settings) -> None:
    services = factories.build_services(replace(settings, base_url=BASE_URL))
    try:
        table = collect(services)
    finally:
        services.db.close()
    assert table.splitlines() == SNAPSHOT.read_text().splitlines(), (
        "Review the difference, then run `python -m tests.web.header_snapshot`"
    )

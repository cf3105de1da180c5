"""The headers and cookies of every route are those of the reviewed table."""

from dataclasses import replace

import pytest
from werkzeug.routing import Rule

from provider.config import Settings
from tests import factories
from tests.web.header_snapshot import BASE_URL, METRICS_TOKEN, SNAPSHOT, collect, fill_path


def test_headers_of_every_route_equal_the_snapshot(settings: Settings) -> None:
    settings = replace(settings, base_url=BASE_URL, metrics_token=METRICS_TOKEN)
    services = factories.build_services(settings)
    try:
        table = collect(services)
    finally:
        services.db.close()
    assert table.splitlines() == SNAPSHOT.read_text().splitlines(), (
        "Review the difference, then run `python -m tests.web.header_snapshot`"
    )


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("/orders/<order_id>/<any(cancel, 'revoke-links'):name>", "/orders/x/cancel"),
        ("/orders/<any('revoke-links', cancel):name>", "/orders/revoke-links"),
        ("/questions/<int:number>", "/questions/1"),
    ],
)
def test_fill_path_fills_every_converter(rule: str, path: str) -> None:
    assert fill_path(Rule(rule), lambda _: "x") == path


def test_fill_path_unknown_parameter_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot read"):
        fill_path(Rule("/files/<name!>"), lambda _: "x")

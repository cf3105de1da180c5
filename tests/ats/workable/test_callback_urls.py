"""The `callback_url` of an order must be https, on a host that the account allows."""

from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from provider.app import create_app
from provider.config import Settings
from provider.core.orders import Order
from provider.services import Services
from tests import factories
from tests.ats.workable_client import ASSESSMENTS, SharedServer, WorkableClient, parse_error

NOT_A_URL = "Invalid field: callback_url should be an absolute https URL"
NOT_PLAIN = "Invalid field: callback_url should be a URL without credentials and without a fragment"
NOT_HTTPS = "Invalid field: callback_url should be an https URL without a port"
NOT_LISTED = "Invalid field: callback_url should be on a host that the account allows"


@pytest.mark.parametrize(
    ("url", "expected_message"),
    [
        ("", NOT_A_URL),
        ("/assessments/1", NOT_A_URL),
        ("//groove.workable.com/1", NOT_A_URL),
        ("https://", NOT_A_URL),
        ("https:///groove.workable.com", NOT_A_URL),
        ("https://:443/x", NOT_A_URL),
        ("https:groove.workable.com", NOT_A_URL),
        ("ftp://groove.workable.com/1", NOT_A_URL),
        ("file:///etc/passwd", NOT_A_URL),
        ("javascript://groove.workable.com/%0aalert(1)", NOT_A_URL),
        ("https://groove.workable.com/a b", NOT_A_URL),
        ("https://groove.workable.com/\r\nHost: evil.com", NOT_A_URL),
        ("https://groove.workable\t.com/", NOT_A_URL),
        (" https://groove.workable.com/", NOT_A_URL),
        ("https://evil.com\\@groove.workable.com", NOT_A_URL),
        ("https://evil.com\\.workable.com/", NOT_A_URL),
        ("https://groove.workable.com:99999/", NOT_A_URL),
        ("https://groove.workable.com:0/", NOT_A_URL),
        ("https://groove.workable.com:x/", NOT_A_URL),
        ("https://[::1/", NOT_A_URL),
        ("https://münchen.workable.com/", NOT_A_URL),
        ("https://groove。workable.com/", NOT_A_URL),
        ("https://evil.com%23.workable.com/", NOT_A_URL),
        ("https://evil.com;.workable.com/", NOT_A_URL),
        ("https://-groove.workable.com/", NOT_A_URL),
        ("https://a..workable.com/", NOT_A_URL),
        ("https://.workable.com/", NOT_A_URL),
        ("https://" + "a." * 130 + "workable.com/", NOT_A_URL),
        ("https://user:password@groove.workable.com/1", NOT_PLAIN),
        ("https://evil.com@groove.workable.com/1", NOT_PLAIN),
        ("https://@groove.workable.com/1", NOT_PLAIN),
        ("https://groove.workable.com/1#x", NOT_PLAIN),
        ("https://groove.workable.com#@evil.com/", NOT_PLAIN),
        ("http://groove.workable.com/1", NOT_HTTPS),
        ("https://groove.workable.com:8443/1", NOT_HTTPS),
        ("https://groove.workable.com:80/1", NOT_HTTPS),
        ("https://workable.com/1", NOT_LISTED),
        ("https://evilworkable.com/1", NOT_LISTED),
        ("https://groove.workable.com.evil.com/1", NOT_LISTED),
        ("https://evil.com/groove.workable.com", NOT_LISTED),
        ("https://evil.com?.workable.com", NOT_LISTED),
        ("https://localhost/1", NOT_LISTED),
        ("https://10.0.0.1/1", NOT_LISTED),
        ("https://127.0.0.1/1", NOT_LISTED),
        ("https://169.254.169.254/latest/meta-data", NOT_LISTED),
        ("https://2130706433/", NOT_LISTED),
        ("https://0x7f.1/", NOT_LISTED),
        ("https://[::1]/1", NOT_LISTED),
        ("https://[::ffff:127.0.0.1]/1", NOT_LISTED),
        ("https://xn--groove-.example.com/", NOT_LISTED),
        ("https://groove.workable.com/" + "x" * 2000, "Invalid field: callback_url should have at"),
    ],
)
def test_callback_url_outside_allowed_hosts_is_rejected(
    shared_server: SharedServer, url: str, expected_message: str
) -> None:
    code, message = shared_server.expect_error(
        ASSESSMENTS, shared_server.order_body(ASSESSMENTS, callback_url=url)
    )
    assert code == 400
    assert message.startswith(expected_message)


@pytest.mark.parametrize(
    "url",
    [
        "https://groove.workable.com",
        "https://groove.workable.com/",
        "https://groove.workable.com:443/1",
        "https://GROOVE.Workable.COM/1",
        "HTTPS://groove.workable.com/1",
        "https://a.b.c.workable.com/1?x=1&y=%20",
        "https://groove.workable.com./1",
        "https://xn--mnchen-3ya.workable.com/1",
        "https://hooks.example.org/1",
        "https://groove.workable.com/" + "x" * 1900,
    ],
)
def test_callback_url_on_allowed_host_is_accepted(
    client: FlaskClient, services: Services, url: str
) -> None:
    hosts = ["*.Workable.com", "hooks.example.org"]
    workable = WorkableClient(client, factories.create_account(services, hosts=hosts)[1])
    order_body = ASSESSMENTS.order_body(ASSESSMENTS.create_product(services), callback_url=url)
    order_id = workable.place_order(ASSESSMENTS, order_body)
    with services.db.reading() as session:
        assert Order.find(session, order_id).reply_context == {"callback_url": url}, (
            "stored unchanged"
        )


def test_private_callbacks_allow_http_and_ports_on_listed_hosts(
    settings: Settings, clock: factories.ManualClock
) -> None:
    services = factories.build_services(replace(settings, private_callbacks=True), clock)
    client = create_app(services).test_client()
    workable = WorkableClient(client, factories.create_account(services, hosts=["127.0.0.1"])[1])
    order_body = ASSESSMENTS.order_body(ASSESSMENTS.create_product(services))
    local = "http://127.0.0.1:8123/callback"
    assert workable.post("/assessments", order_body | {"callback_url": local}).status_code == 201
    other_host = order_body | {"callback_url": "http://127.0.0.2:8123/callback"}
    assert parse_error(workable.post("/assessments", other_host)) == (400, NOT_LISTED)
    services.db.close()

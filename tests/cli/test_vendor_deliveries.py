"""`provider delivery show` of an order for a vendor, whose body has the candidate's details."""

import pytest

from provider.services import Services
from tests import check_outside_factories
from tests.check_outside_factories import VENDOR_SCREENING
from tests.cli.test_commands import Run
from tests.cli.test_commands import run as run


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_delivery_show_hides_what_a_vendor_gets(
    run: Run, services: Services, options: list[str]
) -> None:
    check_outside_factories.place_consented_check(services, VENDOR_SCREENING)
    message_id = check_outside_factories.store_vendor_body(services, b'{"born": "1990-02-28"}')
    shown = run("delivery", "show", message_id, *options).stdout
    assert message_id in shown
    assert "1990-02-28" not in shown

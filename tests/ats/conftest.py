"""Fixtures for the contracts: an account that asks, and each kind in the contract's words."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from provider.app import create_app
from provider.config import Settings
from provider.house import House
from tests import cast
from tests.ats.side import SIDES, Asker, Side, Standing, letters, orders


@pytest.fixture
def groove(client: FlaskClient, house: House) -> Asker:
    """Groove Tech, the account of the contract's examples."""
    return Asker(client, cast.account(house)[1])


@pytest.fixture
def acme(client: FlaskClient, house: House) -> Asker:
    """Another customer."""
    return Asker(client, cast.account(house, "Acme")[1])


@pytest.fixture(params=SIDES, ids=lambda side: side.kind)
def side(request: pytest.FixtureRequest) -> Side:
    """Each of the three kinds."""
    found: Side = request.param
    return found


@pytest.fixture(scope="module")
def standing(lasting_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """One server for all that is only refused: nothing of it may leave a trace."""
    folder = tmp_path_factory.mktemp("standing")
    told = Settings(instance=folder, database_url=lasting_url, secret_keys=(b"k" * 32,))
    house = House.build(told, cast.HandClock())
    app = create_app(house)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    asker = Asker(app.test_client(), cast.account(house, hosts=["*.workable.com"])[1])
    yield Standing(house, asker, {side.kind: side.product(house) for side in SIDES})
    assert orders(house) == letters(house) == 0
    house.db.close()

"""Fixtures for the contracts: an account that asks, and each kind in the contract's words."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from provider.app import create_app
from provider.config import Settings
from provider.services import Services
from tests import factories
from tests.ats.workable_client import (
    KIND_CONTRACTS,
    KindContract,
    SharedServer,
    WorkableClient,
    count_invitations,
    count_orders,
)


@pytest.fixture
def groove(client: FlaskClient, services: Services) -> WorkableClient:
    """Groove Tech, the account of the contract's examples."""
    return WorkableClient(client, factories.create_account(services)[1])


@pytest.fixture
def acme(client: FlaskClient, services: Services) -> WorkableClient:
    """Another customer."""
    return WorkableClient(client, factories.create_account(services, "Acme")[1])


@pytest.fixture(params=KIND_CONTRACTS, ids=lambda contract: contract.kind)
def contract(request: pytest.FixtureRequest) -> KindContract:
    """Each of the three kinds."""
    found: KindContract = request.param
    return found


@pytest.fixture(scope="module")
def shared_server(
    module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SharedServer]:
    """One server for all that is only refused: nothing of it may leave a trace."""
    folder = tmp_path_factory.mktemp("standing")
    told = Settings(instance=folder, database_url=module_database_url, secret_keys=(b"k" * 32,))
    services = Services.build(told, factories.ManualClock())
    app = create_app(services)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    asker = WorkableClient(
        app.test_client(), factories.create_account(services, hosts=["*.workable.com"])[1]
    )
    yield SharedServer(
        services,
        asker,
        {contract.kind: contract.create_product(services) for contract in KIND_CONTRACTS},
    )
    assert count_orders(services) == count_invitations(services) == 0
    services.db.close()

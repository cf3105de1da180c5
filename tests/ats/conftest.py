"""Fixtures: clients of Workable's contract, and the contract of each kind."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from provider.app import create_app
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
    """The client of Groove Tech, the account of the contract's examples."""
    return WorkableClient(client, factories.create_account(services)[1])


@pytest.fixture
def acme(client: FlaskClient, services: Services) -> WorkableClient:
    """The client of another account."""
    return WorkableClient(client, factories.create_account(services, "Acme")[1])


@pytest.fixture(params=KIND_CONTRACTS, ids=lambda contract: contract.kind)
def contract(request: pytest.FixtureRequest) -> KindContract:
    kind_contract: KindContract = request.param
    return kind_contract


@pytest.fixture(scope="module")
def shared_server(
    module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SharedServer]:
    """Yield one server for many tests that place no order; its database must stay unchanged."""
    folder = tmp_path_factory.mktemp("shared")
    settings = factories.make_settings(folder, PROVIDER_DATABASE_URL=module_database_url)
    services = factories.build_services(settings, factories.ManualClock())
    app = create_app(services)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    client = WorkableClient(
        app.test_client(), factories.create_account(services, hosts=["*.workable.com"])[1]
    )
    yield SharedServer(
        services,
        client,
        {contract.kind: contract.create_product(services) for contract in KIND_CONTRACTS},
    )
    assert count_orders(services) == count_invitations(services) == 0
    services.db.close()

"""The published description is true: nothing is answered that it does not say."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import checks
from schemathesis.specs.openapi import checks as described

from provider.app import create_app
from provider.config import Settings
from provider.services import Services
from tests import factories
from tests.ats.workable_client import (
    EXAMPLES_FOLDER,
    KIND_CONTRACTS,
    KindContract,
    WorkableClient,
    complete_order,
)

HELD = [
    checks.not_a_server_error,
    described.status_code_conformance,
    described.content_type_conformance,
    described.response_schema_conformance,
    described.response_headers_conformance,
]
QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
NUMBERS = count()
POSITIVE, NEGATIVE = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE


@dataclass
class Office:
    """A server whose description is put to the test, and what it was seen to do."""

    asker: WorkableClient
    services: Services
    products: dict[str, str]
    orders: dict[str, list[str]] = field(
        default_factory=lambda: {contract.kind: [] for contract in KIND_CONTRACTS}
    )
    met: set[tuple[str, int]] = field(default_factory=set)

    def fit(self, case: Any) -> None:
        """Make what was invented meet what is there: a product, a host, an order."""
        contract = next(
            (contract for contract in KIND_CONTRACTS if contract.orders in case.path), None
        )
        if contract is None:
            return
        if isinstance(case.body, dict):
            url = f"https://a.workable.com/{next(NUMBERS)}"
            known = {contract.product_id: self.products[contract.kind], "callback_url": url}
            case.body = case.body | known
        elif case.path_parameters and self.orders[contract.kind]:
            case.path_parameters = {"order_id": self.orders[contract.kind][-1]}

    def note(self, response: Any, case: Any) -> None:
        """Remember what was answered; every second order is completed at once."""
        operation = case.operation.definition.raw["operationId"]
        self.met.add((operation, response.status_code))
        if response.status_code == 201:
            contract = next(contract for contract in KIND_CONTRACTS if contract.orders in case.path)
            made = self.orders[contract.kind]
            made.append(response.json()[contract.order_id])
            if len(made) % 2:
                complete_order(self.services, contract, made[-1])


@pytest.fixture(scope="module")
def office(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    told = Settings(instance=folder, database_url=module_database_url, secret_keys=(b"k" * 32,))
    services = Services.build(told, factories.ManualClock())
    app = create_app(services)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    token = factories.create_account(services, shared_ttl=120, shared_ttl_units="minutes")[1]
    asker = WorkableClient(app.test_client(), token)
    yield Office(
        asker,
        services,
        {contract.kind: contract.create_product(services) for contract in KIND_CONTRACTS},
    )
    services.db.close()


@pytest.fixture(scope="module")
def description(office: Office) -> Any:
    return schemathesis.openapi.from_wsgi("/openapi.json", office.asker.client.application)


OPERATIONS = [
    operation
    for kind, products in (
        ("assessment", "tests"),
        ("interview", "interview_templates"),
        ("check", "packages"),
    )
    for operation in (f"list_{products}", f"create_{kind}", f"get_{kind}", f"share_{kind}")
]


def test_every_operation_is_put_to_the_test(description: Any) -> None:
    names = [found.definition.raw["operationId"] for found in operations(description)]
    assert sorted(names) == sorted(OPERATIONS)


def operations(description: Any) -> list[Any]:
    return [found.ok() for found in description.get_all_operations()]


@pytest.mark.parametrize("name", OPERATIONS)
def test_nothing_is_answered_that_is_not_described(
    office: Office, description: Any, name: str
) -> None:
    operation = description.find_operation_by_id(name)
    good, bad = (operation.as_strategy(generation_mode=mode) for mode in (POSITIVE, NEGATIVE))

    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=QUIET)
    @given(case=good | bad, fitting=st.booleans())
    def hold(case: Any, fitting: bool) -> None:
        if fitting:
            office.fit(case)
        response = case.call(headers=office.asker.headers)
        office.note(response, case)
        case.validate_response(response, checks=[*HELD, *meant(case, fitting)])

    hold()


def meant(case: Any, fitting: bool) -> list[Any]:
    """Return the check of whether a body that is described as good was taken as such.

    Unless it fits it names no product and no listed host; and no description can say that a text
    should not hold NUL.
    """
    nul = "\\u0000" in json.dumps(case.body, default=str)
    good = case.meta.generation.mode == POSITIVE
    return [described.positive_data_acceptance] if fitting and good and not nul else []


def test_what_an_order_leads_to_is_described_too(office: Office, description: Any) -> None:
    office.met.clear()

    class Journey(description.as_state_machine()):  # type: ignore[misc]
        def before_call(self, case: Any) -> None:
            if case.method == "POST":  # else it is a link's: it leads to what was ordered before
                office.fit(case)

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": office.asker.headers}

        def after_call(self, response: Any, case: Any) -> None:
            office.note(response, case)

        def validate_response(self, response: Any, case: Any, **how: Any) -> None:
            case.validate_response(response, checks=[*HELD, described.ensure_resource_availability])

    Journey.run(
        settings=settings(
            max_examples=30,
            stateful_step_count=10,
            deadline=None,
            derandomize=True,
            suppress_health_check=QUIET,
            phases=[Phase.generate],
        )
    )
    followed = {
        f"{word}_{contract.kind}" for word in ("get", "share") for contract in KIND_CONTRACTS
    }
    assert {operation for operation, code in office.met if code == 200} >= followed


def test_the_description_is_one_by_its_own_standard(description: Any) -> None:
    description.validate()


def test_what_is_published_changes_only_on_purpose(description: Any) -> None:
    # After a change that is meant, with a server running:
    # curl localhost:8000/openapi.json | python -m json.tool --indent 1 --no-ensure-ascii FILE
    kept = json.loads((EXAMPLES_FOLDER / "openapi.json").read_text())
    published = description.raw_schema
    assert published.keys() == kept.keys()
    for part in kept.keys() - {"servers"}:
        assert published[part] == kept[part], part


@pytest.mark.parametrize("contract", KIND_CONTRACTS, ids=lambda contract: contract.kind)
def test_the_examples_are_the_documented_ones(description: Any, contract: KindContract) -> None:
    raw = description.raw_schema["paths"]
    order = raw[f"/{contract.orders}"]["post"]
    assert content(order["requestBody"])["example"] == contract.load_example("order")
    assert content(order["responses"]["201"])["example"] == contract.load_example("created")
    callback = order["callbacks"]["status"]["{$request.body#/callback_url}"]["put"]
    assert content(callback["requestBody"])["example"] == contract.load_example("status")
    polled = raw[f"/{contract.orders}/{{order_id}}"]["get"]["responses"]
    assert content(polled["200"])["example"] == contract.load_example("status")
    shared = raw[f"/{contract.orders}/{{order_id}}/shared-link"]["get"]["responses"]
    assert content(shared["200"])["example"] == contract.load_example("shared_link")
    assert content(polled["401"])["example"] == contract.load_example("error")
    listed = content(raw[f"/{contract.products}"]["get"]["responses"]["200"])["example"]
    assert list(listed) == [contract.products_key]


def test_every_operation_says_how_to_come_in_and_what_may_go_wrong(description: Any) -> None:
    for operation in operations(description):
        raw = operation.definition.raw
        assert raw["security"] == [{"bearer": []}]
        assert raw["summary"]
        assert {"401", "429", "500", "503"} <= set(raw["responses"])
        assert "default" not in raw["responses"]
        assert all(answer["description"] for answer in raw["responses"].values())


def test_every_field_is_explained(description: Any) -> None:
    for name, shape in description.raw_schema["components"]["schemas"].items():
        for field_name, said in shape["properties"].items():
            assert said.get("description"), f"{name}.{field_name}"


def content(part: dict[str, Any]) -> Any:
    """Return what is said of a body of JSON, which is all there is."""
    assert list(part["content"]) == ["application/json"]
    return part["content"]["application/json"]

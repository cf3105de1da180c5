"""The OpenAPI description matches every response of the server."""

import json
from base64 import b64encode
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
from provider.services import Services
from tests import factories
from tests.ats.workable_client import (
    EXAMPLES_FOLDER,
    KIND_CONTRACTS,
    KindContract,
    WorkableClient,
    complete_order,
)

RESPONSE_CHECKS = [
    checks.not_a_server_error,
    described.status_code_conformance,
    described.content_type_conformance,
    described.response_schema_conformance,
    described.response_headers_conformance,
]
SUPPRESSED_HEALTH_CHECKS = [
    HealthCheck.too_slow,
    HealthCheck.filter_too_much,
    HealthCheck.data_too_large,
]
CALLBACK_NUMBERS = count()
POSITIVE, NEGATIVE = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE


@dataclass
class ServerUnderTest:
    """A server under test, with its products, orders and observed responses."""

    client: WorkableClient
    greenhouse_key: str
    services: Services
    products: dict[str, str]
    orders: dict[str, list[str]] = field(
        default_factory=lambda: {contract.kind: [] for contract in KIND_CONTRACTS}
    )
    sent_tests: list[str] = field(default_factory=list)  # by Greenhouse
    observed: set[tuple[str, int]] = field(default_factory=set)  # operation, status code

    def headers(self, case: Any) -> dict[str, str]:
        """Return the headers of an authenticated call."""
        if case.path.startswith("/greenhouse/"):
            credentials = b64encode(f"{self.greenhouse_key}:".encode()).decode()
            return {"Authorization": f"Basic {credentials}"}
        return self.client.headers

    def use_existing_ids(self, case: Any) -> None:
        """Put an existing product, an allowed host and an existing order into a generated case."""
        if case.path == "/greenhouse/send_test" and isinstance(case.body, dict):
            url = f"https://app.greenhouse.io/{next(CALLBACK_NUMBERS)}"
            test = {"partner_test_id": self.products["assessment"], "url": url}
            case.body = case.body | test
        elif case.path == "/greenhouse/test_status" and self.sent_tests:
            case.query = {"partner_interview_id": self.sent_tests[-1]}
        contract = next(
            (contract for contract in KIND_CONTRACTS if contract.orders in case.path), None
        )
        if contract is None:
            return
        if isinstance(case.body, dict):
            url = f"https://a.workable.com/{next(CALLBACK_NUMBERS)}"
            existing = {contract.product_id: self.products[contract.kind], "callback_url": url}
            case.body = case.body | existing
        elif case.path_parameters and self.orders[contract.kind]:
            case.path_parameters = {"order_id": self.orders[contract.kind][-1]}

    def record(self, response: Any, case: Any) -> None:
        """Record a response, and complete every second new order."""
        operation = case.operation.definition.raw["operationId"]
        self.observed.add((operation, response.status_code))
        if operation == "greenhouse_send_test" and response.status_code == 200:
            self.sent_tests.append(response.json()["partner_interview_id"])
        if response.status_code == 201:
            contract = next(contract for contract in KIND_CONTRACTS if contract.orders in case.path)
            order_ids = self.orders[contract.kind]
            order_ids.append(response.json()[contract.order_id])
            if len(order_ids) % 2:
                complete_order(self.services, contract, order_ids[-1])


@pytest.fixture(scope="module")
def tested_server(
    module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerUnderTest]:
    folder = tmp_path_factory.mktemp("openapi")
    settings_ = factories.make_settings(folder, PROVIDER_DATABASE_URL=module_database_url)
    services = factories.build_services(settings_, factories.ManualClock())
    app = create_app(services)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    token = factories.create_account(services, shared_ttl=120, shared_ttl_units="minutes")[1]
    client = WorkableClient(app.test_client(), token)
    greenhouse_key = factories.create_account(
        services, "Acme", ats="greenhouse", hosts=["*.greenhouse.io"]
    )[1]
    yield ServerUnderTest(
        client,
        greenhouse_key,
        services,
        {contract.kind: contract.create_product(services) for contract in KIND_CONTRACTS},
    )
    services.db.close()


@pytest.fixture(scope="module")
def description(tested_server: ServerUnderTest) -> Any:
    return schemathesis.openapi.from_wsgi("/openapi.json", tested_server.client.client.application)


WORKABLE_OPERATIONS = [
    operation
    for kind, products in (
        ("assessment", "tests"),
        ("interview", "interview_templates"),
        ("check", "packages"),
    )
    for operation in (f"list_{products}", f"create_{kind}", f"get_{kind}", f"share_{kind}")
]
GREENHOUSE_OPERATIONS = [
    f"greenhouse_{name}" for name in ("list_tests", "send_test", "test_status", "response_error")
]
OPERATIONS = [*WORKABLE_OPERATIONS, *GREENHOUSE_OPERATIONS]


def test_operations_list_is_complete(description: Any) -> None:
    names = [operation.definition.raw["operationId"] for operation in operations(description)]
    assert sorted(names) == sorted(OPERATIONS)


def operations(description: Any) -> list[Any]:
    return [operation.ok() for operation in description.get_all_operations()]


@pytest.mark.parametrize("name", OPERATIONS)
def test_response_conforms_to_description(
    tested_server: ServerUnderTest, description: Any, name: str
) -> None:
    operation = description.find_operation_by_id(name)
    valid, invalid = (operation.as_strategy(generation_mode=mode) for mode in (POSITIVE, NEGATIVE))

    @settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        suppress_health_check=SUPPRESSED_HEALTH_CHECKS,
    )
    @given(case=valid | invalid, has_existing_ids=st.booleans())
    def check_response(case: Any, has_existing_ids: bool) -> None:
        if has_existing_ids:
            tested_server.use_existing_ids(case)
        response = case.call(headers=tested_server.headers(case))
        tested_server.record(response, case)
        case.validate_response(
            response, checks=[*RESPONSE_CHECKS, *acceptance_checks(case, has_existing_ids)]
        )

    check_response()


def acceptance_checks(case: Any, has_existing_ids: bool) -> list[Any]:
    """Return the check that a valid body is accepted, where the description guarantees that.

    Other bodies name no existing product and no allowed host. A schema cannot exclude NUL.
    """
    has_nul = "\\u0000" in json.dumps(case.body, default=str)
    is_valid = case.meta.generation.mode == POSITIVE
    if has_existing_ids and is_valid and not has_nul:
        return [described.positive_data_acceptance]
    return []


def test_linked_operations_conform_to_description(
    tested_server: ServerUnderTest, description: Any
) -> None:
    tested_server.observed.clear()
    for order_ids in tested_server.orders.values():
        order_ids.clear()  # the first new order of a kind is completed, whatever ran before

    workable = description.exclude(path_regex="^/greenhouse/")  # without links

    class LinkMachine(workable.as_state_machine()):  # type: ignore[misc]
        def before_call(self, case: Any) -> None:
            if case.method == "POST":  # other cases come from links, with the ids of earlier orders
                tested_server.use_existing_ids(case)

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": tested_server.client.headers}

        def after_call(self, response: Any, case: Any) -> None:
            tested_server.record(response, case)

        def validate_response(self, response: Any, case: Any, **options: Any) -> None:
            case.validate_response(
                response, checks=[*RESPONSE_CHECKS, described.ensure_resource_availability]
            )

    LinkMachine.run(
        settings=settings(
            max_examples=30,  # so that each link is followed, whatever constants Hypothesis finds
            stateful_step_count=10,
            deadline=None,
            derandomize=True,
            suppress_health_check=SUPPRESSED_HEALTH_CHECKS,
            phases=[Phase.generate],
        )
    )
    linked_operations = {
        f"{name}_{contract.kind}" for name in ("get", "share") for contract in KIND_CONTRACTS
    }
    assert {
        operation for operation, code in tested_server.observed if code == 200
    } >= linked_operations


def test_description_is_valid_openapi(description: Any) -> None:
    description.validate()


def test_description_equals_stored_file(description: Any) -> None:
    # After an intended change, with a running server:
    # curl localhost:8000/openapi.json | python -m json.tool --indent 1 --no-ensure-ascii FILE
    stored = json.loads((EXAMPLES_FOLDER / "openapi.json").read_text())
    published = description.raw_schema
    assert published.keys() == stored.keys()
    for part in stored.keys() - {"servers"}:
        assert published[part] == stored[part], part


@pytest.mark.parametrize("contract", KIND_CONTRACTS, ids=lambda contract: contract.kind)
def test_examples_equal_workable_documentation(description: Any, contract: KindContract) -> None:
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


def test_operation_describes_security_and_errors(description: Any) -> None:
    for operation in operations(description):
        raw = operation.definition.raw
        scheme = "basic" if operation.path.startswith("/greenhouse/") else "bearer"
        assert raw["security"] == [{scheme: []}]
        assert raw["summary"]
        assert {"401", "429", "500", "503"} <= set(raw["responses"])
        assert "default" not in raw["responses"]
        assert all(answer["description"] for answer in raw["responses"].values())


def test_every_field_has_description(description: Any) -> None:
    for name, schema in description.raw_schema["components"]["schemas"].items():
        for field_name, field_schema in schema["properties"].items():
            assert field_schema.get("description"), f"{name}.{field_name}"


def content(part: dict[str, Any]) -> Any:
    """Return the description of a body, which must be JSON only."""
    assert list(part["content"]) == ["application/json"]
    return part["content"]["application/json"]

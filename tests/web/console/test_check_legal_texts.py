"""The console's page of a legal text, which the digest on a consent leads to."""

import io
import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from provider.services import Services
from tests import check_factories, factories
from tests.web.console_client import ConsoleClient


@pytest.fixture
def console(services: Services, client: FlaskClient) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client, "adjudicator")


def test_consent_leads_to_the_text_of_its_digest(
    services: Services, console: ConsoleClient
) -> None:
    check_id = check_factories.place_check(services)
    check_factories.give_consent(services, check_id)
    page = console.get_text(f"/console/checks/{check_id}/")
    match = re.search(r'href="(/console/legal-texts/[0-9a-f]{64})"', page)
    assert match
    page = console.get_text(match[1])
    assert "<dd><code>jobs</code>, version 3</dd>" in page
    assert "We may <strong>ask</strong> around." in page
    assert "sample" not in page


def test_sample_text_is_marked_on_its_page(services: Services, console: ConsoleClient) -> None:
    terms = check_factories.PACKAGE_CONTENT["disclosure"] | {"sample": True}
    account_id, _ = factories.create_account(services, sandbox=True)
    package_id = check_factories.create_package(services, disclosure=terms)
    check_id = factories.place_order(services, account_id, package_id, "check")
    check_factories.give_consent(services, check_id)
    page = console.get_text(f"/console/checks/{check_id}/")
    match = re.search(r'href="(/console/legal-texts/[0-9a-f]{64})"', page)
    assert match
    assert "This text is a sample" in console.get_text(match[1])


@pytest.mark.parametrize("digest", ["0" * 64, "a"])
def test_unknown_digest_is_not_found(console: ConsoleClient, digest: str) -> None:
    assert console.client.get(f"/console/legal-texts/{digest}").status_code == 404


def test_texts_sent_with_a_document_are_imported(services: Services, app: Flask) -> None:
    console = ConsoleClient.signed_in(services, app.test_client(), "author")
    document = (
        "kind: check\nkey: a\nname: A\nscreenings: [{key: identity, name: Identity}]\n"
        "disclosure:\n  file: legal/terms.md\n"
    )
    terms = "---\nkey: terms\nversion: '1'\n---\nWe may **look**."
    path = "/console/products/"
    response = console.submit(
        f"{path}import",
        page=path,
        file=[
            (io.BytesIO(document.encode()), "a.yaml"),
            (io.BytesIO(terms.encode()), "terms.md"),
        ],
    )
    assert "We may <strong>look</strong>." in console.get_text(response.location)
    response = console.submit(
        f"{path}import", page=path, file=(io.BytesIO(document.encode()), "a.yaml")
    )
    assert "disclosure.file: legal/terms.md cannot be read" in response.text

"""Saved views of the list of orders: save, share, rename, delete, and who may."""

import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from provider.core.audit import AuditEntry
from provider.core.staff import SavedView, saved_view
from provider.services import Services
from tests import factories
from tests.web.console_client import ORDERS_PATH, ConsoleClient

VIEWS_PATH = f"{ORDERS_PATH}views/"


def save(console: ConsoleClient, name: str, *, is_shared: bool = False, **filters: str) -> int:
    form = filters or {"status": "pending"}
    if is_shared:
        form["is_shared"] = "1"
    return console.submit(VIEWS_PATH, name=name, **form).status_code


def views_in(page: str) -> list[tuple[str, str]]:
    """Return the name and the address of each view of the list's page."""
    pattern = r'<li><a href="([^"]+)"[^>]*><bdi>([^<]+)</bdi>'
    return [(name, url) for url, name in re.findall(pattern, page)]


def view_id(services: Services, name: str) -> str:
    with services.db.reading() as session:
        return session.scalars(select(SavedView.public_id).where(SavedView.name == name)).one()


def audit_entries(services: Services) -> list[tuple[str, object, object]]:
    with services.db.reading() as session:
        return [
            (entry.action, entry.before, entry.after)
            for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.id))
            if entry.subject.startswith("view:")
        ]


def test_saved_view_opens_the_list_with_its_filter(services: Services, client: FlaskClient) -> None:
    factories.create_account(services)
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(f"{ORDERS_PATH}?status=completed&from=2026-11-01&q=zenobia")
    assert "Save this filter as a view" in page
    assert "The text of the search is not saved" in page
    form = {"status": "completed", "from": "2026-11-01", "q": "zenobia"}
    assert console.submit(VIEWS_PATH, name=" Done in  November ", **form).status_code == 302
    ((name, url),) = views_in(console.get_text(ORDERS_PATH))
    assert (name, url) == (
        "Done in November",
        f"{ORDERS_PATH}?status=completed&from=2026-11-01",
    )
    page = console.get_text(url)
    assert f'<a href="{url}" aria-current="page">' in page
    with services.db.reading() as session:
        view = session.scalars(select(SavedView)).one()
    assert view.filters == {"status": "completed", "from": "2026-11-01"}
    assert "Status: Completed; Placed from: 2026-11-01. Only for you." in console.get_text(
        VIEWS_PATH
    )


def test_list_without_filter_offers_nothing_to_save(
    services: Services, client: FlaskClient
) -> None:
    console = ConsoleClient.signed_in(services, client)
    assert "as a view" not in console.get_text(f"{ORDERS_PATH}?q=zenobia")
    response = console.submit(VIEWS_PATH, name="All", q="zenobia")
    assert response.status_code == 400
    assert "A view needs a filter" in response.text
    assert "No view is saved" in console.get_text(VIEWS_PATH)


@pytest.mark.both
def test_only_a_shared_view_is_seen_by_colleagues(services: Services, client: FlaskClient) -> None:
    owner = ConsoleClient.signed_in(services, client)
    save(owner, "Mine")
    save(owner, "Ours", is_shared=True)
    assert [name for name, _ in views_in(owner.get_text(ORDERS_PATH))] == ["Mine", "Ours"]
    colleague = ConsoleClient.signed_in(services, client, "viewer")
    assert [name for name, _ in views_in(colleague.get_text(ORDERS_PATH))] == ["Ours"]
    page = colleague.get_text(VIEWS_PATH)
    assert "Shared by operator@provider.test" in page
    assert '<form class="console-view-form"' not in page
    mine, ours = (f"{VIEWS_PATH}{view_id(services, name)}" for name in ("Mine", "Ours"))
    for path, status in ((mine, 404), (ours, 403)):
        assert colleague.submit(path, name="Taken").status_code == status
        assert colleague.submit(f"{path}/delete").status_code == status
    assert view_id(services, "Mine")
    assert view_id(services, "Ours")


def test_admin_deletes_a_shared_view_of_others_but_does_not_change_it(
    services: Services, client: FlaskClient
) -> None:
    save(ConsoleClient.signed_in(services, client), "Ours", is_shared=True)
    admin = ConsoleClient.signed_in(services, client, "admin")
    path = f"{VIEWS_PATH}{view_id(services, 'Ours')}"
    assert admin.submit(path, name="Taken").status_code == 403
    assert admin.submit(f"{path}/delete").status_code == 302
    assert views_in(admin.get_text(ORDERS_PATH)) == []


def test_only_acts_on_shared_views_are_in_the_audit_log(
    services: Services, client: FlaskClient
) -> None:
    console = ConsoleClient.signed_in(services, client)
    save(console, "Mine")
    path = f"{VIEWS_PATH}{view_id(services, 'Mine')}"
    console.submit(path, name="Mine alone")
    assert audit_entries(services) == []
    console.submit(path, name="Ours", is_shared="1")
    console.submit(path, name="For all", is_shared="1")
    console.submit(path, name="For all")
    console.submit(f"{path}/delete")  # of an own view
    save(console, "Other", is_shared=True)
    console.submit(f"{VIEWS_PATH}{view_id(services, 'Other')}/delete")
    shared = {"is_shared": True, "status": "pending"}
    assert audit_entries(services) == [
        ("saved_view.shared", None, {"name": "Ours"} | shared),
        ("saved_view.changed", {"name": "Ours"}, {"name": "For all"}),
        ("saved_view.changed", {"is_shared": True}, {"is_shared": False}),
        ("saved_view.shared", None, {"name": "Other"} | shared),
        ("saved_view.deleted", {"name": "Other"} | shared, None),
    ]
    assert "Shared view deleted" in ConsoleClient.signed_in(services, client, "admin").get_text(
        "/console/audit/"
    )


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "a\x00b", "a\u202eb"])
def test_view_with_a_wrong_name_is_refused(
    services: Services, client: FlaskClient, name: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    assert save(console, name) == 400
    assert save(console, "Mine") == 302
    path = f"{VIEWS_PATH}{view_id(services, 'Mine')}"
    assert console.submit(path, name=name).status_code == 400
    assert view_id(services, "Mine")


@pytest.mark.both
def test_two_views_of_one_person_have_different_names(
    services: Services, client: FlaskClient
) -> None:
    console = ConsoleClient.signed_in(services, client)
    assert [save(console, name) for name in ("Mine", "Other", "Mine ")] == [302, 302, 409]
    path = f"{VIEWS_PATH}{view_id(services, 'Other')}"
    assert console.submit(path, name="Mine").status_code == 409
    assert console.submit(path, name="Other", is_shared="1").status_code == 302
    assert save(ConsoleClient.signed_in(services, client, "viewer"), "Mine") == 302


def test_number_of_views_of_one_person_is_limited(
    services: Services, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_view, "MAX_VIEWS", 2)
    console = ConsoleClient.signed_in(services, client)
    assert [save(console, name) for name in "abc"] == [302, 302, 409]
    assert save(ConsoleClient.signed_in(services, client, "viewer"), "a") == 302


def test_view_of_an_unknown_id_is_not_found(services: Services, client: FlaskClient) -> None:
    console = ConsoleClient.signed_in(services, client)
    for view in ("nothing", "x" * 300, "%00"):
        assert console.submit(f"{VIEWS_PATH}{view}", name="Mine").status_code == 404
        assert console.submit(f"{VIEWS_PATH}{view}/delete").status_code == 404

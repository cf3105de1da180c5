"""The permission of every console view, and what each role may therefore do."""

import re
from collections.abc import Iterator, Mapping
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

import provider
from provider.app import create_app
from provider.core.staff import ROLE_PERMISSIONS, Permission
from provider.delivery.dispatcher import Dispatcher
from provider.services import Services
from tests import check_factories, factories, interview_factories
from tests.web.console.test_browser import ConsoleServer
from tests.web.console.test_browser import console as console
from tests.web.console.test_browser import url as url
from tests.web.console_client import ConsoleClient

PUBLIC, ANY_ROLE = "public", "any role"
# Route (endpoint without `console.`, and methods) → what it requires.
REQUIREMENTS: Mapping[tuple[str, str], Permission | str] = {
    ("home.overview", "GET"): ANY_ROLE,
    ("sign_in.sign_in", "GET"): PUBLIC,
    ("sign_in.sign_in", "POST"): PUBLIC,
    ("sign_in.second_step", "GET"): PUBLIC,
    ("sign_in.second_step", "POST"): PUBLIC,
    ("sign_in.sign_out", "POST"): ANY_ROLE,
    ("openid.begin", "GET"): PUBLIC,
    ("openid.finish", "GET"): PUBLIC,
    ("passwords.forgotten", "GET"): PUBLIC,
    ("passwords.forgotten", "POST"): PUBLIC,
    ("passwords.reset", "GET"): PUBLIC,
    ("passwords.reset", "POST"): PUBLIC,
    ("passwords.join", "GET"): PUBLIC,
    ("passwords.join", "POST"): PUBLIC,
    ("own_account.detail", "GET"): ANY_ROLE,
    ("own_account.set_password", "POST"): ANY_ROLE,
    ("own_account.set_up_second_step", "GET"): ANY_ROLE,
    ("own_account.set_up_second_step", "POST"): ANY_ROLE,
    ("own_account.renew_codes", "POST"): ANY_ROLE,
    ("own_account.remove_second_step", "POST"): ANY_ROLE,
    ("own_account.end_session", "POST"): ANY_ROLE,
    ("passkeys.begin_registration", "POST"): ANY_ROLE,
    ("passkeys.add", "POST"): ANY_ROLE,
    ("passkeys.remove", "POST"): ANY_ROLE,
    ("passkeys.begin_sign_in", "POST"): PUBLIC,
    ("passkeys.finish_sign_in", "POST"): PUBLIC,
    # The page of oneself; the switch is for those who see deliveries.
    ("own_account.choose_alerts", "POST"): Permission.VIEW_DELIVERIES,
    ("people.choose_alerts", "POST"): Permission.MANAGE_STAFF,
    ("own_account.choose_marking_emails", "POST"): Permission.RATE_INTERVIEWS,
    ("people.choose_marking_emails", "POST"): Permission.MANAGE_STAFF,
    ("people.listing", "GET"): Permission.MANAGE_STAFF,
    ("people.detail", "GET"): Permission.MANAGE_STAFF,
    ("people.send_invitation", "POST"): Permission.MANAGE_STAFF,
    ("people.withdraw", "POST"): Permission.MANAGE_STAFF,
    ("people.set_role", "POST"): Permission.MANAGE_STAFF,
    ("people.set_accounts", "POST"): Permission.MANAGE_STAFF,
    ("people.perform", "POST"): Permission.MANAGE_STAFF,
    ("orders.listing", "GET"): Permission.VIEW_ORDERS,
    ("orders.detail", "GET"): Permission.VIEW_ORDERS,
    ("presence.current", "GET"): Permission.VIEW_ORDERS,
    ("order_export.download", "POST"): Permission.VIEW_ORDERS,
    ("saved_views.listing", "GET"): Permission.VIEW_ORDERS,
    ("saved_views.create", "POST"): Permission.VIEW_ORDERS,
    ("saved_views.change", "POST"): Permission.VIEW_ORDERS,
    ("saved_views.delete", "POST"): Permission.VIEW_ORDERS,
    ("order_actions.confirm", "GET"): Permission.MANAGE_ORDERS,
    ("order_actions.perform", "POST"): Permission.MANAGE_ORDERS,
    ("order_actions.show_link", "POST"): Permission.MANAGE_ORDERS,
    ("bulk_actions.preview", "GET"): Permission.MANAGE_ORDERS,
    ("bulk_actions.perform", "POST"): Permission.MANAGE_ORDERS,
    ("bulk_runs.listing", "GET"): Permission.MANAGE_ORDERS,
    ("bulk_runs.detail", "GET"): Permission.MANAGE_ORDERS,
    ("bulk_runs.progress", "GET"): Permission.MANAGE_ORDERS,
    ("bulk_runs.stop", "POST"): Permission.MANAGE_ORDERS,
    ("bulk_runs.confirm_undo", "GET"): Permission.MANAGE_ORDERS,
    ("bulk_runs.undo", "POST"): Permission.MANAGE_ORDERS,
    # Both also require MANAGE_ORDERS, which every role with this permission has.
    ("order_erasure.confirm", "GET"): Permission.MANAGE_ACCOUNTS,
    ("order_erasure.erase", "POST"): Permission.MANAGE_ACCOUNTS,
    ("interviews.detail", "GET"): Permission.VIEW_RESULTS,
    ("interviews.media_file", "GET"): Permission.VIEW_RESULTS,
    ("interviews.download_original", "GET"): Permission.VIEW_RESULTS,
    ("interview_trial.step", "GET"): Permission.EDIT_PRODUCTS,
    ("interviews.files.answer_file", "GET"): Permission.VIEW_RESULTS,
    ("interviews.captions", "GET"): Permission.VIEW_RESULTS,
    ("interviews.reviews.save_rating", "POST"): Permission.RATE_INTERVIEWS,
    ("interviews.reviews.save_overall", "POST"): Permission.RATE_INTERVIEWS,
    ("interviews.reviews.submit_scorecard", "POST"): Permission.RATE_INTERVIEWS,
    ("interviews.reviews.take_back_scorecard", "POST"): Permission.RATE_INTERVIEWS,
    ("interviews.reviews.observe", "POST"): Permission.RATE_INTERVIEWS,
    ("interviews.reviews.assign", "POST"): Permission.MANAGE_ORDERS,
    ("interviews.reviews.unassign", "POST"): Permission.MANAGE_ORDERS,
    ("interviews.reviews.add_note", "POST"): Permission.RATE_INTERVIEWS,
    ("interviews.reviews.delete_note", "POST"): Permission.RATE_INTERVIEWS,
    ("interviews.completion.confirm", "GET"): Permission.RATE_INTERVIEWS,
    ("interviews.completion.complete", "POST"): Permission.RATE_INTERVIEWS,
    ("interviews.captioning.edit", "GET"): Permission.RATE_INTERVIEWS,
    ("interviews.captioning.save", "POST"): Permission.RATE_INTERVIEWS,
    ("interviews.captioning.delete", "POST"): Permission.RATE_INTERVIEWS,
    ("interviews.captioning.transcribe", "POST"): Permission.RATE_INTERVIEWS,
    ("marking.listing", "GET"): Permission.RATE_INTERVIEWS,
    ("marking.take_next", "POST"): Permission.RATE_INTERVIEWS,
    ("marking.detail", "GET"): Permission.RATE_INTERVIEWS,
    ("marking.save", "POST"): Permission.RATE_INTERVIEWS,
    ("marking.take", "POST"): Permission.RATE_INTERVIEWS,
    ("marking.give_back", "POST"): Permission.RATE_INTERVIEWS,
    ("marking.correct", "POST"): Permission.RATE_INTERVIEWS,
    ("second_looks.detail", "GET"): Permission.RATE_INTERVIEWS,
    ("second_looks.save", "POST"): Permission.RATE_INTERVIEWS,
    ("checks.detail", "GET"): Permission.VIEW_RESULTS,
    ("checks.consent.download_evidence", "POST"): Permission.DECIDE_CHECKS,
    ("checks.details.listing", "GET"): Permission.DECIDE_CHECKS,
    ("checks.details.reveal", "POST"): Permission.DECIDE_CHECKS,
    ("disputes.listing", "GET"): Permission.DECIDE_CHECKS,
    ("disputes.detail", "GET"): Permission.DECIDE_CHECKS,
    ("disputes.save", "POST"): Permission.DECIDE_CHECKS,
    ("checks.save_outcomes", "POST"): Permission.DECIDE_CHECKS,
    ("checks.documents.detail", "GET"): Permission.DECIDE_CHECKS,
    ("checks.documents.open_document", "POST"): Permission.DECIDE_CHECKS,
    ("checks.documents.page_picture", "GET"): Permission.DECIDE_CHECKS,
    ("checks.documents.ask_for_another", "POST"): Permission.DECIDE_CHECKS,
    ("checks.confirm_completion", "GET"): Permission.DECIDE_CHECKS,
    ("checks.complete", "POST"): Permission.DECIDE_CHECKS,
    ("screenings.listing", "GET"): Permission.DECIDE_CHECKS,
    ("checks.work.detail", "GET"): Permission.DECIDE_CHECKS,
    ("checks.work.take", "POST"): Permission.DECIDE_CHECKS,
    ("checks.work.pass_on", "POST"): Permission.DECIDE_CHECKS,
    ("checks.work.release", "POST"): Permission.DECIDE_CHECKS,
    ("checks.work.save_outcome", "POST"): Permission.DECIDE_CHECKS,
    ("checks.questions.create", "POST"): Permission.DECIDE_CHECKS,
    ("checks.questions.take_back", "POST"): Permission.DECIDE_CHECKS,
    ("checks.records.create", "POST"): Permission.DECIDE_CHECKS,
    ("checks.records.edit", "GET"): Permission.DECIDE_CHECKS,
    ("checks.records.correct", "POST"): Permission.DECIDE_CHECKS,
    ("checks.records.remove", "POST"): Permission.DECIDE_CHECKS,
    ("checks.additions.form", "GET"): Permission.DECIDE_CHECKS,
    ("checks.additions.create", "POST"): Permission.DECIDE_CHECKS,
    ("checks.decisions.confirm_proposal", "POST"): Permission.DECIDE_CHECKS,
    ("checks.decisions.send_proposal_back", "POST"): Permission.DECIDE_CHECKS,
    ("checks.decisions.revision", "GET"): Permission.DECIDE_CHECKS,
    ("checks.decisions.save_revision", "POST"): Permission.DECIDE_CHECKS,
    ("checks.adverse.detail", "GET"): Permission.DECIDE_CHECKS,
    ("checks.adverse.perform", "POST"): Permission.DECIDE_CHECKS,
    ("checks.adverse.deliver", "POST"): Permission.DECIDE_CHECKS,
    ("checks.adverse.notice_pdf", "GET"): Permission.DECIDE_CHECKS,
    ("renewals.listing", "GET"): Permission.DECIDE_CHECKS,
    ("renewals.close", "POST"): Permission.DECIDE_CHECKS,
    ("checks.outside.detail", "GET"): Permission.DECIDE_CHECKS,
    ("checks.outside.ask", "POST"): Permission.DECIDE_CHECKS,
    ("checks.outside.revoke", "POST"): Permission.DECIDE_CHECKS,
    ("checks.outside.send_to_vendor_again", "POST"): Permission.DECIDE_CHECKS,
    ("checks.outside.take_over", "POST"): Permission.DECIDE_CHECKS,
    ("deliveries.listing", "GET"): Permission.VIEW_DELIVERIES,
    ("deliveries.detail", "GET"): Permission.VIEW_DELIVERIES,
    ("deliveries.requeue", "POST"): Permission.MANAGE_DELIVERIES,
    ("deliveries.probe", "POST"): Permission.MANAGE_DELIVERIES,
    ("deliveries.confirm_requeue_all", "GET"): Permission.MANAGE_DELIVERIES,
    ("deliveries.requeue_all", "POST"): Permission.MANAGE_DELIVERIES,
    ("alerts.listing", "GET"): Permission.VIEW_DELIVERIES,
    ("alerts.acknowledge", "POST"): Permission.MANAGE_DELIVERIES,
    ("alerts.snooze", "POST"): Permission.MANAGE_DELIVERIES,
    ("emails.listing", "GET"): Permission.VIEW_DELIVERIES,
    ("products.listing", "GET"): Permission.VIEW_PRODUCTS,
    ("products.detail", "GET"): Permission.VIEW_PRODUCTS,
    ("assessments.answer_file", "GET"): Permission.VIEW_RESULTS,
    ("marking.answer_file", "GET"): Permission.RATE_INTERVIEWS,
    ("marking.answer_picture", "GET"): Permission.RATE_INTERVIEWS,
    ("products.version_file", "GET"): Permission.VIEW_PRODUCTS,
    ("product_actions.confirm", "GET"): Permission.EDIT_PRODUCTS,
    ("product_actions.perform", "POST"): Permission.EDIT_PRODUCTS,
    ("running_attempts.confirm", "GET"): Permission.MANAGE_ORDERS,
    ("running_attempts.extend", "POST"): Permission.MANAGE_ORDERS,
    ("product_import.perform", "POST"): Permission.EDIT_PRODUCTS,
    ("rescoring.detail", "GET"): Permission.EDIT_PRODUCTS,
    ("rescoring.progress", "GET"): Permission.EDIT_PRODUCTS,
    ("rescoring.start", "POST"): Permission.EDIT_PRODUCTS,
    ("product_creation.form", "GET"): Permission.EDIT_PRODUCTS,
    ("product_creation.create", "POST"): Permission.EDIT_PRODUCTS,
    ("editor.show", "GET"): Permission.EDIT_PRODUCTS,
    ("editor.change", "POST"): Permission.EDIT_PRODUCTS,
    ("editor.add", "POST"): Permission.EDIT_PRODUCTS,
    ("editor.confirm_removal", "GET"): Permission.EDIT_PRODUCTS,
    ("editor.remove", "POST"): Permission.EDIT_PRODUCTS,
    ("editor.confirm_discard", "GET"): Permission.EDIT_PRODUCTS,
    ("editor.discard", "POST"): Permission.EDIT_PRODUCTS,
    ("editor_entry.show", "GET"): Permission.EDIT_PRODUCTS,
    ("editor_entry.save", "POST"): Permission.EDIT_PRODUCTS,
    ("editor_entry.preview", "GET"): Permission.EDIT_PRODUCTS,
    ("editor_pieces.begin", "POST"): Permission.EDIT_PRODUCTS,
    ("editor_pieces.send_piece", "POST"): Permission.EDIT_PRODUCTS,
    ("editor_pieces.finish", "POST"): Permission.EDIT_PRODUCTS,
    ("editor_files.poster", "GET"): Permission.EDIT_PRODUCTS,
    ("editor_files.show", "GET"): Permission.EDIT_PRODUCTS,
    ("editor_publish.confirm", "GET"): Permission.EDIT_PRODUCTS,
    ("editor_publish.perform", "POST"): Permission.EDIT_PRODUCTS,
    ("editor_upload.perform", "POST"): Permission.EDIT_PRODUCTS,
    ("product_versions.comparison", "GET"): Permission.VIEW_PRODUCTS,
    ("product_versions.download", "GET"): Permission.VIEW_PRODUCTS,
    ("product_versions.download_with_files", "GET"): Permission.VIEW_PRODUCTS,
    ("assessment_trial.start", "GET"): Permission.EDIT_PRODUCTS,
    ("assessment_trial.item", "GET"): Permission.EDIT_PRODUCTS,
    ("assessment_trial.answer", "POST"): Permission.EDIT_PRODUCTS,
    ("assessment_trial.pause", "GET"): Permission.EDIT_PRODUCTS,
    ("assessment_trial.remaining_time", "GET"): Permission.EDIT_PRODUCTS,
    ("assessment_trial.end", "GET"): Permission.EDIT_PRODUCTS,
    ("accounts.listing", "GET"): Permission.VIEW_ACCOUNTS,
    ("accounts.detail", "GET"): Permission.VIEW_ACCOUNTS,
    ("accounts.setup", "GET"): Permission.VIEW_ACCOUNTS,
    ("account_creation.choose", "GET"): Permission.CREATE_ACCOUNTS,
    ("account_creation.create", "POST"): Permission.CREATE_ACCOUNTS,
    ("account_emails.listing", "GET"): Permission.MANAGE_ACCOUNTS,
    ("account_emails.detail", "GET"): Permission.MANAGE_ACCOUNTS,
    ("account_emails.save", "POST"): Permission.MANAGE_ACCOUNTS,
    ("account_emails.send_sample", "POST"): Permission.MANAGE_ACCOUNTS,
    ("adjudication.detail", "GET"): Permission.MANAGE_ACCOUNTS,
    ("adjudication.save", "POST"): Permission.MANAGE_ACCOUNTS,
    ("adjudication.try_draft", "GET"): Permission.MANAGE_ACCOUNTS,
    ("adjudication.activate", "POST"): Permission.MANAGE_ACCOUNTS,
    ("adjudication.retire", "POST"): Permission.MANAGE_ACCOUNTS,
    ("notice_texts.listing", "GET"): Permission.MANAGE_ACCOUNTS,
    ("notice_texts.detail", "GET"): Permission.MANAGE_ACCOUNTS,
    ("notice_texts.save", "POST"): Permission.MANAGE_ACCOUNTS,
    ("notice_texts.end", "POST"): Permission.MANAGE_ACCOUNTS,
    ("account_settings.detail", "GET"): Permission.MANAGE_ACCOUNTS,
    ("account_settings.save", "POST"): Permission.MANAGE_ACCOUNTS,
    ("account_settings.save_logo", "POST"): Permission.MANAGE_ACCOUNTS,
    ("account_settings.product_choice", "GET"): Permission.MANAGE_ACCOUNTS,
    ("account_settings.save_product_choice", "POST"): Permission.MANAGE_ACCOUNTS,
    ("account_tokens.detail", "GET"): Permission.MANAGE_ACCOUNTS,
    ("account_tokens.issue", "POST"): Permission.MANAGE_ACCOUNTS,
    ("account_tokens.confirm_revocation", "GET"): Permission.MANAGE_ACCOUNTS,
    ("account_tokens.revoke", "POST"): Permission.MANAGE_ACCOUNTS,
    ("account_tokens.save_secret", "POST"): Permission.MANAGE_ACCOUNTS,
    ("connectors.listing", "GET"): Permission.MANAGE_ACCOUNTS,
    ("connectors.begin", "GET"): Permission.MANAGE_ACCOUNTS,
    ("connectors.create", "POST"): Permission.MANAGE_ACCOUNTS,
    ("connectors.detail", "GET"): Permission.MANAGE_ACCOUNTS,
    ("connectors.edit", "GET"): Permission.MANAGE_ACCOUNTS,
    ("connectors.save", "POST"): Permission.MANAGE_ACCOUNTS,
    ("connectors.replace_key", "POST"): Permission.MANAGE_ACCOUNTS,
    ("connectors.send_test", "POST"): Permission.MANAGE_ACCOUNTS,
    ("connectors.switch", "POST"): Permission.MANAGE_ACCOUNTS,
    ("connections.detail", "GET"): Permission.VIEW_ACCOUNTS,
    ("connections.check", "POST"): Permission.MANAGE_ACCOUNTS,
    ("connections.ask_consent", "POST"): Permission.MANAGE_ACCOUNTS,
    ("connections.finish_consent", "GET"): Permission.MANAGE_ACCOUNTS,
    ("connections.change_setting", "POST"): Permission.MANAGE_ACCOUNTS,
    ("connections.disconnect", "POST"): Permission.MANAGE_ACCOUNTS,
    ("connections.create_rule", "POST"): Permission.MANAGE_ACCOUNTS,
    ("connections.remove_rule", "POST"): Permission.MANAGE_ACCOUNTS,
    ("connections.resume", "POST"): Permission.MANAGE_ACCOUNTS,
    ("offboarding.detail", "GET"): Permission.MANAGE_ACCOUNTS,
    ("offboarding.perform", "POST"): Permission.MANAGE_ACCOUNTS,
    ("offboarding.download", "POST"): Permission.MANAGE_ACCOUNTS,
    ("legal_texts.detail", "GET"): Permission.VIEW_PRODUCTS,
    ("usage.listing", "GET"): Permission.VIEW_ACCOUNTS,
    ("usage.download", "GET"): Permission.VIEW_ACCOUNTS,
    ("audit.listing", "GET"): Permission.VIEW_AUDIT_LOG,
}
CHANGING = {
    Permission.MANAGE_ORDERS,
    Permission.RATE_INTERVIEWS,
    Permission.DECIDE_CHECKS,
    Permission.EDIT_PRODUCTS,
    Permission.MANAGE_DELIVERIES,
    Permission.MANAGE_ACCOUNTS,
    Permission.CREATE_ACCOUNTS,
    Permission.MANAGE_STAFF,
    Permission.MANAGE_OWNERS,
}


def console_routes(app: Flask) -> Iterator[tuple[str, str, Rule]]:
    """Yield the endpoint without `console.`, the method and the rule of every console route."""
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/console"):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield rule.endpoint.removeprefix("console."), method, rule


def example_paths(rule: Rule) -> list[str]:
    """Return paths that match a rule: one for each value of its `any` converter."""
    choices = re.search(r"<any\(([^)]+)\):\w+>", rule.rule)
    values = choices[1].replace("'", "").split(", ") if choices else [""]
    paths = [re.sub(r"<any\([^)]+\):\w+>", value, rule.rule) for value in values]
    paths = [re.sub(r"<int:\w+>", "1", path) for path in paths]
    return [re.sub(r"<\w+>", "nothing", path) for path in paths]


def test_every_console_route_has_a_requirement(pages_app: Flask) -> None:
    routes = {(endpoint, method) for endpoint, method, _ in console_routes(pages_app)}
    assert routes == set(REQUIREMENTS)


@pytest.mark.parametrize("role", ROLE_PERMISSIONS)
def test_role_is_refused_exactly_the_routes_it_may_not_use(
    services: Services, client: FlaskClient, pages_app: Flask, role: str
) -> None:
    console = ConsoleClient.signed_in(services, client, role)
    token = factories.csrf_token(client.get("/console/sign-in").text)
    wrong = []
    # Signing out is last: it ends the session.
    for endpoint, method, rule in sorted(
        console_routes(pages_app), key=lambda route: route[0] == "sign_in.sign_out"
    ):
        requirement = REQUIREMENTS[endpoint, method]
        if requirement == PUBLIC:
            continue
        is_allowed = requirement == ANY_ROLE or requirement in ROLE_PERMISSIONS[role]
        for path in example_paths(rule):
            response = console.client.open(path, method=method, data={"csrf_token": token})
            assert response.status_code < 500, (path, response.status_code)
            assert "sign-in" not in (response.location or "") or endpoint == "sign_in.sign_out"
            if (response.status_code != 403) != is_allowed:
                wrong.append((method, path, response.status_code))
    assert wrong == []


def offered_requests(page: str, path: str) -> Iterator[tuple[str, str, str]]:
    """Yield the tag, the method and the address of every link and form on a page."""
    method = "GET"
    for tag, text in re.findall(r"<(a|form|button)\b([^>]*)>", page):
        attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', text))
        if tag == "form":
            method = attributes.get("method", "get").upper()
            yield tag, method, attributes.get("action", path)
        elif address := attributes.get("href" if tag == "a" else "formaction"):
            yield tag, "GET" if tag == "a" else method, unescape(address)


def test_no_page_offers_a_role_what_it_may_not_do(
    services: Services, app: Flask, pages_app: Flask, console: ConsoleServer
) -> None:
    account_id, _ = factories.create_account(services, "Contoso")
    interview, _ = interview_factories.submitted_interview(services, account=account_id)
    package = check_factories.create_package(services)
    check = factories.place_order(services, account_id, package, "check")
    check_factories.give_consent(services, check)
    routes = pages_app.url_map.bind("provider.test")
    # Pages that look different for each record; of every other page one is enough.
    records = [console.paths[name] for name in ("order retaken", "order started", "connection")]
    records += [f"/console/orders/{order_id}" for order_id in (interview, check)]
    wrong = set()
    for role, permissions in ROLE_PERMISSIONS.items():
        allowed = {PUBLIC, ANY_ROLE, *permissions}
        if allowed >= set(REQUIREMENTS.values()):
            continue
        client = ConsoleClient.signed_in(services, app.test_client(), role).client
        paths, seen = ["/console/"], set()
        for path in records:
            endpoint = routes.match(path)[0]
            if REQUIREMENTS[endpoint.removeprefix("console."), "GET"] in allowed:
                seen.add((endpoint, None))
                paths.append(path)
        while paths:
            path = paths.pop()
            response = client.get(path, follow_redirects=True)
            assert response.status_code == 200, (role, path)
            for tag, method, address in offered_requests(response.text, path):
                target = urlsplit(address).path
                if not target.startswith("/console/"):
                    continue
                endpoint, values = routes.match(target, method)
                if REQUIREMENTS[endpoint.removeprefix("console."), method] not in allowed:
                    wrong.add((role, routes.match(urlsplit(path).path)[0], endpoint))
                elif tag == "a" and (page := (endpoint, values.get("name"))) not in seen:
                    seen.add(page)
                    paths.append(address)
        assert ("console.products.detail", None) in seen, role
    assert wrong == set()


def test_only_public_routes_answer_without_a_session(client: FlaskClient, pages_app: Flask) -> None:
    token = factories.csrf_token(client.get("/console/sign-in").text)
    for endpoint, method, rule in console_routes(pages_app):
        for path in example_paths(rule):
            response = client.open(path, method=method, data={"csrf_token": token})
            if REQUIREMENTS[endpoint, method] == PUBLIC:
                assert "not signed in" not in response.text
            elif method == "GET":
                assert (response.status_code, response.location.partition("?")[0]) == (
                    302,
                    "/console/sign-in",
                ), path
            else:
                assert response.status_code == 403, path
                assert "not signed in" in response.text


def test_view_without_a_mark_is_refused(services: Services) -> None:
    app = create_app(services)
    app.pages.add_url_rule("/console/new", endpoint="console.new", view_func=lambda: "secret")
    response = app.test_client().get("/console/new")
    assert response.status_code == 500
    assert "secret" not in response.text


def test_roles_keep_their_powers() -> None:
    viewing = {permission for permission in Permission if permission not in CHANGING}
    assert ROLE_PERMISSIONS["owner"] == set(Permission)
    assert ROLE_PERMISSIONS["admin"] == set(Permission) - {Permission.MANAGE_OWNERS}
    of_admins = {
        Permission.VIEW_AUDIT_LOG,
        Permission.MANAGE_ACCOUNTS,
        Permission.CREATE_ACCOUNTS,
        Permission.MANAGE_STAFF,
        Permission.MANAGE_OWNERS,
    }
    assert ROLE_PERMISSIONS["operator"] == set(Permission) - of_admins
    assert ROLE_PERMISSIONS["viewer"] == viewing - {Permission.VIEW_AUDIT_LOG}


def test_every_permission_is_asked_for_by_a_view_or_template() -> None:
    web = Path(provider.__file__).parent / "web"
    sources = "".join(
        path.read_text("utf-8") for path in web.rglob("*") if path.suffix in (".py", ".html")
    )
    unused = {permission.name for permission in Permission} - set(
        re.findall(r"Permission\.([A-Z_]+)", sources)
    )
    assert unused == set()


@pytest.mark.parametrize(
    ("permission", "text"),
    [
        (Permission.VIEW_RESULTS, "Open the report"),
        (Permission.VIEW_RESULTS, "Saved answers"),
        (Permission.VIEW_MESSAGE_BODIES, "Hello Lakita"),
        (Permission.MANAGE_ORDERS, "Reopen this order"),
        (Permission.VIEW_PRODUCTS, 'href="/console/products/"'),
    ],
)
def test_order_page_without_permission_hides_what_it_protects(
    services: Services,
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    permission: Permission,
    text: str,
) -> None:
    account_id, _ = factories.create_account(services)
    order_id = factories.place_order(services, account_id, factories.create_test(services))
    factories.finish_test(services, order_id)
    dispatcher = Dispatcher(services)
    dispatcher.drain("1/email")
    dispatcher.stop()
    console = ConsoleClient.signed_in(services, client, "admin")
    assert text in console.get_text(f"/console/orders/{order_id}")
    monkeypatch.setitem(ROLE_PERMISSIONS, "admin", frozenset(Permission) - {permission})
    assert text not in console.get_text(f"/console/orders/{order_id}")

"""Every call of the contract and every page of the console, on an instance with many orders."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain, cycle

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provider.app import ContractFlask, create_app
from provider.core.accounts import Account
from provider.core.orders import COUNT_ORDERS, Order
from provider.core.scheduled import run_if_due
from provider.outbox import CALLBACK, EMAIL, MEDIA, Message
from tests.bench.fill import PLACED_DAY
from tests.bench.growth import TimedAction, order_body, sign_in, timed_request
from tests.bench.instance import BenchmarkInstance
from tests.bench.table import Figure

MAX_P95_MS = 150
MAX_QUEUE_P95_MS = 50  # of the first page of the screenings
EMPTY_DAY = PLACED_DAY - timedelta(days=31)
LISTED_REQUESTS = 3  # the slowest ones, in a figure's note
# The paths of each endpoint; the values in braces differ from request to request.
CALLS: dict[str, tuple[str, ...]] = {
    "list_tests": ("/tests",),
    "list_interview_templates": ("/interview-templates",),
    "list_packages": ("/packages",),
    "get_assessment": ("/assessments/{assessment}",),
    "get_interview": ("/interviews/{interview}",),
    "get_check": ("/checks/{check}",),
    "share_assessment": ("/assessments/{done_assessment}/shared-link",),
    "share_interview": ("/interviews/{done_interview}/shared-link",),
    "share_check": ("/checks/{done_check}/shared-link",),
}
ORDER_CALLS = {
    "create_assessment": ("assessment", "/assessments", "test_id"),
    "create_interview": ("interview", "/interviews", "interview_template_id"),
    "create_check": ("check", "/checks", "package_id"),
}
ORDERS_PATH, DELIVERIES_PATH, EMAILS_PATH = (
    "/console/orders/",
    "/console/deliveries/",
    "/console/emails/",
)
SCREENINGS_PATH = "/console/screenings/"
PAGES: dict[str, tuple[str, ...]] = {
    "sign_in.sign_in": ("/console/sign-in",),
    "alerts.listing": ("/console/alerts/",),
    "offboarding.detail": ("/console/accounts/{account}/offboarding/",),
    "saved_views.listing": (f"{ORDERS_PATH}views/",),
    "orders.listing": (
        ORDERS_PATH,
        *(f"{ORDERS_PATH}?before={{far_order}}", f"{ORDERS_PATH}?after={{far_order}}"),
        *(f"{ORDERS_PATH}?kind={kind}" for kind in ("assessment", "interview", "check")),
        *(
            f"{ORDERS_PATH}?status={status}"
            for status in ("pending", "consented", "completed", "expired", "cancelled")
        ),
        f"{ORDERS_PATH}?waiting_for=staff",
        *(f"{ORDERS_PATH}?account={{account}}", f"{ORDERS_PATH}?account={{inactive_account}}"),
        *(f"{ORDERS_PATH}?product={{product}}", f"{ORDERS_PATH}?product={{old_product}}"),
        *(
            f"{ORDERS_PATH}?q={query}"
            for query in (
                *("{email}", "lak", "l", "lakita marrero operations", "zzzz", "1", "c9 lakita"),
                "https://groove-tech.workable.com/assessments/{number}",
            )
        ),
        f"{ORDERS_PATH}?q=lakita&account={{inactive_account}}",
        f"{ORDERS_PATH}?q=c1&status=pending&kind=interview",
        *(f"{ORDERS_PATH}?from={day}&to={day}" for day in (PLACED_DAY, EMPTY_DAY)),
        f"{ORDERS_PATH}?from={EMPTY_DAY}&account={{account}}&status=pending",
        *(
            f"{ORDERS_PATH}?account={{{name}}}&status=pending"
            for name in ("account", "inactive_account")
        ),
        f"{ORDERS_PATH}?account={{account}}&status=cancelled",
        f"{ORDERS_PATH}?account={{inactive_account}}&kind=assessment",
        f"{ORDERS_PATH}?kind=interview&status=completed&before={{far_order}}",
        f"{ORDERS_PATH}?kind=check&status=cancelled",
        f"{ORDERS_PATH}?product={{old_product}}&account={{account}}&status=completed",
    ),
    "orders.detail": (f"{ORDERS_PATH}{{assessment}}", f"{ORDERS_PATH}{{done_check}}"),
    "presence.current": (f"{ORDERS_PATH}{{assessment}}/presence",),
    "order_actions.confirm": (
        f"{ORDERS_PATH}{{pending_assessment}}/cancel",
        f"{ORDERS_PATH}{{done_assessment}}/reopen",
    ),
    "interviews.detail": (f"{ORDERS_PATH}{{interview}}/interview",),
    "interviews.completion.confirm": (f"{ORDERS_PATH}{{pending_interview}}/interview/complete",),
    "marking.listing": (
        "/console/marking/?whose=all",
        "/console/marking/?whose=done",
        "/console/marking/?product={product}",
    ),
    "screenings.listing": (
        SCREENINGS_PATH,
        *(
            f"{SCREENINGS_PATH}?{query}"
            for query in (
                *("type=identity", "type=credit", "state=asked", "state=done", "due=overdue"),
                *("whose=mine", "whose=free", "account={account}", "account={inactive_account}"),
                "type=sanctions&state=to+do&whose=free&account={account}",
            )
        ),
    ),
    "checks.work.detail": ("/console/checks/{pending_check}/screenings/criminal/",),
    "checks.additions.form": ("/console/checks/{pending_check}/add-screening/",),
    "checks.detail": ("/console/checks/{check}/",),
    "disputes.listing": ("/console/disputes/", "/console/disputes/?state=ended"),
    "checks.outside.detail": ("/console/checks/{check}/outside/",),
    "checks.confirm_completion": ("/console/checks/{pending_check}/complete",),
    "checks.adverse.detail": ("/console/checks/{done_check}/adverse/",),
    "renewals.listing": ("/console/renewals/",),
    "deliveries.listing": (
        *(
            f"{DELIVERIES_PATH}?state={state}"
            for state in ("parked", "waiting", "delivered", "superseded", "any")
        ),
        *(
            f"{DELIVERIES_PATH}?state=any&before={{far_message}}",
            f"{DELIVERIES_PATH}?state=any&after={{far_message}}",
        ),
        *(
            f"{DELIVERIES_PATH}?state={state}&channel={channel}"
            for state in ("any", "waiting", "delivered")
            for channel in (CALLBACK, EMAIL, MEDIA)
        ),
        *(
            f"{DELIVERIES_PATH}?state={state}&account={account}"
            for state in ("any", "parked")
            for account in ("{account}", "{inactive_account}")
        ),
        f"{DELIVERIES_PATH}?state=any&channel={MEDIA}&account={{inactive_account}}",
    ),
    "deliveries.detail": (f"{DELIVERIES_PATH}{{delivered}}", f"{DELIVERIES_PATH}{{parked}}"),
    "deliveries.confirm_requeue_all": (
        f"{DELIVERIES_PATH}again",
        f"{DELIVERIES_PATH}again?channel={EMAIL}&account={{account}}",
    ),
    "emails.listing": (
        EMAILS_PATH,
        *(
            f"{EMAILS_PATH}?state={state}"
            for state in ("parked", "waiting", "delivered", "superseded")
        ),
        f"{EMAILS_PATH}?before={{far_message}}",
    ),
    "products.listing": ("/console/products/", "/console/products/?kind=check&state=published"),
    "products.detail": ("/console/products/{product}",),
    "rescoring.detail": ("/console/products/{product}/versions/1/rescore/",),
    "product_actions.confirm": ("/console/products/{product}/archive",),
    "running_attempts.confirm": ("/console/products/{product}/running/",),
    "product_creation.form": ("/console/products/new",),
    "product_versions.comparison": ("/console/products/{product}/compare",),
    "product_versions.download": ("/console/products/{product}/file/1.yaml",),
    "editor.show": ("/console/products/{product}/edit",),
    "editor.confirm_removal": ("/console/products/{product}/edit/remove/sections.0",),
    "editor.confirm_discard": ("/console/products/{product}/edit/discard",),
    "editor_entry.show": ("/console/products/{product}/edit/at/sections.0",),
    "editor_entry.preview": ("/console/products/{product}/edit/preview/sections.0",),
    "editor_publish.confirm": ("/console/products/{product}/edit/publish",),
    "assessment_trial.start": ("/console/products/{product}/try",),
    "assessment_trial.item": ("/console/products/{product}/try/1",),
    "assessment_trial.end": ("/console/products/{product}/try/end",),
    "interview_trial.step": ("/console/products/{interview_template}/walk/1",),
    "audit.listing": ("/console/audit/",),
    "home.overview": ("/console/",),
    "people.listing": ("/console/staff/",),
    "people.detail": ("/console/staff/1",),
    "own_account.detail": ("/console/me/",),
    "own_account.set_up_second_step": ("/console/me/second-step",),
    "passwords.forgotten": ("/console/password",),
    "connectors.listing": ("/console/accounts/{account}/connectors/",),
    "connectors.begin": ("/console/accounts/{account}/connectors/new",),
    "connections.detail": ("/console/accounts/{account}/connection",),
    "order_erasure.confirm": ("/console/orders/{done_assessment}/erase/",),
    "bulk_actions.preview": ("/console/orders/bulk/?action=cancel&order={pending_assessment}",),
    "bulk_runs.listing": ("/console/orders/bulk/runs/",),
    "accounts.listing": ("/console/accounts/",),
    "accounts.detail": ("/console/accounts/{account}", "/console/accounts/{inactive_account}"),
    "accounts.setup": ("/console/accounts/{account}/setup",),
    "account_creation.choose": ("/console/accounts/new?ats=workable",),
    "account_settings.detail": ("/console/accounts/{account}/settings",),
    "account_settings.product_choice": ("/console/accounts/{account}/products",),
    "account_emails.listing": ("/console/accounts/{account}/emails/",),
    "account_emails.detail": ("/console/accounts/{account}/emails/invitation/en",),
    "adjudication.detail": ("/console/accounts/{account}/adjudication/",),
    "adjudication.try_draft": ("/console/accounts/{account}/adjudication/try",),
    "notice_texts.listing": ("/console/accounts/{account}/notices/",),
    "notice_texts.detail": ("/console/accounts/{account}/notices/pre_adverse",),
    "account_tokens.detail": ("/console/accounts/{account}/tokens",),
    "account_tokens.confirm_revocation": ("/console/accounts/{account}/tokens/1/revoke",),
    "usage.listing": ("/console/usage/", "/console/usage/?account={inactive_account}"),
    "usage.download": ("/console/usage/usage.csv",),
}
# These are also read by people who are limited to one account, a large and a small one.
LIMITED_PAGES = (
    "/console/",
    ORDERS_PATH,
    *(f"{ORDERS_PATH}?{query}" for query in ("status=completed", "waiting_for=staff")),
    *(f"{ORDERS_PATH}?q={query}" for query in ("lak", "zzzz", "c1")),
    *(f"{DELIVERIES_PATH}?state={state}" for state in ("any", "waiting")),
    EMAILS_PATH,
    SCREENINGS_PATH,
)
# No order here has recordings, and no person a link or a second step.
EXCLUDED_ENDPOINTS = {
    "products.version_file",
    "assessment_trial.remaining_time",  # the clock of a trial that began runs
    "assessment_trial.pause",  # without a break it redirects
    "editor_files.show",
    "legal_texts.detail",  # a page of one text, which no order changes
    "editor_files.poster",
    "product_versions.download_with_files",
    "marking.detail",  # no order here waits for marks
    "second_looks.detail",
    "checks.records.edit",
    "disputes.detail",  # no check here is disputed
    "assessments.answer_file",
    "marking.answer_file",
    "marking.answer_picture",
    "checks.decisions.revision",  # the screenings of a check differ
    "checks.adverse.notice_pdf",
    "interviews.files.answer_file",
    "checks.details.listing",  # no check here has details
    "checks.documents.detail",
    "checks.documents.page_picture",
    "interviews.media_file",
    "interviews.download_original",
    "interviews.captions",
    "interviews.captioning.edit",
    "bulk_runs.detail",  # an instance of the benchmark has no run
    "bulk_runs.progress",
    "bulk_runs.confirm_undo",
    "rescoring.progress",
    "connectors.detail",  # an instance of the benchmark has no connector
    "connectors.edit",
    "connections.finish_consent",
    "openid.begin",
    "openid.finish",
    "passwords.join",
    "passwords.reset",
    "sign_in.second_step",
}


@dataclass
class MeasuredRequest:
    """One call or page, and its latencies on each database, in ms."""

    name: str
    actions: Sequence[TimedAction]
    latencies: list[list[float]] = field(default_factory=list)

    def run(self, rounds: int) -> None:
        """Send the request `rounds` times, alternately to the databases."""
        self.latencies = [[] for _ in self.actions]
        for _ in range(rounds):
            for action, latencies in zip(self.actions, self.latencies, strict=True):
                latencies.append(action() * 1e3)

    def p95(self, database: int) -> float:
        """Return the 95th percentile of the latencies on a database, in ms."""
        latencies = sorted(self.latencies[database])
        return latencies[min(len(latencies) - 1, len(latencies) * 95 // 100)]


def measure_large_instance(
    instances: dict[str, BenchmarkInstance], size: str, rounds: int
) -> Iterator[Figure]:
    """Measure the slowest call and the slowest page on each database."""
    request_factories = [RequestFactory(instance) for instance in instances.values()]
    for instance in instances.values():
        run_if_due(instance.services, COUNT_ORDERS)  # as a server does
    groups = {"contract's calls": RequestFactory.calls, "console's pages": RequestFactory.pages}
    for label, actions_of in groups.items():
        actions = [actions_of(request_factory) for request_factory in request_factories]
        requests = [
            MeasuredRequest(name, [by_name[name] for by_name in actions]) for name in actions[0]
        ]
        for request in requests:
            request.run(rounds)
        for index, database in enumerate(instances):
            name = f"{size} orders on {database}, the {label}: the slowest one's p95"
            yield _slowest_figure(name, requests, index)
            for request in requests:
                if request.name == SCREENINGS_PATH:
                    yield _queue_figure(f"{size} orders on {database}", request.p95(index))


def _queue_figure(instance: str, p95: float) -> Figure:
    name = f"{instance}, the queue of screenings: the first page's p95"
    note = "as many screenings as orders, of which a tenth is open"
    return Figure(name, p95, MAX_QUEUE_P95_MS, "ms", is_upper_limit=True, note=note)


def _slowest_figure(name: str, requests: list[MeasuredRequest], database_index: int) -> Figure:
    ranked = sorted(
        ((request.p95(database_index), request.name) for request in requests), reverse=True
    )
    slowest = "; ".join(f"{p95:.3g} ms {page}" for p95, page in ranked[:LISTED_REQUESTS])
    note = f"of {len(requests)}: {slowest}"
    return Figure(name, ranked[0][0], MAX_P95_MS, "ms", is_upper_limit=True, note=note)


class RequestFactory:
    """Creates requests to an instance; each request asks for other orders and messages."""

    def __init__(self, instance: BenchmarkInstance) -> None:
        self._instance = instance
        self._app = create_app(instance.services)
        require_all_measured(self._app)
        self._staff_headers = _staff_headers(sign_in(instance))
        self._limited_headers = {
            name: _staff_headers(sign_in(instance, getattr(instance, name)))
            for name in ("account", "inactive_account")
        }
        self._auth_headers = {"Authorization": f"Bearer {instance.token}"}
        self._numbers = iter(range(10**9))
        self._url_values = _CyclingValues(
            {name: cycle(values) for name, values in _load_url_values(instance).items()}
        )

    def calls(self) -> dict[str, TimedAction]:
        """Return the contract's calls by path."""
        actions = {path: self._get(path, self._auth_headers) for path in chain(*CALLS.values())}
        return actions | {
            f"POST {path}": self._post(kind) for kind, path, _ in ORDER_CALLS.values()
        }

    def pages(self) -> dict[str, TimedAction]:
        """Return the console's pages by path."""
        pages = {path: self._get(path, self._staff_headers) for path in chain(*PAGES.values())}
        return pages | {
            f"{path} (limited to {name})": self._get(path, headers)
            for name, headers in self._limited_headers.items()
            for path in LIMITED_PAGES
        }

    def _get(self, path: str, headers: dict[str, str]) -> TimedAction:
        return lambda: timed_request(self._app, path.format_map(self._url_values), headers=headers)

    def _post(self, kind: str) -> TimedAction:
        path, product_field = next(call[1:] for call in ORDER_CALLS.values() if call[0] == kind)
        product = self._instance.products[kind]

        def place_order() -> float:
            body = order_body(next(self._numbers), f"{kind}s") | {product_field: product}
            return timed_request(
                self._app, path, method="POST", headers=self._auth_headers, json=body
            )

        return place_order


def _staff_headers(cookie: str) -> dict[str, str]:
    return {"Cookie": f"staff={cookie}"}


class _CyclingValues(dict[str, Iterator[str]]):
    """The values of the placeholders; each access returns the next one."""

    def __getitem__(self, name: str) -> str:  # type: ignore[override]
        return next(super().__getitem__(name))


def require_all_measured(app: ContractFlask) -> None:
    """Raise RuntimeError when a call or a page is not measured, or no longer exists."""
    measured = {"workable": {*CALLS, *ORDER_CALLS}, "console": {*PAGES, *EXCLUDED_ENDPOINTS}}
    existing: dict[str, set[str]] = {blueprint: set() for blueprint in measured}
    for rule in (*app.url_map.iter_rules(), *app.pages.url_map.iter_rules()):
        blueprint, _, endpoint = rule.endpoint.partition(".")
        if blueprint == "workable" or (blueprint == "console" and "GET" in (rule.methods or ())):
            existing[blueprint].add(endpoint)
    differences = {name: existing[name] ^ measured[name] for name in measured}
    if any(differences.values()):
        raise RuntimeError(f"not measured, or no longer existing: {differences}")


def _load_url_values(instance: BenchmarkInstance) -> dict[str, list[str]]:
    """Return the values of each placeholder in the paths."""
    values = {"product": [instance.tests[0]], "old_product": [instance.tests[-1]]}
    values["interview_template"] = [instance.products["interview"]]
    values["email"] = [f"c{number}@example.com" for number in range(1, 50)]
    values["number"] = [str(number) for number in range(1, 50)]
    for kind in instance.products:
        pending, completed = (
            instance.sample_orders(status, kind) for status in ("pending", "completed")
        )
        mixed = [order for pair in zip(pending, completed, strict=False) for order in pair]
        values |= {f"pending_{kind}": pending, f"done_{kind}": completed, kind: mixed}
    with instance.services.db.reading() as session:
        values |= {
            "far_order": _ids_from_middle(session, Order),
            "far_message": _ids_from_middle(session, Message),
        }
        for state in ("delivered", "parked"):
            query = select(Message.public_id).where(Message.state == state).limit(50)
            values[state] = list(session.scalars(query))
        for name in ("account", "inactive_account"):
            values[name] = [session.get_one(Account, getattr(instance, name)).public_id]
    return values


def _ids_from_middle(session: Session, model: type[Order] | type[Message]) -> list[str]:
    """Return five public ids from the middle of a table."""
    last_id = session.scalar(select(func.max(model.id))) or 0
    return list(session.scalars(select(model.public_id).where(model.id >= last_id // 2).limit(5)))

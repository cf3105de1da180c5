"""E-mails: each is rendered once and sent until the mail server accepts it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from provider.config import Settings
from provider.core import alerts, emails
from provider.core.accounts import Account
from provider.core.accounts.email_policy import quiet_hours_end
from provider.core.alerts import ALERT_TOPICS, DeliveryAlert
from provider.core.emails.alert_email import render_alert_email
from provider.core.emails.delivery_report import describe_bounce, find_status
from provider.core.emails.email_to_other import find_emails_to_others, render_email_to_other
from provider.core.emails.marking_email import render_marking_email
from provider.core.emails.own_text import EmailText
from provider.core.emails.sample import render_sample
from provider.core.emails.staff_email import SAMPLE_TOPIC, TOPICS_TO_STAFF, render_staff_email
from provider.core.kinds import KINDS
from provider.core.marking.digest import TASKS_TO_MARK, count_free_tasks
from provider.core.orders import INVITATION, INVITE, Accommodation, Link, Order
from provider.core.orders.accommodation import DECISION_EMAIL
from provider.core.orders.reminders import REMINDER, unwanted_reason
from provider.core.products.samples import sample_document
from provider.core.sandbox import find_script
from provider.core.staff import STAFF_TOPICS, Staff, StaffLink
from provider.delivery import smtp
from provider.delivery.channels.base import Channel, lock_orders, prepare_or_error
from provider.delivery.smtp_replies import Verdict
from provider.delivery.smtp_sign_in import TokenSource
from provider.outbox import EMAIL, AttemptResult, Claim, OrderingKey, Outcome, QueueName
from provider.services import Services

SANDBOX_NOTE = "Sandbox: the order has a scripted outcome, so nothing was sent"
SANDBOX_BOUNCE = "550 5.1.1 Sandbox: the order has a scripted outcome, so nothing was sent"
# Code and text are added. An error of the server stops every e-mail; one probes later.
OUTCOMES = {
    Verdict.DELIVERED: Outcome("delivered"),
    Verdict.ADDRESS_REFUSED: Outcome("rejected"),
    Verdict.ADDRESS_BUSY: Outcome("retry"),
    Verdict.SERVER_TROUBLE: Outcome("retry", failure_scope="destination", pauses_at_once=True),
    Verdict.NO_ANSWER: Outcome("retry", failure_scope="destination"),
}

# One statement loads all rows that an e-mail names. Loading each at its use takes a statement more.
_ORDER_QUERY = select(Order).options(
    joinedload(Order.account, innerjoin=True),
    joinedload(Order.candidate, innerjoin=True),
    joinedload(Order.product, innerjoin=True),
    joinedload(Order.version, innerjoin=True),
)


@dataclass(frozen=True)
class EmailDelivery:
    """A rendered e-mail. One with an `outcome` is not sent: the outcome was decided before."""

    services: Services
    public_id: str
    body: bytes
    outcome: Outcome | None = None

    def send(self) -> Outcome:
        if self.outcome:
            return self.outcome
        verdict, code, text = deliver_email(self.services.settings, self.body, self.public_id)
        outcome = OUTCOMES[verdict]
        if verdict == Verdict.DELIVERED:
            return replace(outcome, status_code=code, response_excerpt=text)
        return replace(outcome, status_code=code, error=text)


def deliver_email(settings: Settings, body: bytes, name: str) -> smtp.SendResult:
    """Send an e-mail as the settings say; `name` is that of its file without a mail server."""
    return smtp.send_email(
        body,
        url=settings.mail_url,
        folder=settings.instance / "mail",
        name=name,
        token_source=_token_source(settings),
    )


def _changes_order(result: AttemptResult) -> bool:
    """Return whether an address was refused, or an invitation that staff sent again arrived."""
    claim, decision = result.claim, result.outcome.decision
    if decision == "rejected":
        return claim.topic not in TOPICS_TO_STAFF
    return decision == "delivered" and claim.topic == INVITATION and claim.attempts > 0


def _load_order(session: Session, claim: Claim) -> Order:
    return session.scalars(_ORDER_QUERY.where(Order.public_id == claim.subject)).one()


def _scripted_outcome(order: Order) -> Outcome | None:
    """Return the outcome of an e-mail of a scripted order of a sandbox; None for others."""
    script = find_script(order)
    if script is None:
        return None
    if script.bounces:
        return Outcome("rejected", status_code=550, error=SANDBOX_BOUNCE, is_sent=False)
    return Outcome("delivered", response_excerpt=SANDBOX_NOTE, is_sent=False)


def _token_source(settings: Settings) -> TokenSource | None:
    if settings.mail_token_command or settings.mail_token_file:
        return TokenSource(settings.mail_token_command, settings.mail_token_file)
    return None


@dataclass(frozen=True)
class EmailNotSent:
    """An e-mail that comes too late, or a reminder in the quiet hours; the outcome says so."""

    outcome: Outcome
    body: None = None

    def send(self) -> Outcome:
        return self.outcome


def _not_needed(reason: str) -> EmailNotSent:
    return EmailNotSent(Outcome("not_needed", response_excerpt=reason, is_sent=False))


class EmailChannel(Channel):
    """Renders e-mails to candidates and to the staff, and sends them to the mail server."""

    name = EMAIL
    max_concurrent_sends = 8  # mail servers limit the connections of a client
    max_claims = 1  # rendering one takes about 10 ms
    has_private_responses = True

    def prepare(
        self, session: Session, claims: Sequence[Claim]
    ) -> list[EmailDelivery | EmailNotSent | Exception]:
        return [prepare_or_error(self._prepare, session, claim) for claim in claims]

    def lock_subjects(self, session: Session, results: Sequence[AttemptResult]) -> None:
        order_ids = {result.claim.subject for result in results if _changes_order(result)}
        lock_orders(session, order_ids)

    def record_outcomes(
        self, session: Session, results: Sequence[AttemptResult], now: datetime
    ) -> None:
        """Record an e-mail whose address was refused, and an invitation that arrived later."""
        for claim, outcome in ((r.claim, r.outcome) for r in results if _changes_order(r)):
            order = Order.find(session, claim.subject)
            if emails_to_others := find_emails_to_others(order, claim.topic):
                emails_to_others.record_bounce(session, order, claim.public_id, now)
            elif outcome.decision == "rejected":
                reason = describe_bounce(find_status(outcome.error), outcome.error)
                order.record_bounce(session, claim.public_id, claim.topic, reason, now)
            else:
                order.bounced_at = None

    def _prepare(self, session: Session, claim: Claim) -> EmailDelivery | EmailNotSent:
        if claim.topic == REMINDER and (outcome := self._outcome_without_sending(session, claim)):
            return EmailNotSent(outcome)
        if claim.topic in ALERT_TOPICS:
            return self._prepare_alert(session, claim)
        if claim.topic == TASKS_TO_MARK:
            return self._prepare_marking(session, claim)
        stored_body = claim.get_body(self.services.secret_box)
        if claim.topic in STAFF_TOPICS.values():
            body = stored_body or self._render_to_staff(session, claim)
            return EmailDelivery(self.services, claim.public_id, body)
        if claim.topic == SAMPLE_TOPIC:
            body = stored_body or self._render_sample(session, claim)
            return EmailDelivery(self.services, claim.public_id, body)
        order = _load_order(session, claim)
        if find_emails_to_others(order, claim.topic):
            return self._prepare_for_other(session, claim, order)
        payload = claim.get_payload(self.services.secret_box)
        if not KINDS[order.kind].is_email_needed(order, claim.topic, payload):
            return _not_needed("The order has changed, so the e-mail is not needed any more")
        body = stored_body or self._render(session, claim, order)
        return EmailDelivery(self.services, claim.public_id, body, _scripted_outcome(order))

    def _outcome_without_sending(self, session: Session, claim: Claim) -> Outcome | None:
        """Return the outcome of a reminder that must not be sent now.

        A reminder may wait for hours for a mail server that does not answer.
        """
        now = self.services.now()
        order = _load_order(session, claim)
        if reason := unwanted_reason(order, self.services.secret_box, now):
            return _not_needed(reason).outcome
        if quiet_until := quiet_hours_end(now, order.timezone):
            text = "Nothing was sent: a reminder waits for the end of the quiet hours"
            return Outcome("retry", quiet_until - now, error=text, is_sent=False)
        return None

    def _prepare_alert(self, session: Session, claim: Claim) -> EmailDelivery | EmailNotSent:
        alert = session.scalar(
            select(DeliveryAlert).where(DeliveryAlert.public_id == claim.subject)
        )
        if alert is None:
            return _not_needed("The alert ended long ago and is deleted")
        staff = session.get(Staff, int(OrderingKey.parse(claim.ordering_key).writer))
        if staff is None or not staff.gets_alerts:
            return _not_needed("The person gets no e-mails about deliveries any more")
        if reason := alerts.unwanted_reason(session, alert, claim):
            return _not_needed(reason)
        services = self.services
        body = claim.get_body(services.secret_box) or render_alert_email(
            session,
            alert,
            claim.topic,
            to=staff.email,
            url=services.urls.console("alerts/"),
            sender=services.settings.mail_from,
            message_id=claim.public_id,
            now=services.now(),
        )
        return EmailDelivery(services, claim.public_id, body)

    def _prepare_marking(self, session: Session, claim: Claim) -> EmailDelivery | EmailNotSent:
        services = self.services
        staff = session.get(Staff, int(OrderingKey.parse(claim.ordering_key).writer))
        if staff is None or not staff.gets_marking_emails:
            return _not_needed("The person gets no e-mails about answers to mark any more")
        body = claim.get_body(services.secret_box)
        if not body:
            counts = count_free_tasks(session, staff, services.now())
            if not counts:
                return _not_needed("Nothing waits for a mark any more")
            body = render_marking_email(
                counts,
                to=staff.email,
                url=services.urls.console("marking/"),
                sender=services.settings.mail_from,
                message_id=claim.public_id,
                now=services.now(),
            )
        return EmailDelivery(services, claim.public_id, body)

    def _prepare_for_other(
        self, session: Session, claim: Claim, order: Order
    ) -> EmailDelivery | EmailNotSent:
        """Render an e-mail at every attempt: it may not be needed any more."""
        services = self.services
        rendered = render_email_to_other(
            session,
            services.secret_box,
            order,
            claim.topic,
            OrderingKey.parse(claim.ordering_key).writer,
            urls=services.urls,
            sender=services.settings.mail_from,
            message_id=claim.public_id,
            now=services.now(),
        )
        if rendered is None:
            return _not_needed("The e-mail is not needed any more")
        body = claim.get_body(services.secret_box) or rendered
        return EmailDelivery(services, claim.public_id, body, _scripted_outcome(order))

    def _render_to_staff(self, session: Session, claim: Claim) -> bytes:
        services = self.services
        link = session.scalars(select(StaffLink).where(StaffLink.public_id == claim.subject)).one()
        return render_staff_email(
            link,
            url=services.urls.staff_link(link.purpose, link.get_token(services.secret_box)),
            sender=services.settings.mail_from,
            message_id=claim.public_id,
            now=services.now(),
        )

    def _render_sample(self, session: Session, claim: Claim) -> bytes:
        services = self.services
        sample = claim.get_payload(services.secret_box)
        account = session.get_one(Account, QueueName.parse(claim.queue).account_id)
        template, language = sample["template"], sample["language"]
        return render_sample(
            template,
            sample_document(sample["kind"]),
            account,
            services.secret_box,
            email=sample["email"],
            url=services.urls.invitation("sample"),
            sender=services.settings.mail_from,
            message_id=claim.public_id,
            now=services.now(),
            language=language,
            own_text=EmailText.find(session, account.id, template, language),
        )

    def _render(self, session: Session, claim: Claim, order: Order) -> bytes:
        link = Link.find_permanent(session, order, INVITE)
        assert link is not None
        decision, secret_box = None, self.services.secret_box
        if claim.topic == DECISION_EMAIL:
            accommodation = Accommodation.of(session, order)
            decision = accommodation.decision(secret_box) if accommodation else None
        return emails.render_email(
            claim.topic,
            order,
            url=self.services.urls.invitation(link.get_token(secret_box)),
            sender=self.services.settings.mail_from,
            message_id=claim.public_id,
            now=self.services.now(),
            kind_context=order.kind_context(secret_box),
            decision=decision,
            own_text=emails.find_own_text(session, order, claim.topic),
            parts=emails.collect_parts(
                order, claim.topic, secret_box, claim.get_payload(secret_box)
            ),
        )

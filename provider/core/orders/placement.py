"""Placing an order. Repeated and simultaneous requests place it once."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.accounts import Caller
from provider.core.accounts.email_policy import EmailPolicy
from provider.core.orders.accommodation import is_granted_to
from provider.core.orders.candidate import Candidate, compute_email_digest, list_email_digests
from provider.core.orders.erased_order import has_erased_key, list_key_digests
from provider.core.orders.history import OrderEvent
from provider.core.orders.link import INVITE, Link
from provider.core.orders.order import Order
from provider.core.orders.search import index_order
from provider.core.orders.states import PENDING, waiting_for
from provider.core.orders.timed_order import TimedOrder
from provider.core.products.product import Product, ProductVersion, visibility_conditions
from provider.core.text_cleaning import clean_line
from provider.errors import Conflict
from provider.storage import secrets
from provider.storage.compiled import CompiledInQuery, CompiledQuery
from provider.storage.database import insert_row
from provider.storage.secrets import SecretBox

_ORDER_COLUMNS = Order.__table__.c
_EXISTING_ORDER_QUERY = CompiledQuery(
    select(
        _ORDER_COLUMNS.public_id,
        _ORDER_COLUMNS.kind,
        _ORDER_COLUMNS.request_mac,
        select(Product.public_id)
        .where(Product.id == _ORDER_COLUMNS.product_id)
        .correlate(Order)
        .scalar_subquery(),
    ).where(
        _ORDER_COLUMNS.account_id == bindparam("account_id"),
        _ORDER_COLUMNS.external_key == bindparam("external_key"),
    )
)
# Whether the order was erased, and whether the person was granted an accommodation before. The
# values are the digests of the order's key, as many digests of the address, and the account's id.
_PAST_QUERY = CompiledInQuery(
    lambda values: select(
        has_erased_key(values[: len(values) // 2]),
        is_granted_to(values[len(values) // 2 : -1], values[-1]),
    )
)
# They follow from the other fields, or from values that are not kept; or they are no content.
MAX_NOTED_KEYS, MAX_KEY_LENGTH = 20, 60  # of preferences, in the note of an order
_MAC_PURPOSE = "order"
_FIELDS_WITHOUT_CONTENT = ("callback_host", "unread_fields", "is_strict")


@dataclass(frozen=True)
class Placement:
    """The content of an order request, after its adapter has parsed it.

    `external_key` identifies the order at the ATS: a repeated request has the same key.
    """

    product: str
    external_key: str
    email: str
    first_name: str = ""
    last_name: str = ""
    phone: str = ""
    job_title: str = ""
    job_reference: str = ""
    preferences: dict[str, Any] = field(default_factory=dict)
    reply_context: dict[str, Any] = field(default_factory=dict)
    # The host of the callback URL in `reply_context`.
    callback_host: str = ""
    # Paths of the request's fields that the adapter could not read and has dropped or cut.
    unread_fields: tuple[str, ...] = ()
    # Whether a repeated request with the same key must have the same content. Otherwise the same
    # product is enough: an ATS may correct a name before it asks again.
    is_strict: bool = True

    def canonical_json(self) -> bytes:
        """Return the bytes whose MAC tells whether a repeated request has the same content."""
        content = {
            name: value for name, value in vars(self).items() if name not in _FIELDS_WITHOUT_CONTENT
        }
        return json.dumps(content, sort_keys=True).encode()

    def compute_mac(self, secret_box: SecretBox) -> str:
        return secret_box.compute_mac(self.canonical_json(), _MAC_PURPOSE)

    def has_mac(self, secret_box: SecretBox, mac: str) -> bool:
        """Whether a MAC is of this content. Raises Unavailable without its key."""
        return secret_box.is_valid_mac(mac, self.canonical_json(), _MAC_PURPOSE)


def place(
    session: Session,
    secret_box: SecretBox,
    kinds: tuple[str, ...],
    placement: Placement,
    caller: Caller,
    now: datetime,
) -> str | None:
    """Place an order and invite the candidate. Returns the public id of the order.

    The product decides which of `kinds` it is. Returns None for a product that is unknown or of
    another kind. The same request again returns the same id and sends no second invitation.
    Different content under the same external key raises Conflict, and so does an erased order.
    """
    existing_id = _existing_order(session, secret_box, kinds, placement, caller.account_id)
    if existing_id is not None:
        return existing_id
    is_erased, was_granted = _read_past(session, secret_box, placement, caller.account_id)
    if is_erased:
        raise Conflict("The data of this order was erased; place a new order instead")
    product = _orderable_product_query(kinds, caller).fetch_one(
        session, {"product": placement.product}
    )
    if product is None:
        return None
    product_id, version_id, kind = product
    public_id = secrets.generate_public_id()
    expires_at = now + caller.expire_after
    reminder = EmailPolicy.from_options(caller.options).next_reminder(expires_at, now)
    order_id = insert_row(
        session,
        Order,
        public_id=public_id,
        kind=kind,
        account_id=caller.account_id,
        product_id=product_id,
        version_id=version_id,
        candidate_id=_insert_candidate(session, secret_box, placement),
        external_key=placement.external_key,
        callback_host=placement.callback_host,
        request_mac=placement.compute_mac(secret_box),
        reply_context=placement.reply_context,
        job_title=placement.job_title,
        job_reference=placement.job_reference,
        preferences=placement.preferences,
        **_first_state(kind, now, was_granted=was_granted),
        placed_at=now,
        expires_at=expires_at,
        reminder_at=reminder.due_at if reminder else None,
        reminder_lead_seconds=reminder.lead_seconds if reminder else None,
    )
    index_order(session, order_id, _searchable_texts(public_id, placement))
    insert_row(
        session,
        Link,
        order_id=order_id,
        purpose=INVITE,
        created_at=now,
        **Link.new_token_columns(secret_box, public_id, INVITE),
    )
    insert_row(
        session,
        OrderEvent,
        order_id=order_id,
        revision=0,
        occurred_at=now,
        type="placed",
        actor="ats",
        note=_placed_note(session, kind, version_id, placement),
    )
    outbox.append(
        session,
        queue=str(outbox.QueueName(caller.account_id, outbox.EMAIL)),
        ordering_key=public_id,
        sequence=0,
        topic="invitation",
        payload={"order": public_id},
        now=now,
    )
    return public_id


def _existing_order(
    session: Session,
    secret_box: SecretBox,
    kinds: tuple[str, ...],
    placement: Placement,
    account_id: int,
) -> str | None:
    key = {"account_id": account_id, "external_key": placement.external_key}
    row = _EXISTING_ORDER_QUERY.fetch_one(session, key)
    if row is None:
        return None
    public_id, kind, request_mac, product = row
    # Without the key of an old MAC nobody can tell whether the content is the same.
    is_compared = placement.is_strict and secret_box.has_key_of_mac(request_mac)
    is_same = product == placement.product and (
        not is_compared or placement.has_mac(secret_box, request_mac)
    )
    if kind not in kinds or not is_same:
        raise Conflict("Entity is already updated")  # the contract's words
    return str(public_id)


@lru_cache(maxsize=1000)  # building the query takes longer than running it
def _orderable_product_query(kinds: tuple[str, ...], caller: Caller) -> CompiledQuery:
    return CompiledQuery(
        select(Product.id, Product.current_version_id, Product.kind).where(
            Product.public_id == bindparam("product"), *visibility_conditions(kinds, caller)
        )
    )


def _searchable_texts(public_id: str, placement: Placement) -> tuple[str, ...]:
    return (
        public_id,
        placement.email,
        placement.first_name,
        placement.last_name,
        placement.job_title,
        placement.job_reference,
        placement.external_key,
    )


def _placed_note(session: Session, kind: str, version_id: int, placement: Placement) -> str:
    """Say what of the request was left out: fields, and preferences that change nothing."""
    notes = []
    if placement.unread_fields:
        fields = ", ".join(placement.unread_fields)
        notes.append(f"Left out or cut, because it could not be read: {fields}")
    if placement.preferences:
        order_class: type[Order] = Order.__mapper__.polymorphic_map[kind].class_
        version = session.get_one(ProductVersion, version_id)
        if unused := order_class.unused_preferences(version, placement.preferences):
            keys = ", ".join(clean_line(key)[:MAX_KEY_LENGTH] for key in unused[:MAX_NOTED_KEYS])
            notes.append(f"Preferences without an effect: {keys}")
    return ". ".join(notes)


def _read_past(
    session: Session, secret_box: SecretBox, placement: Placement, account_id: int
) -> tuple[bool, bool]:
    """Return whether the order was erased, and whether the person was granted an accommodation."""
    key_digests = list_key_digests(secret_box, account_id, placement.external_key)
    email_digests = list_email_digests(secret_box, placement.email)
    ((is_erased, was_granted),) = _PAST_QUERY.fetch_all(
        session, [*key_digests, *email_digests, account_id]
    )
    return bool(is_erased), bool(was_granted)


def _first_state(kind: str, now: datetime, *, was_granted: bool) -> dict[str, Any]:
    """Return the state columns of a new order of a kind.

    A timed order of a person who was granted an accommodation waits for the staff, as if the person
    had asked for it again.
    """
    order_class: type[Order] = Order.__mapper__.polymorphic_map[kind].class_
    table, progress = order_class.progress_table, order_class.first_progress()
    has_request = was_granted and issubclass(order_class, TimedOrder)
    return {
        "status": PENDING,
        "progress": progress,
        "waiting_for": waiting_for(table, PENDING, progress, has_request=has_request),
        "accommodation_asked_at": now if has_request else None,
    }


def _insert_candidate(session: Session, secret_box: SecretBox, placement: Placement) -> int:
    return insert_row(
        session,
        Candidate,
        email=placement.email,
        first_name=placement.first_name,
        last_name=placement.last_name,
        phone=placement.phone,
        email_digest=compute_email_digest(secret_box, placement.email),
    )

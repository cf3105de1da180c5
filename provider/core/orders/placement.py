"""Placing an order: once, however often and however simultaneously it is asked for."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.accounts import Caller
from provider.core.orders.link import INVITE, Link
from provider.core.orders.order import Candidate, Order, OrderEvent
from provider.core.products.product import Product, visibility_conditions
from provider.errors import Conflict
from provider.storage import secrets
from provider.storage.compiled import CompiledQuery, Pen
from provider.storage.database import insert_row
from provider.storage.secrets import SecretBox

_ORDER_COLUMNS = Order.__table__.c
_EXISTING_ORDER_QUERY = CompiledQuery(
    select(_ORDER_COLUMNS.public_id, _ORDER_COLUMNS.kind, _ORDER_COLUMNS.request_mac).where(
        _ORDER_COLUMNS.account_id == bindparam("account_id"),
        _ORDER_COLUMNS.external_key == bindparam("external_key"),
    )
)


@dataclass(frozen=True)
class Placement:
    """What an ATS asks for, in our words. `origin` is how its dialect knows the order again."""

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
    callback_host: str = (
        ""  # to which news of it goes; what `reply` says, so it is no content of its own
    )

    def canonical_json(self) -> bytes:
        """Return the same bytes for the same content."""
        said = {name: value for name, value in vars(self).items() if name != "callback_host"}
        return json.dumps(said, sort_keys=True).encode()


def place(
    session: Session | Pen,
    secret_box: SecretBox,
    kind: str,
    placement: Placement,
    caller: Caller,
    now: datetime,
) -> str | None:
    """Place an order, invite the candidate, and return its public id; None for no such product.

    The same wish again returns the same id and invites nobody; another wish under the same
    origin is a Conflict.
    """
    standing = _existing_order(session, secret_box, kind, placement, caller.account_id)
    if standing is not None:
        return standing
    product = _orderable_product_query(kind, caller).fetch_one(
        session, {"product": placement.product}
    )
    if product is None:
        return None
    product_id, version_id = product
    public_id = secrets.generate_public_id()
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
        request_mac=secret_box.compute_mac(placement.canonical_json(), "order"),
        reply_context=placement.reply_context,
        job_title=placement.job_title,
        job_reference=placement.job_reference,
        preferences=placement.preferences,
        revision=0,
        placed_at=now,
        expires_at=now + caller.expire_after,
    )
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
    session: Session | Pen, secret_box: SecretBox, kind: str, placement: Placement, account_id: int
) -> str | None:
    """Return the id of the order that was placed by this very wish, if there is one."""
    told = {"account_id": account_id, "external_key": placement.external_key}
    found = _EXISTING_ORDER_QUERY.fetch_one(session, told)
    if found is None:
        return None
    public_id, its_kind, fingerprint = found
    if its_kind != kind or not secret_box.is_valid_mac(
        fingerprint, placement.canonical_json(), "order"
    ):
        raise Conflict("Entity is already updated")
    return str(public_id)


@lru_cache(maxsize=1000)  # putting it together takes longer than running it
def _orderable_product_query(kind: str, caller: Caller) -> CompiledQuery:
    product = select(Product.id, Product.current_version_id)
    return CompiledQuery(
        product.where(
            Product.public_id == bindparam("product"), *visibility_conditions(kind, caller)
        )
    )


def _insert_candidate(session: Session | Pen, secret_box: SecretBox, placement: Placement) -> int:
    return insert_row(
        session,
        Candidate,
        email=placement.email,
        first_name=placement.first_name,
        last_name=placement.last_name,
        phone=placement.phone,
        email_digest=secret_box.blind_index(placement.email, "candidate e-mail"),
    )

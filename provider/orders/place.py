"""Placing an order: once, however often and however simultaneously it is asked for."""

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from provider import vault
from provider.accounts import Caller
from provider.errors import Conflict
from provider.orders.link import INVITE, Link
from provider.orders.order import Candidate, Order
from provider.orders.product import Product, visible
from provider.vault import Vault


@dataclass(frozen=True)
class Placement:
    """What an ATS asks for, in our words. `origin` is how its dialect knows the order again."""

    product: str
    origin: str
    email: str
    first_name: str = ""
    last_name: str = ""
    phone: str = ""
    job_title: str = ""
    job_reference: str = ""
    preferences: dict[str, Any] = field(default_factory=dict)
    reply: dict[str, Any] = field(default_factory=dict)

    def canonical(self) -> bytes:
        """Return the same bytes for the same content."""
        return json.dumps(asdict(self), sort_keys=True).encode()


def place(
    session: Session,
    keeper: Vault,
    kind: str,
    wish: Placement,
    caller: Caller,
    at: datetime,
) -> str | None:
    """Place an order, invite the candidate, and return its public id; None for no such product.

    The same wish again returns the same id and invites nobody; another wish under the same
    origin is a Conflict.
    """
    standing = _standing(session, keeper, kind, wish, caller.account_id)
    if standing is not None:
        return standing
    product = session.execute(
        select(Product.id, Product.current_version_id).where(
            Product.public_id == wish.product, *visible(kind, caller)
        )
    ).one_or_none()
    if product is None:
        return None
    order = _order(
        keeper, kind, wish, account_id=caller.account_id, product_id=product.id,
        version_id=product.current_version_id, placed_at=at, expires_at=at + caller.expire_after,
    )  # fmt: skip
    session.add_all([order, Link.mint(keeper, order, INVITE, at)])
    session.flush()
    order.tell(session, "placed", "ats", at)
    order.write_letter(session, "invitation", at)
    return order.public_id


def _standing(
    session: Session, keeper: Vault, kind: str, wish: Placement, account_id: int
) -> str | None:
    """Return the id of the order that was placed by this very wish, if there is one."""
    found = session.execute(
        select(Order.public_id, Order.kind, Order.fingerprint).where(
            Order.account_id == account_id, Order.origin == wish.origin
        )
    ).one_or_none()
    if found is None:
        return None
    if found.kind != kind or not keeper.same(found.fingerprint, wish.canonical(), "order"):
        raise Conflict("Entity is already updated")
    return str(found.public_id)


def _order(keeper: Vault, kind: str, wish: Placement, **columns: Any) -> Order:
    made: Order = (
        inspect(Order)
        .polymorphic_map[kind]
        .class_(
            public_id=vault.public_id(),
            candidate=_candidate(keeper, wish),
            origin=wish.origin,
            fingerprint=keeper.mac(wish.canonical(), "order"),
            reply=wish.reply,
            job_title=wish.job_title,
            job_reference=wish.job_reference,
            preferences=wish.preferences,
            revision=0,
            **columns,
        )
    )
    return made


def _candidate(keeper: Vault, wish: Placement) -> Candidate:
    return Candidate(
        email=wish.email,
        email_digest=keeper.index(wish.email, "candidate e-mail"),
        first_name=wish.first_name,
        last_name=wish.last_name,
        phone=wish.phone,
    )

"""Placing an order: once, however often and however simultaneously it is asked for."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from provider import outbox, vault
from provider.accounts import Caller
from provider.db import insert
from provider.errors import Conflict
from provider.orders.link import INVITE, Link
from provider.orders.order import Candidate, Event, Order
from provider.orders.product import Product, visible
from provider.statements import Pen, Ready
from provider.vault import Vault

_ORDERS = Order.__table__.c
_KNOWN = Ready(
    select(_ORDERS.public_id, _ORDERS.kind, _ORDERS.fingerprint).where(
        _ORDERS.account_id == bindparam("account_id"), _ORDERS.origin == bindparam("origin")
    )
)


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
    host: str = ""  # to which news of it goes; what `reply` says, so it is no content of its own

    def canonical(self) -> bytes:
        """Return the same bytes for the same content."""
        said = {name: value for name, value in vars(self).items() if name != "host"}
        return json.dumps(said, sort_keys=True).encode()


def place(
    session: Session | Pen,
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
    product = _orderable(kind, caller).row(session, {"product": wish.product})
    if product is None:
        return None
    product_id, version_id = product
    public_id = vault.public_id()
    order_id = insert(
        session, Order, public_id=public_id, kind=kind, account_id=caller.account_id,
        product_id=product_id, version_id=version_id,
        candidate_id=_candidate(session, keeper, wish), origin=wish.origin, host=wish.host,
        fingerprint=keeper.mac(wish.canonical(), "order"), reply=wish.reply,
        job_title=wish.job_title, job_reference=wish.job_reference, preferences=wish.preferences,
        revision=0, placed_at=at, expires_at=at + caller.expire_after,
    )  # fmt: skip
    insert(
        session, Link, order_id=order_id, purpose=INVITE, created_at=at,
        **Link.secret(keeper, public_id, INVITE),
    )  # fmt: skip
    insert(session, Event, order_id=order_id, revision=0, at=at, word="placed", actor="ats")
    outbox.append(
        session, lane=str(outbox.Lane(caller.account_id, outbox.MAIL)), key=public_id, sequence=0,
        topic="invitation", payload={"order": public_id}, at=at,
    )  # fmt: skip
    return public_id


def _standing(
    session: Session | Pen, keeper: Vault, kind: str, wish: Placement, account_id: int
) -> str | None:
    """Return the id of the order that was placed by this very wish, if there is one."""
    told = {"account_id": account_id, "origin": wish.origin}
    found = _KNOWN.row(session, told)
    if found is None:
        return None
    public_id, its_kind, fingerprint = found
    if its_kind != kind or not keeper.same(fingerprint, wish.canonical(), "order"):
        raise Conflict("Entity is already updated")
    return str(public_id)


@lru_cache(maxsize=1000)  # putting it together takes longer than running it
def _orderable(kind: str, caller: Caller) -> Ready:
    product = select(Product.id, Product.current_version_id)
    return Ready(product.where(Product.public_id == bindparam("product"), *visible(kind, caller)))


def _candidate(session: Session | Pen, keeper: Vault, wish: Placement) -> int:
    return insert(
        session, Candidate, email=wish.email, first_name=wish.first_name,
        last_name=wish.last_name, phone=wish.phone,
        email_digest=keeper.index(wish.email, "candidate e-mail"),
    )  # fmt: skip

"""The products that an account may see: all, or chosen ones. A product is found by its key."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from provider.core.accounts import Account, AccountProduct
from provider.core.products.product import Product
from provider.errors import Conflict, NotFound


def find_by_key(session: Session, key: str) -> Product:
    """Return the product with a key `KEY` or `KIND/KEY`.

    Raises NotFound, and Conflict if two kinds share the key.
    """
    matches = list_by_key(session, key)
    if not matches:
        raise NotFound(f"There is no product “{key}”: see `provider product list`")
    if len(matches) > 1:
        choices = " or ".join(f"{product.kind}/{product.key}" for product in matches)
        raise Conflict(f"Several products have the key {key}: write {choices}")
    return matches[0]


def list_by_key(session: Session, key: str) -> Sequence[Product]:
    """Return the products with a key `KEY` or `KIND/KEY`, at most one of each kind."""
    kind, _, short_key = key.replace("\x00", "").rpartition("/")
    query = select(Product).where(Product.key == short_key).order_by(Product.kind)
    return session.scalars(query.where(Product.kind == kind) if kind else query).all()


def choose_products(session: Session, account: Account, products: Iterable[Product] | None) -> None:
    """Let an account see these products only; None lets it see every published product."""
    account.all_products = products is None
    session.execute(delete(AccountProduct).where(AccountProduct.account_id == account.id))
    for product_id in sorted({product.id for product in products or ()}):
        session.add(AccountProduct(account_id=account.id, product_id=product_id))


def describe_choice(session: Session, account: Account) -> dict[str, Any]:
    """Return what the audit log says of an account's products."""
    query = select(Product.kind, Product.key).join(
        AccountProduct, AccountProduct.product_id == Product.id
    )
    rows = session.execute(query.where(AccountProduct.account_id == account.id))
    products = sorted(f"{row.kind}/{row.key}" for row in rows)
    return {"all_products": account.all_products, "products": products}

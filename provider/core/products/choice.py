"""The products that an account may see: all, or chosen ones."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from provider.core.accounts import Account, AccountProduct
from provider.core.products.product import Product


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

"""Products and their numbered versions. An ATS orders a product."""

from provider.core.products.draft import Draft
from provider.core.products.product import (
    DRAFT,
    PUBLISHED,
    Product,
    ProductVersion,
    list_published_products,
)

__all__ = [
    "DRAFT",
    "PUBLISHED",
    "Draft",
    "Product",
    "ProductVersion",
    "list_published_products",
]

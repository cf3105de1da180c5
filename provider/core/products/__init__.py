"""Products: what an ATS can pick, in numbered versions."""

from provider.core.products.product import (
    DRAFT,
    PUBLISHED,
    Product,
    ProductVersion,
    list_published_products,
)

__all__ = ["DRAFT", "PUBLISHED", "Product", "ProductVersion", "list_published_products"]

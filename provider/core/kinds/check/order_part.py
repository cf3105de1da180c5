"""The base of the parts of a check that change what every order does."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provider.core.orders import Order as OrderPart
else:
    OrderPart = object  # the class of checks inherits from Order as well

__all__ = ["OrderPart"]

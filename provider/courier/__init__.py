"""The courier empties lanes: claims what is due, has it sent, settles it."""

from provider.courier.courier import Courier
from provider.courier.embedded import EmbeddedCourier

__all__ = ["Courier", "EmbeddedCourier"]

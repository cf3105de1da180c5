"""The courier empties lanes: claims what is due, has it sent, settles it."""

from provider.courier.courier import Dispatcher
from provider.courier.embedded import InProcessDispatcher

__all__ = ["Dispatcher", "InProcessDispatcher"]

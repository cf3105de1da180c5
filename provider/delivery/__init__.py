"""The courier empties lanes: claims what is due, has it sent, settles it."""

from provider.delivery.dispatcher import Dispatcher
from provider.delivery.runners.in_process import InProcessDispatcher

__all__ = ["Dispatcher", "InProcessDispatcher"]

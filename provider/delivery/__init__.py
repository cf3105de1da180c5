"""Delivery of the outbox's messages: dispatcher, policy, channels and runners."""

from provider.delivery.dispatcher import Dispatcher
from provider.delivery.runners.in_process import InProcessDispatcher

__all__ = ["Dispatcher", "InProcessDispatcher"]

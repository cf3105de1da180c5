"""Channels: how messages leave. A new channel is a file here and an entry in `CHANNELS`."""

from provider.delivery.channels.base import Channel, PreparedDelivery
from provider.delivery.channels.callback import CallbackChannel
from provider.delivery.channels.connector import ConnectorChannel
from provider.delivery.channels.email import EmailChannel
from provider.delivery.channels.recording import RecordingChannel
from provider.delivery.channels.speech import SpeechChannel
from provider.delivery.channels.writer import WriterChannel
from provider.services import Services

CHANNELS: dict[str, type[Channel]] = {
    channel.name: channel
    for channel in (
        CallbackChannel,
        ConnectorChannel,
        EmailChannel,
        RecordingChannel,
        SpeechChannel,
        WriterChannel,
    )
}


def build_channels(services: Services) -> dict[str, Channel]:
    """Return an instance of each registered channel by its name."""
    return {name: channel(services) for name, channel in CHANNELS.items()}


__all__ = ["CHANNELS", "Channel", "PreparedDelivery", "build_channels"]

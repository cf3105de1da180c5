"""The largest body of a request, the same for every page, endpoint and proxy in front."""

MAX_BODY_BYTES = 2 * 1024 * 1024
# The server reads and discards a larger body up to this size, so that its sender gets the 413.
MAX_DISCARDED_BYTES = 64 * 1024 * 1024

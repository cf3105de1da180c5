"""The name by which this program introduces itself to an ATS."""

from importlib.metadata import version

USER_AGENT = f"provider/{version('provider')}"

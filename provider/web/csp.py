"""What a page may load and do: nothing inline, nothing from elsewhere but recordings."""

from functools import lru_cache

STRICT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; media-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)


@lru_cache
def page_policy(origin: str | None) -> str:
    """Return what every page may do; `origin` is where recordings are, when not with us."""
    if origin is None:
        return STRICT_POLICY
    media = STRICT_POLICY.replace("media-src 'self'", f"media-src 'self' {origin}")
    return media.replace("img-src 'self'", f"img-src 'self' {origin}")


@lru_cache
def recording_page_policy(origin: str | None) -> str:
    """Return it for a page that records, and plays from memory what is not saved yet."""
    return page_policy(origin).replace("media-src 'self'", "media-src 'self' blob:")

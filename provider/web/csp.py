"""The Content-Security-Policy of pages: no inline code, and no other origin except for media."""

from functools import lru_cache

STRICT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; media-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)


@lru_cache
def page_policy(origin: str | None) -> str:
    """Return the policy of a page; `origin` is the media store's, None when this server has it."""
    if origin is None:
        return STRICT_POLICY
    media = STRICT_POLICY.replace("media-src 'self'", f"media-src 'self' {origin}")
    return media.replace("img-src 'self'", f"img-src 'self' {origin}")


@lru_cache
def recording_page_policy(origin: str | None) -> str:
    """Return the policy of a page that records; it may play a take from memory (`blob:`)."""
    return page_policy(origin).replace("media-src 'self'", "media-src 'self' blob:")

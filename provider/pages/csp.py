"""What a page may load and do: nothing inline, nothing from elsewhere."""

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; media-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
# A page that records also plays what stands in memory alone until it is saved.
RECORDING = CSP.replace("media-src 'self'", "media-src 'self' blob:")

"""The type of a file by its first bytes. The name and the declared type of a file are no proof."""

# (offset, bytes there, type); the first match decides.
_SIGNATURES = (
    (0, b"\x1a\x45\xdf\xa3", "video/webm"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftyphei", "image/heic"),
    (4, b"ftypmif", "image/heic"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (0, b"OggS", "audio/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"\xff\xf2", "audio/mpeg"),
    (0, b"%PDF-", "application/pdf"),
)
FIRST_BYTES = 16  # that `detect_type` needs


def detect_type(first_bytes: bytes) -> str | None:
    """Return the type of a file that begins with these bytes; None for an unknown one."""
    return next(
        (
            content_type
            for offset, signature, content_type in _SIGNATURES
            if first_bytes[offset:].startswith(signature)
        ),
        None,
    )

"""Pictures that staff upload: decoded, turned upright, made smaller, and encoded again.

The new file has the pixels alone. So it has no place of a camera, no data behind the picture, and
nothing that a decoder of a candidate's device could misread.
"""

import io
from typing import TYPE_CHECKING, Any

from provider.core.products.files import MAX_BYTES, PICTURE
from provider.errors import Invalid

# The library is imported at the first use, because most processes decode no picture.
if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 24_000_000  # of the uploaded picture; one of 24 million takes 100 MB while decoded
MAX_SIDE_PIXELS = 2000  # of the picture that is stored
QUALITY = 88
_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": QUALITY, "optimize": True},
    "PNG": {"optimize": True},
    "WEBP": {"quality": QUALITY},
}


def clean_picture(content: bytes) -> tuple[bytes, str]:
    """Return the picture encoded again, and its type. Raises Invalid with a sentence."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(content), formats=tuple(_TYPES)) as opened:
            width, height = opened.size
            if width * height > MAX_PIXELS:
                raise _too_many_pixels()
            if getattr(opened, "is_animated", False):
                raise Invalid("This picture moves. Choose one that stands still")
            file_format = opened.format or ""
            picture = _plain_colours(ImageOps.exif_transpose(opened), file_format)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels() from error
    except (OSError, SyntaxError, ValueError) as error:
        raise Invalid(
            "This file is no picture that can be read. Choose a JPEG, PNG or WebP file"
        ) from error
    picture.thumbnail((MAX_SIDE_PIXELS, MAX_SIDE_PIXELS))
    return _encode(picture, file_format), _TYPES[file_format]


def _encode(picture: "Image", file_format: str) -> bytes:
    while True:
        target = io.BytesIO()
        picture.save(target, file_format, **_SAVE_OPTIONS[file_format])
        if len(target.getvalue()) <= MAX_BYTES[PICTURE]:
            return target.getvalue()
        picture = picture.resize((max(1, picture.width * 3 // 4), max(1, picture.height * 3 // 4)))


def _plain_colours(picture: "Image", file_format: str) -> "Image":
    """Return the picture in grey or RGB, with transparency where it has some, without metadata."""
    has_transparency = picture.has_transparency_data and file_format != "JPEG"
    if has_transparency:
        plain = picture.convert("RGBA")
    else:
        plain = picture.convert("L" if picture.mode in ("1", "L") else "RGB")
    plain.info = {}
    return plain


def _too_many_pixels() -> Invalid:
    return Invalid(
        f"This picture has more than {MAX_PIXELS // 1_000_000} million pixels. "
        "Make it smaller, and choose it again"
    )

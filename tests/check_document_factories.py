"""Documents that candidates send, and checks that need some."""

import io
from collections.abc import Mapping
from typing import Any

import pikepdf
from PIL import Image, ImageDraw

from provider.core.kinds.check import Check
from provider.core.kinds.check.dispute_documents import add_dispute_document
from provider.core.kinds.check.documents import add_document, stored_documents, stored_upload
from provider.core.kinds.check.tables.check_document import (
    DISPUTE_SLOT,
    CheckDocument,
    list_documents,
)
from provider.services import Services
from tests import check_factories
from tests import factories as base_factories

SCREENINGS: list[dict[str, Any]] = [
    {"key": "identity", "name": "Identity", "type": "identity", "asks": ["full_name"]},
    {
        "key": "dbs",
        "name": "DBS check",
        "type": "dbs_basic",
        "asks": ["full_name"],
        "documents": ["dbs_group_1"],
    },
    {"key": "record", "name": "Criminal record"},
]
# Camera, place and author: no picture of a page may have them.
CANARY = b"EVIL-CANARY"


def picture(width: int = 120, height: int = 80, colour: str = "white") -> Image.Image:
    """Return a picture with a red corner at its upper left."""
    drawn = Image.new("RGB", (width, height), colour)
    ImageDraw.Draw(drawn).rectangle((0, 0, width // 3, height // 3), fill=(220, 20, 20))
    return drawn


def encode(drawn: Image.Image, file_format: str, **options: Any) -> bytes:
    target = io.BytesIO()
    drawn.save(target, file_format, **options)
    return target.getvalue()


def jpeg(orientation: int = 1, width: int = 120, height: int = 80) -> bytes:
    """Return a JPEG whose metadata has the canary."""
    exif = Image.Exif()
    exif[0x0112], exif[0x013B], exif[0x010E] = orientation, CANARY.decode(), CANARY.decode()
    return encode(picture(width, height), "JPEG", exif=exif, comment=CANARY)


def png(**options: Any) -> bytes:
    return encode(picture(), "PNG", **options)


def webp(**options: Any) -> bytes:
    return encode(picture(), "WEBP", **options)


def pdf(
    pages: int = 1, size: tuple[float, float] = (300, 200), content: bytes = b"", **root: Any
) -> bytes:
    """Return a PDF with a red corner on each page; `root` has more entries of its catalogue."""
    document = pikepdf.new()
    for _ in range(pages):
        page = document.add_blank_page(page_size=size)
        drawing = f"1 0 0 rg 0 {size[1] * 2 / 3} {size[0] / 3} {size[1] / 3} re f\n".encode()
        page.Contents = document.make_stream(drawing + content)
    for name, value in root.items():
        document.Root[f"/{name}"] = value
    return save(document)


def save(document: pikepdf.Pdf, **options: Any) -> bytes:
    target = io.BytesIO()
    # An encrypted PDF has a random ID in any case.
    document.save(target, deterministic_id="encryption" not in options, **options)
    return target.getvalue()


def place_check(services: Services, account: str = "Groove Tech") -> str:
    """Return the public id of a check that needs an identity document and one of DBS group 1."""
    product = check_factories.create_package(services, screenings=SCREENINGS)
    account_id, _ = base_factories.create_account(services, account, timezone="Europe/Athens")
    return base_factories.place_order(services, account_id, product, "check")


def send_document(
    services: Services,
    public_id: str,
    slot: str = "identity",
    content: bytes | None = None,
    label: str = "",
) -> str:
    """Send a document as the candidate; return its public id."""
    with (
        stored_upload(content or jpeg(), services.media, services.secret_box, None) as upload,
        services.db.writing() as session,
    ):
        check = Check.find(session, public_id)
        add_document(session, check, slot, label, upload, services.now())
        return upload.public_id


def documents_of(services: Services, public_id: str) -> list[CheckDocument]:
    with services.db.reading() as session:
        return list(stored_documents(session, Check.find(session, public_id)))


def stored_keys(services: Services) -> list[str]:
    return sorted(key for key, _ in services.media.list_files(folder="check-documents"))


def is_red(pixel: Any) -> bool:
    red, green, blue = pixel[:3]
    return bool(red > 150 and green < 90 and blue < 90)


def task_states(services: Services, public_id: str) -> Mapping[str, str]:
    with services.db.reading() as session:
        return {task.key: task.state for task in Check.find(session, public_id).tasks}


def send_dispute_document(
    services: Services, public_id: str, screening: str = "jobs", content: bytes | None = None
) -> str:
    """Add a document to a dispute, or before it is sent, as the candidate; return its public id."""
    with (
        stored_upload(content or jpeg(), services.media, services.secret_box, None) as upload,
        services.db.writing() as session,
    ):
        check = Check.find(session, public_id, lock=True)
        folders = add_dispute_document(session, check, screening, upload, services.now())
    for folder in folders:
        services.media.delete_folder(folder)
    return upload.public_id


def dispute_documents(services: Services, public_id: str) -> list[CheckDocument]:
    """Return the rows of the documents with disputes, also of deleted ones."""
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        return [row for row in list_documents(session, check) if row.slot == DISPUTE_SLOT]

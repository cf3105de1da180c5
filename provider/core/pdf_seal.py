"""Seals a PDF: a certifying signature, which any later change of the file breaks."""

from io import BytesIO
from pathlib import Path

from provider.errors import Unavailable

FIELD_NAME = "Seal"


def seal_pdf(pdf: bytes, key_file: Path, password: str) -> bytes:
    """Return the PDF with a certifying signature by the key of a PKCS#12 file.

    The bytes of the PDF stay in front of the signature. Raises Unavailable without the package or
    with a file or a password that does not fit.
    """
    try:
        # Late: an extra of the installation, and its import takes most of a second.
        from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
        from pyhanko.sign import signers
        from pyhanko.sign.fields import MDPPerm
    except ImportError:
        raise Unavailable(
            "PROVIDER_SEAL_FILE needs the extra seal: install provider[seal]"
        ) from None
    signer = signers.SimpleSigner.load_pkcs12(  # type: ignore[no-untyped-call]
        str(key_file), passphrase=password.encode()
    )
    if signer is None:
        raise Unavailable("PROVIDER_SEAL_FILE cannot be read: check the file and its password")
    metadata = signers.PdfSignatureMetadata(
        field_name=FIELD_NAME, certify=True, docmdp_permissions=MDPPerm.NO_CHANGES
    )
    sealed = signers.sign_pdf(IncrementalPdfFileWriter(BytesIO(pdf)), metadata, signer)
    return bytes(sealed.getvalue())

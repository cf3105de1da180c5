"""Seals a PDF: a certifying signature, which any later change of the file breaks."""

from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from provider.errors import Unavailable

FIELD_NAME = "Seal"


def seal_pdf(pdf: bytes, key_file: Path, password: str, now: datetime) -> bytes:
    """Return the PDF with a certifying signature of `now` by the key of a PKCS#12 file.

    The bytes of the PDF stay in front of the signature. Raises Unavailable without the package or
    with a file or a password that does not fit.
    """
    try:
        # Late: an extra of the installation, and its import takes most of a second.
        from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
        from pyhanko.sign import signers
        from pyhanko.sign.fields import MDPPerm
        from pyhanko.sign.signers.pdf_signer import PdfSigningSession
    except ImportError:
        raise Unavailable(
            "PROVIDER_SEAL_FILE needs the extra seal: install provider[seal]"
        ) from None
    signer = signers.SimpleSigner.load_pkcs12(  # type: ignore[no-untyped-call]
        str(key_file), passphrase=password.encode()
    )
    if signer is None:
        raise Unavailable("PROVIDER_SEAL_FILE cannot be read: check the file and its password")

    class SignerAtTime(signers.PdfSigner):
        """Signs at `now`; pyhanko would take the machine's clock."""

        def init_signing_session(self, *args: Any, **kwargs: Any) -> PdfSigningSession:
            session = super().init_signing_session(*args, **kwargs)
            # The session writes it as `/M` and as the signed attribute `signing_time`.
            session.system_time = now
            return session

    metadata = signers.PdfSignatureMetadata(
        field_name=FIELD_NAME, certify=True, docmdp_permissions=MDPPerm.NO_CHANGES
    )
    sealed = SignerAtTime(metadata, signer).sign_pdf(IncrementalPdfFileWriter(BytesIO(pdf)))
    return bytes(sealed.getvalue())

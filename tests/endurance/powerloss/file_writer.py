"""Stores files as the server does, under the shim: recordings, e-mails, the secret key.

`python -m tests.endurance.powerloss.file_writer ROOT COUNT` acknowledges each file once stored.
"""

import hashlib
import json
import os
import random
import sys
from pathlib import Path

from provider import config
from provider.delivery import smtp
from provider.storage.media import MediaStore
from tests.endurance.powerloss.replay import ACKNOWLEDGEMENT_FILE


def main(root: Path, count: int) -> None:
    """Store and acknowledge `count` files of each sort."""
    instance, rng = root / "instance", random.Random(count)
    acknowledgement_file = os.open(
        root / ACKNOWLEDGEMENT_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
    )

    def acknowledge(path: str) -> None:
        digest = hashlib.sha256((root / path).read_bytes()).hexdigest()
        line = json.dumps({"file": path, "sha256": digest})
        os.write(acknowledgement_file, line.encode() + b"\n")

    media = MediaStore(f"file:{instance / 'media'}")
    for number in range(count):
        config.load_settings({"PROVIDER_INSTANCE": str(root / f"instances/{number}")})
        acknowledge(f"instances/{number}/secret.key")
        media.put(f"recordings/{number}.webm", [rng.randbytes(9_000), rng.randbytes(5_000)])
        acknowledge(f"instance/media/recordings/{number}.webm")
        media.put(f"recordings/{number}.jpg", [rng.randbytes(3_000)])
        acknowledge(f"instance/media/recordings/{number}.jpg")
        smtp.send_email(rng.randbytes(2_000), url=None, folder=instance / "mail", name=f"{number}")
        acknowledge(f"instance/mail/{number}.eml")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

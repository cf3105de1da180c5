"""Keeps files as the server does, under the shim: recordings, letters, the secret key.

`python -m tests.endurance.powerloss.file_writer ROOT COUNT`; each is promised when it is said to be kept.
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
    """Keep as many of each, and promise them one by one."""
    instance, luck = root / "instance", random.Random(count)
    witness = os.open(root / ACKNOWLEDGEMENT_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def promise(path: str) -> None:
        digest = hashlib.sha256((root / path).read_bytes()).hexdigest()
        line = json.dumps({"file": path, "sha256": digest})
        os.write(witness, line.encode() + b"\n")

    media = MediaStore(f"file:{instance / 'media'}")
    for number in range(count):
        config.load_settings({"PROVIDER_INSTANCE": str(root / f"instances/{number}")})
        promise(f"instances/{number}/secret.key")
        media.put(f"recordings/{number}.webm", [luck.randbytes(9_000), luck.randbytes(5_000)])
        promise(f"instance/media/recordings/{number}.webm")
        media.put(f"recordings/{number}.jpg", [luck.randbytes(3_000)])
        promise(f"instance/media/recordings/{number}.jpg")
        smtp.send_email(luck.randbytes(2_000), url=None, folder=instance / "mail", name=f"{number}")
        promise(f"instance/mail/{number}.eml")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

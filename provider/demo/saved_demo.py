"""The file with which `provider demo --show` opens the folder of an earlier demo."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from provider.errors import NotFound

FILE_NAME = "demo.json"


@dataclass(frozen=True)
class SavedDemo:
    """The ATS, the sign-in of the console, and the tokens between server and ATS."""

    ats: str
    ats_port: int
    staff_email: str
    staff_password: str
    token: str = ""
    callback_token: str = ""

    def write(self, folder: Path) -> None:
        path = folder / FILE_NAME
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)))

    @staticmethod
    def exists(folder: Path) -> bool:
        return (folder / FILE_NAME).exists()

    @classmethod
    def read(cls, folder: Path) -> "SavedDemo":
        """Read the file; NotFound if the folder has none, or one of another version."""
        try:
            return cls(**json.loads((folder / FILE_NAME).read_text()))
        except (FileNotFoundError, TypeError, ValueError):
            raise NotFound(
                f"{folder} has no demo to show: give a folder that `provider demo` has printed"
            ) from None

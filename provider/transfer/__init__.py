"""A whole instance from one place to another: moved, backed up, restored, and proved equal."""

from provider.transfer.backup import back_up
from provider.transfer.manifest import Manifest
from provider.transfer.move import Moved, move
from provider.transfer.purge import unnamed
from provider.transfer.restore import put_key, restore
from provider.transfer.tables import Sums, Tell

__all__ = ["Manifest", "Moved", "Sums", "Tell", "back_up", "move", "put_key", "restore", "unnamed"]

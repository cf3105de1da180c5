"""Backups and restores in processes of their own, which may be killed or have a small disk.

The module imports only what the server of forked processes has imported: every process imports it.
"""

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

from provider.config import Settings
from provider.errors import ProviderError
from provider.maintenance import Manifest, create_backup, restore_backup, row_codec
from provider.maintenance.table_copy import ProgressCallback
from provider.services import Services
from tests import factories
from tests.forked_program import PROCESS_CONTEXT


def ignore_progress(*_: object) -> None:
    """Take a progress report and do nothing."""


class KillAfter:
    """A progress callback that kills its process at the nth call."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def __call__(self, *_: object) -> None:
        self.calls -= 1
        if self.calls <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


def run_in_process(action: Callable[..., None], *args: object) -> int | None:
    """Run an action in a new process; return its exit code.

    The process is not forked from this one, because obstore has threads.
    """
    process = PROCESS_CONTEXT.Process(target=action, args=args)
    process.start()
    process.join(60)
    return process.exitcode


def backup(
    services: Services, folder: Path, report_progress: ProgressCallback = ignore_progress
) -> Manifest:
    """Create a backup, then close the database as the command does."""
    try:
        return create_backup(
            services.db,
            services.media,
            services.settings,
            folder,
            services.now(),
            report_progress,
        )
    finally:
        services.db.close()


def back_up_in_process(settings: Settings, folder: Path, report_progress: ProgressCallback) -> None:
    backup(factories.build_services(settings, factories.ManualClock()), folder, report_progress)


def back_up_to_small_disk(
    settings: Settings, folder: Path, error_file: Path, max_file_bytes: int = 200_000
) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, max_file_bytes))
    try:
        back_up_in_process(settings, folder, ignore_progress)
    except (ProviderError, OSError) as error:
        error_file.write_text(f"{type(error).__name__}: {error}")


def restore_in_process(folder: Path, settings: Settings, report_progress: ProgressCallback) -> None:
    row_codec.BATCH_SIZE = 2
    restore_backup(folder, settings, report_progress)

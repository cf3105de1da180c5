"""The modules that a worker process loads."""

import subprocess
import sys


def test_worker_module_loads_no_flask() -> None:
    code = "import sys, provider.delivery.runners.worker; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert not {"flask", "werkzeug"} & set(result.stdout.decode().split())

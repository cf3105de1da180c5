"""`make scan`: run scanners that are no dependencies, each from an environment of its own.

gixy reads the nginx file; wapiti and Lighthouse visit a server with the sample products. A scanner
that cannot be installed is named at the end.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.request import urlopen

from tests.conftest import CHROMIUM_PATH

FOLDER = Path(".venv-scan").absolute()
NGINX_FILE = Path("provider/samples/deployment/nginx.conf")
PORT = 8765
URL = f"http://127.0.0.1:{PORT}"
START_TIMEOUT_SECONDS = 30
WAPITI_SECONDS = 300


def install_from_pypi(package: str) -> bool:
    folder = FOLDER / package
    if not (folder / "bin/python").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = subprocess.run([folder / "bin/pip", "install", "--quiet", package])
    return pip.returncode == 0


def install_lighthouse() -> bool:
    if not shutil.which("npm"):
        return False
    command = ["npm", "install", "--silent", "--prefix", f"{FOLDER}/lighthouse", "lighthouse"]
    return subprocess.run(command).returncode == 0


def run_gixy(work: Path) -> None:
    file = work / "nginx.conf"
    file.write_text(f"events {{}}\nhttp {{\n{NGINX_FILE.read_text('utf-8')}\n}}\n")
    subprocess.run([FOLDER / "gixy-ng/bin/gixy", file])


def run_wapiti(work: Path) -> None:
    options = ("--scope", "folder", "--max-scan-time", str(WAPITI_SECONDS), "--flush-session")
    report = ("--format", "txt", "--output", work / "wapiti.txt")
    subprocess.run([FOLDER / "wapiti3/bin/wapiti", "-u", f"{URL}/", *options, *report])
    print((work / "wapiti.txt").read_text("utf-8"))


def run_lighthouse(work: Path) -> None:
    program = FOLDER / "lighthouse/node_modules/.bin/lighthouse"
    flags = "--chrome-flags=--headless --no-sandbox"
    report = ("--output=html", f"--output-path={FOLDER / 'lighthouse.html'}", "--quiet")
    environ = os.environ | {"CHROME_PATH": CHROMIUM_PATH}
    subprocess.run([program, f"{URL}/console/sign-in", flags, *report], env=environ)
    print(f"Lighthouse wrote {FOLDER / 'lighthouse.html'}")


@contextmanager
def server(work: Path) -> Iterator[None]:
    """Serve a new instance with the sample products."""
    environ = os.environ | {"PROVIDER_INSTANCE": str(work / "instance")}
    program = [sys.executable, "-m", "provider.cli"]
    for command in ("init", "seed"):
        subprocess.run([*program, command], env=environ, check=True, stdout=subprocess.DEVNULL)
    process = subprocess.Popen([*program, "serve", "--port", str(PORT)], env=environ)
    try:
        wait_for_server()
        yield
    finally:
        process.terminate()
        process.wait()


def wait_for_server() -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        try:
            urlopen(f"{URL}/health", timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise SystemExit(f"The server does not answer at {URL}")


def main() -> None:
    scanners: dict[str, tuple[Callable[[], bool], Callable[[Path], None]]] = {
        "gixy": (partial(install_from_pypi, "gixy-ng"), run_gixy),
        "wapiti": (partial(install_from_pypi, "wapiti3"), run_wapiti),
        "Lighthouse": (install_lighthouse, run_lighthouse),
    }
    not_run = []
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)):
        for name, (install, run) in scanners.items():
            print(f"== {name}", flush=True)
            try:
                if install():
                    run(Path(folder))
                    continue
            except (OSError, subprocess.CalledProcessError) as error:
                print(error)
            not_run.append(name)
    print(f"Not run: {', '.join(not_run) or 'none'}")


if __name__ == "__main__":
    main()

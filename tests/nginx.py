"""nginx with the deployment guide's file, on ports of its own."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

SAMPLE_FILE = Path(__file__).parents[1] / "provider" / "samples" / "deployment" / "nginx.conf"
HOST_NAME = "tests.example.com"
# The guide to deployment asks for these.
WORKER_CONNECTIONS, WORKER_FILES = "worker_connections 4000", "worker_rlimit_nofile 8192"
START_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Nginx:
    """A running nginx."""

    http_port: int
    https_port: int
    pid: int


def is_installed() -> bool:
    return shutil.which("nginx") is not None


def write_configuration(folder: Path, replacements: dict[str, str]) -> Path:
    """Write a configuration that includes the sample, and a certificate; return its path."""
    sample = SAMPLE_FILE.read_text("utf-8")
    for text, replacement in {
        f"/etc/letsencrypt/live/{HOST_NAME}": str(folder),
        "/var/log/nginx": str(folder),
        **replacements,
    }.items():
        sample = sample.replace(text, replacement)
    certificate = ["-out", str(folder / "fullchain.pem"), "-keyout", str(folder / "privkey.pem")]
    options = ["-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={HOST_NAME}"]
    subprocess.run(["openssl", "req", *options, *certificate], check=True, capture_output=True)
    temporary_paths = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = folder / "nginx.conf"
    user = "user root;\n" if os.getuid() == 0 else ""
    path.write_text(
        f"{user}daemon off;\npid {folder}/pid;\n{WORKER_FILES};\n"
        f"events {{{WORKER_CONNECTIONS};}}\n"
        f"http {{\naccess_log off;\n{temporary_paths}{sample}\n}}\n"
    )
    return path


@contextmanager
def running_nginx(
    folder: Path, upstream_port: int, *, host_name: str = HOST_NAME, tls: bool = True
) -> Iterator[Nginx]:
    """Run nginx in front of a server; RuntimeError with its output if it does not start.

    Without `tls` the port for https speaks http, for clients that measure.
    """
    http_port, https_port = _free_port(), _free_port()
    sample = SAMPLE_FILE.read_text("utf-8")
    ipv6_lines = dict.fromkeys(re.findall(r" *listen \[::\].*\n", sample), "")
    without_tls = {} if tls else {f"127.0.0.1:{https_port} ssl": f"127.0.0.1:{https_port}"}
    path = write_configuration(
        folder,
        {
            **ipv6_lines,
            "listen 80": f"listen 127.0.0.1:{http_port}",
            "listen 443": f"listen 127.0.0.1:{https_port}",
            "127.0.0.1:8000": f"127.0.0.1:{upstream_port}",
            HOST_NAME: host_name,
            **without_tls,
        },
    )
    log_path = folder / "errors"
    process = subprocess.Popen(
        ["nginx", "-e", log_path, "-c", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_until_listening(process, https_port, log_path)
        yield Nginx(http_port, https_port, process.pid)
    finally:
        process.terminate()
        process.wait()


def _wait_until_listening(process: "subprocess.Popen[bytes]", port: int, log_path: Path) -> None:
    deadline = monotonic() + START_TIMEOUT_SECONDS
    while process.poll() is None and monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            sleep(0.02)
        else:
            return
    raise RuntimeError(f"nginx does not start: {log_path.read_text('utf-8', 'replace')}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

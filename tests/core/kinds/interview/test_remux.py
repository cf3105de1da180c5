"""The process that reads a recording: its verdicts, its limits and its end."""

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import av
import pytest

from provider.core.kinds.interview import remux as remux_module
from provider.core.kinds.interview.remux import remux
from provider.errors import Invalid, Unavailable
from tests.core.kinds.interview.recordings import HEIGHT, RECORDERS, WIDTH, recorded

READY = "print('ready', flush=True)"


def run(source: Path) -> remux_module.RemuxResult:
    return remux(source, source.with_name("copy"), source.with_name("poster.jpg"))


@pytest.fixture
def run_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of a program that `remux` runs in place of the reader."""
    path = tmp_path / "program.py"
    monkeypatch.setattr(remux_module, "READER_PATH", path)
    return path


@pytest.mark.parametrize("recorder", RECORDERS)
def test_remux_writes_copy_and_poster(tmp_path: Path, recorder: str) -> None:
    result = run(recorded(tmp_path, recorder))
    assert result.seconds == pytest.approx(2, abs=0.3)
    assert (result.width, result.height) == (WIDTH, HEIGHT)
    assert (tmp_path / "copy").stat().st_size
    assert (tmp_path / "poster.jpg").stat().st_size


def test_remux_broken_recording_is_invalid(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"hello")
    with pytest.raises(Invalid, match="cannot be read: the file is neither WebM nor MP4"):
        run(source)


def test_server_does_not_load_the_decoders() -> None:
    program = "import sys, provider.app; print('av' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    assert output.stdout == b"False\n"


def test_reader_knows_no_secret(
    tmp_path: Path, run_program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVIDER_SECRET_KEY", "canary")
    run_program.write_text(
        f"{READY}; import json, os; print(json.dumps({{'broken': str(dict(os.environ))}}))"
    )
    with pytest.raises(Invalid) as caught:
        run(tmp_path)
    assert "PATH" in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "end",
    [
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os.kill(os.getpid(), signal.SIGSEGV)",
        "sys.exit(3)",
        "sys.exit(0)",  # without a verdict
        "signal.alarm(30); signal.pause()",
        "resource.setrlimit(resource.RLIMIT_CPU, (0, 0))\nwhile True: pass",
    ],
)
def test_reader_that_stops_twice_makes_recording_invalid(
    tmp_path: Path, run_program: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(remux_module, "TIMEOUT_SECONDS", 1 if "pause" in end else 30)
    runs = tmp_path / "runs"
    run_program.write_text(
        f"import os, resource, signal, sys\nopen({str(runs)!r}, 'a').write('x')\n{READY}\n{end}"
    )
    with pytest.raises(Invalid, match="it stops its reader"):
        run(tmp_path)
    assert runs.read_text() == "xx"


def test_reader_that_stops_once_is_run_again(tmp_path: Path, run_program: Path) -> None:
    verdict = json.dumps({"seconds": 2.5, "width": 640, "height": 480})
    program = f"""
        import os, pathlib
        {READY}
        mark = pathlib.Path({str(tmp_path / "mark")!r})
        if not mark.exists():
            mark.touch()
            os.abort()
        print({verdict!r})
    """
    run_program.write_text(dedent(program))
    assert run(tmp_path).seconds == 2.5


@pytest.mark.parametrize(
    "program",
    ["raise ImportError", f'{READY}; print(\'{{"unavailable": "No space left on device"}}\')'],
)
def test_machine_at_fault_is_unavailable(tmp_path: Path, run_program: Path, program: str) -> None:
    run_program.write_text(program)
    with pytest.raises(Unavailable, match="cannot be processed now"):
        run(tmp_path)


# Copies that are encoded again


def decode(path: Path) -> tuple[int, int, int]:
    """Return the frames and the size of a picture. An error of the decoder is an error."""
    with av.open(path) as container:
        frames = [(frame.width, frame.height) for frame in container.decode(video=0)]
    with av.open(path) as container:
        assert sum(1 for _ in container.decode(audio=0))
    (size,) = set(frames)
    return len(frames), *size


def damage_packets(source: Path, share: float) -> int:
    """Overwrite the start of each n-th packet of the picture; return their number."""
    with av.open(source) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    data = source.read_bytes()
    damaged = packets[3 :: round(1 / share)]
    for packet in damaged:
        data = data.replace(packet, b"\xff" * len(packet))
    source.write_bytes(data)
    return len(damaged)


@pytest.mark.parametrize("recorder", ["webm", "mp4", "matroska"])
def test_damaged_recording_is_mended(tmp_path: Path, recorder: str) -> None:
    source = recorded(tmp_path, recorder)
    assert damage_packets(source, 0.1) == 2
    result = run(source)
    assert 0 < result.damaged <= 2
    frames, width, height = decode(tmp_path / "copy")
    assert (width, height) == (WIDTH, HEIGHT)
    assert 15 <= frames < 20
    assert result.seconds == pytest.approx(2, abs=0.3)


def test_recording_that_is_mostly_damaged_is_invalid(tmp_path: Path) -> None:
    source = recorded(tmp_path, "mp4", seconds=4)
    data = source.read_bytes()
    with av.open(source) as container:
        for packet in container.demux(container.streams.video[0], container.streams.audio[0]):
            if packet.size > 20:
                data = data.replace(bytes(packet), b"\xff" * packet.size)
    source.write_bytes(data)
    with pytest.raises(Invalid, match=r"cannot be (read|decoded)"):
        run(source)


@pytest.mark.parametrize("recorder", ["webm", "mp4", "matroska"])
@pytest.mark.parametrize("rotation", [0, 90])
def test_heavy_recording_becomes_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorder: str, rotation: int
) -> None:
    monkeypatch.setattr(remux_module, "SMALL_HEIGHT_PIXELS", 60)
    source = recorded(tmp_path, recorder, rotation=rotation)
    result = remux(source, tmp_path / "copy", tmp_path / "poster.jpg", shrink=True)
    assert (result.width, result.height) == ((60, 80) if rotation else (80, 60))
    assert decode(tmp_path / "copy") == (20, 80, 60)
    with av.open(tmp_path / "copy") as container:
        assert container.duration == pytest.approx(2_000_000, abs=300_000)
        assert abs(next(container.decode(video=0)).rotation) == rotation


def test_recording_stays_as_it_is_when_encoding_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remux_module, "SMALL_HEIGHT_PIXELS", 60)
    program = tmp_path / "program.py"
    program.write_text(f"{READY}; import os; os.abort()")
    monkeypatch.setattr(remux_module, "ENCODER_PATH", program)
    source = recorded(tmp_path, "webm")
    result = remux(source, tmp_path / "copy", tmp_path / "poster.jpg", shrink=True)
    assert (result.width, result.height) == (WIDTH, HEIGHT)
    assert decode(tmp_path / "copy") == (20, WIDTH, HEIGHT)

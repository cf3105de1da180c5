"""Playable copies of recordings. The recordings are generated like those of a browser."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.container import OutputContainer

from provider.core.kinds.interview.remux import remux
from provider.errors import Invalid

CODECS = {
    "webm": ("libvpx", "libopus", {"live": "1"}),
    "matroska": ("libx264", "libopus", {"live": "1"}),
    "mp4": ("libx264", "aac", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
}


def recorded(
    folder: Path, container_format: str, *, seconds: int = 2, picture: bool = True
) -> Path:
    """Write a recording as a browser does: without a length and an index."""
    path = folder / f"recorded.{container_format}"
    video_codec, audio_codec, options = CODECS[container_format]
    with av.open(path, "w", format=container_format, options=options) as output:
        video = output.add_stream(video_codec, rate=10, options={"g": "10"}) if picture else None
        audio = output.add_stream(audio_codec, rate=48000)
        if isinstance(video, av.VideoStream):
            _write_video(output, video, seconds)
        assert isinstance(audio, av.AudioStream)
        for number in range(seconds * 50):
            sound = av.AudioFrame("flt", "mono", 960)
            sound.planes[0].update(bytes(sound.planes[0].buffer_size))
            sound.rate, sound.pts, sound.time_base = 48000, number * 960, Fraction(1, 48000)
            output.mux(audio.encode(sound))
        output.mux(audio.encode(None))
    return path


def _write_video(output: OutputContainer, video: av.VideoStream, seconds: int) -> None:
    video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
    for number in range(seconds * 10):
        frame = av.VideoFrame(160, 120, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([number * 10 % 255]) * plane.buffer_size)
        frame.pts, frame.time_base = number, Fraction(1, 10)
        output.mux(video.encode(frame))
    output.mux(video.encode(None))


@pytest.mark.parametrize("container_format", ["webm", "matroska", "mp4"])
def test_remux_copy_has_length_and_seeks(tmp_path: Path, container_format: str) -> None:
    source = recorded(tmp_path, container_format)
    copy, poster = tmp_path / "copy", tmp_path / "poster.jpg"
    result = remux(source, copy, poster)
    assert result.seconds == pytest.approx(2, abs=0.3)
    assert result.has_poster
    assert poster.read_bytes().startswith(b"\xff\xd8\xff")
    with av.open(copy) as container:
        assert container.duration
        container.seek(1_500_000)
        frame = next(container.decode(video=0))
        assert frame.time == pytest.approx(1, abs=0.3)  # the key frame before 1.5 s


def test_recorded_file_has_no_length(tmp_path: Path) -> None:
    with av.open(recorded(tmp_path, "webm")) as source:
        assert source.duration is None


def test_remux_index_comes_before_the_video(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    remux(recorded(tmp_path, "webm"), copy, tmp_path / "poster")
    data = copy.read_bytes()
    assert 0 < data.find(b"\x1c\x53\xbb\x6b") < data.find(b"\x1f\x43\xb6\x75")  # Cues, Cluster
    remux(recorded(tmp_path, "mp4"), copy, tmp_path / "poster")
    data = copy.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


def test_remux_does_not_encode_again(tmp_path: Path) -> None:
    source, copy = recorded(tmp_path, "webm"), tmp_path / "copy"
    remux(source, copy, tmp_path / "poster")

    def packets(path: Path) -> list[bytes]:
        with av.open(path) as container:
            return [bytes(packet) for packet in container.demux(video=0) if packet.size]

    assert packets(source) == packets(copy)


def test_remux_poster_is_taken_after_one_second(tmp_path: Path) -> None:
    poster = tmp_path / "poster.jpg"
    remux(recorded(tmp_path, "webm"), tmp_path / "copy", poster)
    with av.open(poster) as picture:
        frame = next(picture.decode(video=0))
    grey = bytes(frame.planes[0])[0]
    assert grey == pytest.approx(100, abs=25)  # each frame is lighter by 10: the tenth


def test_remux_sound_without_video_has_length_and_no_poster(tmp_path: Path) -> None:
    poster = tmp_path / "poster"
    recording = recorded(tmp_path, "webm", picture=False)
    result = remux(recording, tmp_path / "copy", poster)
    assert result.seconds == pytest.approx(2, abs=0.3)
    assert (result.has_poster, poster.exists()) == (False, False)


def test_remux_truncated_recording_is_copied_up_to_its_end(tmp_path: Path) -> None:
    source = recorded(tmp_path, "webm")
    source.write_bytes(source.read_bytes()[:-300])
    assert 0 < remux(source, tmp_path / "copy", tmp_path / "poster").seconds <= 2.1


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"\x1a\x45\xdf\xa3" + b"0" * 2000, b"\0\0\0\x20ftypisom" + b"\0" * 100],
)
def test_remux_other_file_is_invalid(tmp_path: Path, data: bytes) -> None:
    source = tmp_path / "source"
    source.write_bytes(data)
    with pytest.raises(Invalid, match="cannot be read"):
        remux(source, tmp_path / "copy", tmp_path / "poster")


def test_remux_playlist_does_not_open_its_files(tmp_path: Path) -> None:
    secret = recorded(tmp_path, "mp4")
    source = tmp_path / "source"
    source.write_text(f"#EXTM3U\n#EXTINF:2,\nfile://{secret}\n#EXT-X-ENDLIST\n")
    with pytest.raises(Invalid):
        remux(source, tmp_path / "copy", tmp_path / "poster")

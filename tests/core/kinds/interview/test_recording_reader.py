"""Playable copies and posters. The recordings are generated like those of a browser."""

import os
from pathlib import Path

import av
import pytest

from provider.core.kinds.interview import recording_reader
from provider.core.kinds.interview.recording_reader import (
    ALLOWED_CODECS,
    BrokenError,
    read_recording,
)
from tests.core.kinds.interview.recordings import HEIGHT, RECORDERS, WIDTH, recorded

CLUSTER_ID = b"\x1f\x43\xb6\x75"
TIMESTAMP_ID = b"\xe7"


def read(source: Path) -> tuple[dict[str, float], Path, Path]:
    copy, poster = source.with_name("copy"), source.with_name("poster.jpg")
    return read_recording(source, copy, poster), copy, poster


def poster_frame(poster: Path) -> av.VideoFrame:
    with av.open(poster) as picture:
        return next(picture.decode(video=0))


def packet_bytes(path: Path) -> list[bytes]:
    with av.open(path) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize("recorder", RECORDERS)
def test_copy_has_length_and_seeks(tmp_path: Path, recorder: str) -> None:
    result, copy, poster = read(recorded(tmp_path, recorder))
    assert result == {
        "seconds": pytest.approx(2, abs=0.3),
        "width": WIDTH,
        "height": HEIGHT,
        "damaged": 0,
    }
    assert poster.read_bytes().startswith(b"\xff\xd8\xff")
    with av.open(copy) as container:
        assert container.duration
        container.seek(1_500_000)
        frame = next(container.decode(video=0))
        assert frame.time == pytest.approx(1, abs=0.3)  # the key frame before 1.5 s


def test_recorded_file_has_no_length(tmp_path: Path) -> None:
    with av.open(recorded(tmp_path, "webm")) as source:
        assert source.duration is None


def test_copy_index_comes_before_the_video(tmp_path: Path) -> None:
    _, copy, _ = read(recorded(tmp_path, "webm"))
    data = copy.read_bytes()
    assert 0 < data.find(b"\x1c\x53\xbb\x6b") < data.find(CLUSTER_ID)  # the first: Cues
    read(recorded(tmp_path, "mp4"))
    data = copy.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


@pytest.mark.parametrize("recorder", RECORDERS)
def test_copy_has_every_packet_of_the_recording(tmp_path: Path, recorder: str) -> None:
    source = recorded(tmp_path, recorder)
    _, copy, _ = read(source)
    assert packet_bytes(source) == packet_bytes(copy)


def poster_grey(poster: Path) -> int:
    """Return the grey of the poster. Each frame of a recording is lighter by 10."""
    luma = poster_frame(poster).planes[0]
    return bytes(luma)[luma.line_size // 2]


def test_recorders_together_use_every_allowed_codec(tmp_path: Path) -> None:
    codecs = set()
    for recorder in RECORDERS:
        with av.open(recorded(tmp_path, recorder)) as container:
            codecs |= {stream.codec_context.codec.canonical_name for stream in container.streams}
    assert codecs == ALLOWED_CODECS


@pytest.mark.parametrize("recorder", RECORDERS)
def test_poster_is_taken_after_one_second(tmp_path: Path, recorder: str) -> None:
    _, _, poster = read(recorded(tmp_path, recorder))
    assert poster_grey(poster) == pytest.approx(100, abs=25)  # the tenth frame


@pytest.mark.parametrize(("limit", "luma"), [(4, 30), (5, 40), (150, 90)])
def test_poster_is_the_last_frame_of_the_packets_that_may_be_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, luma: int
) -> None:
    # The key frame before 0.9 seconds is the first, so ten packets lead to the wanted frame.
    monkeypatch.setattr(recording_reader, "POSTER_OFFSET_SECONDS", 0.9)
    monkeypatch.setattr(recording_reader, "MAX_DECODED_PACKETS", limit)
    _, _, poster = read(recorded(tmp_path, "webm"))
    full_range_luma = (luma - 16) * 255 / 219  # a JPEG has the full range, a video has not
    assert poster_grey(poster) == pytest.approx(full_range_luma, abs=4)


def test_truncated_recording_is_copied_up_to_its_end(tmp_path: Path) -> None:
    source = recorded(tmp_path, "webm")
    source.write_bytes(source.read_bytes()[:-300])
    result, _, _ = read(source)
    assert 0 < result["seconds"] <= 2.1


# Recordings that are no answer


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"\x1a\x45\xdf\xa3" + b"0" * 2000, b"\0\0\0\x20ftypisom" + b"\0" * 100],
)
def test_other_file_is_refused(tmp_path: Path, data: bytes) -> None:
    source = tmp_path / "source"
    source.write_bytes(data)
    with pytest.raises((BrokenError, av.FFmpegError)):
        read(source)


def test_playlist_does_not_open_its_files(tmp_path: Path) -> None:
    secret = recorded(tmp_path, "mp4")
    source = tmp_path / "source"
    source.write_text(f"#EXTM3U\n#EXTINF:2,\nfile://{secret}\n#EXT-X-ENDLIST\n")
    with pytest.raises(BrokenError, match="neither WebM nor MP4"):
        read(source)


def test_sound_without_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokenError, match="has no picture"):
        read(recorded(tmp_path, "webm", picture=False))


@pytest.mark.parametrize("recorder", ["webm", "mp4"])
def test_answer_by_sound_has_a_copy_and_a_picture_of_its_level(
    tmp_path: Path, recorder: str
) -> None:
    source = recorded(tmp_path, recorder, picture=False)
    copy, poster = tmp_path / "copy", tmp_path / "poster.jpg"
    result = read_recording(source, copy, poster, sound_only=True)
    assert result["seconds"] == pytest.approx(2, abs=0.3)
    assert (result["width"], result["damaged"]) == (0, 0)
    picture = poster_frame(poster)
    assert (picture.width, picture.height) == (640, 360)
    with av.open(copy) as container:
        assert container.duration
        assert sum(1 for _ in container.decode(audio=0)) > 50


@pytest.mark.parametrize("container_format", ["webm", "mp4"])
def test_header_without_pictures_is_refused(tmp_path: Path, container_format: str) -> None:
    source = recorded(tmp_path, container_format)
    data = source.read_bytes()
    first_media = data.find(CLUSTER_ID if container_format == "webm" else b"moof") - 4
    source.write_bytes(data[: first_media + 4 * (container_format == "webm")])
    with pytest.raises((BrokenError, av.FFmpegError)):
        read(source)


def test_announced_sound_that_never_comes_is_refused(tmp_path: Path) -> None:
    source = recorded(tmp_path, "webm")
    copy = tmp_path / "silent.webm"
    with av.open(source) as container, av.open(copy, "w", format="webm") as output:
        video_stream = output.add_stream_from_template(container.streams.video[0])
        output.add_stream_from_template(container.streams.audio[0])
        for packet in container.demux(container.streams.video[0]):
            if packet.size:
                packet.stream = video_stream
                output.mux(packet)
    with pytest.raises(BrokenError, match="has no sound"):
        read(copy)


def test_picture_without_announced_sound_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(BrokenError, match="has no sound"):
        read(recorded(tmp_path, "webm", sound=False))


def test_codec_that_is_not_allowed_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "mpeg4.mp4"
    with av.open(source, "w", format="mp4") as output:
        video = output.add_stream("mpeg4", rate=10)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        output.mux([*video.encode(frame), *video.encode(None)])
    with pytest.raises(BrokenError, match="codec"):
        read(source)


@pytest.mark.parametrize("container_format", ["webm", "mp4"])
def test_side_of_more_than_4096_pixels_is_refused(tmp_path: Path, container_format: str) -> None:
    assert read(recorded(tmp_path, container_format, seconds=1, width=4096))[0]["width"] == 4096
    with pytest.raises(BrokenError, match="4096 pixels"):
        read(recorded(tmp_path, container_format, seconds=1, width=4098))


# Rotated recordings


@pytest.mark.parametrize("container_format", ["webm", "matroska", "mp4"])
@pytest.mark.parametrize(("rotation", "dark_side"), [(90, "bottom"), (180, "right"), (-90, "top")])
def test_rotated_recording_is_upright(
    tmp_path: Path, container_format: str, rotation: int, dark_side: str
) -> None:
    result, copy, poster = read(recorded(tmp_path, container_format, rotation=rotation))
    is_turned = dark_side != "right"
    shown_size = (HEIGHT, WIDTH) if is_turned else (WIDTH, HEIGHT)
    frame = poster_frame(poster)
    assert (result["width"], result["height"]) == (frame.width, frame.height) == shown_size
    assert darkest_side(frame) == dark_side
    with av.open(copy) as container:
        assert abs(next(container.decode(video=0)).rotation) == abs(rotation)


def darkest_side(frame: av.VideoFrame) -> str:
    """Return where the third of the picture is that the camera had at its left."""
    plane = frame.planes[0]
    data, width, height = bytes(plane), frame.width, frame.height
    sides = {
        "left": data[height // 2 * plane.line_size + 4],
        "right": data[height // 2 * plane.line_size + width - 5],
        "top": data[4 * plane.line_size + width // 2],
        "bottom": data[(height - 5) * plane.line_size + width // 2],
    }
    return min(sides, key=lambda side: sides[side])


# Time stamps


def shift_clusters(source: Path, shift_ms: int) -> None:
    """Move the time of every cluster after the first: a phone's clock was set."""
    first, *clusters = source.read_bytes().split(CLUSTER_ID)
    moved = [_move_cluster(cluster, shift_ms) for cluster in clusters[1:]]
    assert moved
    source.write_bytes(CLUSTER_ID.join([first, clusters[0], *moved]))


def _move_cluster(cluster: bytes, shift_ms: int) -> bytes:
    """Return a cluster with another time. Its size is as long as the first byte says."""
    content = cluster[9 - cluster[0].bit_length() :]
    assert content[:1] == TIMESTAMP_ID
    length = content[1] & 0x7F
    milliseconds = int.from_bytes(content[2 : 2 + length], "big") + shift_ms
    stamp = TIMESTAMP_ID + b"\x88" + milliseconds.to_bytes(8, "big")
    moved = stamp + content[2 + length :]
    return b"\x01" + len(moved).to_bytes(7, "big") + moved


@pytest.mark.parametrize("shift_ms", [-400, -15])
def test_time_that_goes_back_is_mended(tmp_path: Path, shift_ms: int) -> None:
    source = recorded(tmp_path, "webm", seconds=7)
    shift_clusters(source, shift_ms)
    result, copy, poster = read(source)
    assert result["seconds"] == pytest.approx(7, abs=0.3)
    assert poster.read_bytes()
    assert packet_bytes(source) == packet_bytes(copy)
    with av.open(copy) as container:
        times: dict[int, list[int]] = {0: [], 1: []}
        for packet in container.demux():
            if packet.dts is not None:
                times[packet.stream_index].append(packet.dts)
        assert all(stamps == sorted(set(stamps)) for stamps in times.values())
        container.seek(6_500_000)
        frame = next(container.decode(video=0))
        assert frame.time == pytest.approx(6, abs=0.3)


def test_time_that_leaps_forward_by_hours_is_mended(tmp_path: Path) -> None:
    source = recorded(tmp_path, "webm", seconds=7)
    shift_clusters(source, 4_000_000)
    result, _, _ = read(source)
    assert result["seconds"] == pytest.approx(7, abs=0.3)


def test_recorded_av1_leaves_the_priority_of_the_process(tmp_path: Path) -> None:
    recorded(tmp_path, "webm-av1", seconds=1)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER

"""A recorder's file made watchable; files like a browser's are made here, with no index."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.container import OutputContainer

from provider.core.kinds.interview.remux import remux
from provider.errors import Invalid

FORMS = {
    "webm": ("libvpx", "libopus", {"live": "1"}),
    "matroska": ("libx264", "libopus", {"live": "1"}),
    "mp4": ("libx264", "aac", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
}


def recorded(folder: Path, form: str, *, seconds: int = 2, picture: bool = True) -> Path:
    """Write a recording as a browser would: in one go, without length and index."""
    path = folder / f"recorded.{form}"
    picture_codec, sound_codec, options = FORMS[form]
    with av.open(path, "w", format=form, options=options) as made:
        video = made.add_stream(picture_codec, rate=10, options={"g": "10"}) if picture else None
        audio = made.add_stream(sound_codec, rate=48000)
        if isinstance(video, av.VideoStream):
            _film(made, video, seconds)
        assert isinstance(audio, av.AudioStream)
        for number in range(seconds * 50):
            sound = av.AudioFrame("flt", "mono", 960)
            sound.planes[0].update(bytes(sound.planes[0].buffer_size))
            sound.rate, sound.pts, sound.time_base = 48000, number * 960, Fraction(1, 48000)
            made.mux(audio.encode(sound))
        made.mux(audio.encode(None))
    return path


def _film(made: OutputContainer, video: av.VideoStream, seconds: int) -> None:
    video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
    for number in range(seconds * 10):
        frame = av.VideoFrame(160, 120, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([number * 10 % 255]) * plane.buffer_size)
        frame.pts, frame.time_base = number, Fraction(1, 10)
        made.mux(video.encode(frame))
    made.mux(video.encode(None))


@pytest.mark.parametrize("form", ["webm", "matroska", "mp4"])
def test_the_copy_knows_its_length_and_seeks(tmp_path: Path, form: str) -> None:
    source, copy, poster = recorded(tmp_path, form), tmp_path / "copy", tmp_path / "poster.jpg"
    made = remux(source, copy, poster)
    assert made.seconds == pytest.approx(2, abs=0.3)
    assert made.has_poster
    assert poster.read_bytes().startswith(b"\xff\xd8\xff")
    with av.open(copy) as watched:
        assert watched.duration
        watched.seek(1_500_000)
        frame = next(watched.decode(video=0))
        assert frame.time == pytest.approx(1, abs=0.3)  # the key picture before it


def test_a_browsers_file_has_neither_length_nor_index_before(tmp_path: Path) -> None:
    with av.open(recorded(tmp_path, "webm")) as source:
        assert source.duration is None


def test_the_index_stands_before_the_pictures(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    remux(recorded(tmp_path, "webm"), copy, tmp_path / "poster")
    data = copy.read_bytes()
    assert 0 < data.find(b"\x1c\x53\xbb\x6b") < data.find(b"\x1f\x43\xb6\x75")  # Cues, Cluster
    remux(recorded(tmp_path, "mp4"), copy, tmp_path / "poster")
    data = copy.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


def test_nothing_is_encoded_again(tmp_path: Path) -> None:
    source, copy = recorded(tmp_path, "webm"), tmp_path / "copy"
    remux(source, copy, tmp_path / "poster")

    def packets(path: Path) -> list[bytes]:
        with av.open(path) as watched:
            return [bytes(each) for each in watched.demux(video=0) if each.size]

    assert packets(source) == packets(copy)


def test_the_poster_shows_the_speaker_not_the_start(tmp_path: Path) -> None:
    poster = tmp_path / "poster.jpg"
    remux(recorded(tmp_path, "webm"), tmp_path / "copy", poster)
    with av.open(poster) as picture:
        frame = next(picture.decode(video=0))
    grey = bytes(frame.planes[0])[0]
    assert grey == pytest.approx(100, abs=25)  # pictures get lighter by 10 each: the tenth


def test_sound_alone_has_a_length_and_no_poster(tmp_path: Path) -> None:
    poster = tmp_path / "poster"
    made = remux(recorded(tmp_path, "webm", picture=False), tmp_path / "copy", poster)
    assert made.seconds == pytest.approx(2, abs=0.3)
    assert (made.has_poster, poster.exists()) == (False, False)


def test_a_recording_that_breaks_off_is_good_until_there(tmp_path: Path) -> None:
    source = recorded(tmp_path, "webm")
    source.write_bytes(source.read_bytes()[:-300])
    assert 0 < remux(source, tmp_path / "copy", tmp_path / "poster").seconds <= 2.1


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"\x1a\x45\xdf\xa3" + b"0" * 2000, b"\0\0\0\x20ftypisom" + b"\0" * 100],
)
def test_what_is_no_recording_is_said_to_be_none(tmp_path: Path, data: bytes) -> None:
    source = tmp_path / "source"
    source.write_bytes(data)
    with pytest.raises(Invalid, match="cannot be read"):
        remux(source, tmp_path / "copy", tmp_path / "poster")


def test_a_playlist_never_opens_what_it_names(tmp_path: Path) -> None:
    secret = recorded(tmp_path, "mp4")
    source = tmp_path / "source"
    source.write_text(f"#EXTM3U\n#EXTINF:2,\nfile://{secret}\n#EXT-X-ENDLIST\n")
    with pytest.raises(Invalid):
        remux(source, tmp_path / "copy", tmp_path / "poster")

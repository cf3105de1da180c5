"""A recorder's file made watchable: the same pictures and sound, with an index and a length.

A browser writes as it records: its file has no duration and no index, so a player can neither
show how long it is nor seek. Both are written here; nothing is encoded again.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.video.frame import VideoFrame

from provider.errors import Invalid

POSTER_OFFSET_SECONDS = (
    1.0  # seconds after which a still picture shows the speaker rather than the start
)
MAX_POSTER_WIDTH_PIXELS = 640  # pixels of a poster, at most
WEBM_CODECS = {"vp8", "vp9", "av1", "opus", "vorbis"}


@dataclass(frozen=True)
class RemuxResult:
    """What was made: the length in seconds, and whether there is a poster."""

    seconds: float
    has_poster: bool


def remux(source: Path, copy: Path, poster: Path) -> RemuxResult:
    """Write a copy that seeks at once, and a JPEG of it; Invalid when the file cannot be read."""
    try:
        _remux_copy(source, copy)
        seconds = _duration_seconds(copy)
        return RemuxResult(
            seconds, _write_poster(copy, min(POSTER_OFFSET_SECONDS, seconds / 2), poster)
        )
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise Invalid(f"The recording cannot be read: {type(error).__name__}") from error


def _remux_copy(source: Path, copy: Path) -> None:
    with _open_container(source) as given:
        form, options = _output_format(given)
        with av.open(copy, "w", format=form, options=options) as made:
            if not _copy_packets(given, made):
                raise ValueError("nothing in it")


def _open_container(path: Path) -> InputContainer:
    # Never by guessing: a playlist sent as a video would have the library open what it names.
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"\x1a\x45\xdf\xa3"):
        return av.open(path, format="matroska")
    if start[4:] == b"ftyp":
        return av.open(path, format="mp4")
    raise ValueError("neither WebM nor MP4")


def _output_format(source: InputContainer) -> tuple[str, dict[str, str]]:
    """Return the container that fits, with its index before the pictures."""
    if "matroska" not in source.format.name:
        return "mp4", {"movflags": "faststart"}
    names = {stream.codec_context.name.removeprefix("lib") for stream in _main_streams(source)}
    return ("webm" if names <= WEBM_CODECS else "matroska"), {"cues_to_front": "1"}


def _main_streams(source: InputContainer) -> "list[av.VideoStream | av.AudioStream]":
    return [*source.streams.video[:1], *source.streams.audio[:1]]


def _copy_packets(source: InputContainer, output: OutputContainer) -> int:
    """Copy every packet; return how many. A recording that breaks off is good until there."""
    taken = {each.index: output.add_stream_from_template(each) for each in _main_streams(source)}
    poured = 0
    try:
        for packet in source.demux(_main_streams(source)):
            if packet.dts is None:  # the mark at the end
                continue
            packet.stream = taken[packet.stream.index]
            output.mux(packet)
            poured += 1
    except av.error.InvalidDataError:
        if not poured:
            raise
    return poured


def _duration_seconds(copy: Path) -> float:
    with _open_container(copy) as made:
        if not made.duration:
            raise ValueError("no length")
        return made.duration / av.time_base


def _write_poster(copy: Path, offset_seconds: float, poster: Path) -> bool:
    """Write the first picture after `at` seconds as a JPEG; False where there is none."""
    with _open_container(copy) as made:
        if not made.streams.video:
            return False
        frame = _frame_at(made, offset_seconds)
    if frame is None:
        return False
    poster.write_bytes(_encode_jpeg(frame))
    return True


def _frame_at(container: InputContainer, offset_seconds: float) -> VideoFrame | None:
    found = None
    try:
        for found in container.decode(container.streams.video[0]):
            if found.time is not None and found.time >= offset_seconds:
                break
    except av.FFmpegError:
        return found  # what could be drawn until here
    return found


def _encode_jpeg(frame: VideoFrame) -> bytes:
    height = max(2, round(frame.height * min(1, MAX_POSTER_WIDTH_PIXELS / frame.width)) // 2 * 2)
    width = max(2, min(MAX_POSTER_WIDTH_PIXELS, frame.width) // 2 * 2)
    pen = av.CodecContext.create("mjpeg", "w")
    pen.width, pen.height, pen.pix_fmt = width, height, "yuvj420p"
    pen.time_base = Fraction(1, 1)
    still = frame.reformat(width, height, "yuvj420p")
    still.pts = 0
    return b"".join(bytes(packet) for packet in [*pen.encode(still), *pen.encode(None)])

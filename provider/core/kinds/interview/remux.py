"""Makes a playable copy of a recording, and a poster.

A browser writes the file while it records, so the file has no duration and no index. A player
can neither show its length nor seek. The copy has both. Video and sound are not encoded again.
"""

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.video.frame import VideoFrame

from provider.errors import Invalid

POSTER_OFFSET_SECONDS = 1.0  # the first frames are often black or blurred
MAX_POSTER_WIDTH_PIXELS = 640
WEBM_CODECS = {"vp8", "vp9", "av1", "opus", "vorbis"}


@dataclass(frozen=True)
class RemuxResult:
    """The length of the copy in seconds. `has_poster` is False for sound without video."""

    seconds: float
    has_poster: bool


def remux(source: Path, copy: Path, poster: Path) -> RemuxResult:
    """Write a playable copy of `source`, and a poster as JPEG.

    Raises Invalid when the file is damaged or neither WebM nor MP4.
    """
    try:
        _remux_copy(source, copy)
        seconds = _duration_seconds(copy)
        return RemuxResult(
            seconds, _write_poster(copy, min(POSTER_OFFSET_SECONDS, seconds / 2), poster)
        )
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise Invalid(
            "The recording cannot be read: %(reason)s", reason=type(error).__name__
        ) from error


def _remux_copy(source: Path, copy: Path) -> None:
    with _open_container(source) as source_container:
        format_name, options = _output_format(source_container)
        with av.open(copy, "w", format=format_name, options=options) as output:
            if not _copy_packets(source_container, output):
                raise ValueError("the recording is empty")


def _open_container(path: Path) -> InputContainer:
    # The format is set explicitly. A library that detects formats would accept a playlist as a
    # video, and open the files that the playlist names.
    with path.open("rb") as file:
        magic_bytes = file.read(8)
    if magic_bytes.startswith(b"\x1a\x45\xdf\xa3"):
        return av.open(path, format="matroska")
    if magic_bytes[4:] == b"ftyp":
        return av.open(path, format="mp4")
    raise ValueError("neither WebM nor MP4")


def _output_format(source: InputContainer) -> tuple[str, dict[str, str]]:
    """Return the container format for the codecs, with options that put the index first."""
    if "matroska" not in source.format.name:
        return "mp4", {"movflags": "faststart"}
    codecs = {stream.codec_context.name.removeprefix("lib") for stream in _main_streams(source)}
    return ("webm" if codecs <= WEBM_CODECS else "matroska"), {"cues_to_front": "1"}


def _main_streams(source: InputContainer) -> "list[av.VideoStream | av.AudioStream]":
    return [*source.streams.video[:1], *source.streams.audio[:1]]


def _copy_packets(source: InputContainer, output: OutputContainer) -> int:
    """Copy the packets up to the end, or up to the first damaged one. Returns their number."""
    output_streams = {
        stream.index: output.add_stream_from_template(stream) for stream in _main_streams(source)
    }
    copied = 0
    try:
        for packet in source.demux(_main_streams(source)):
            if packet.dts is None:  # the demuxer's end marker
                continue
            packet.stream = output_streams[packet.stream.index]
            output.mux(packet)
            copied += 1
    except av.error.InvalidDataError:
        if not copied:
            raise
    return copied


def _duration_seconds(copy: Path) -> float:
    with _open_container(copy) as container:
        if not container.duration:
            raise ValueError("the recording has no length")
        return container.duration / av.time_base


def _write_poster(copy: Path, offset_seconds: float, poster: Path) -> bool:
    """Write the first frame after the offset as a JPEG. Returns False for a file without frames."""
    with _open_container(copy) as container:
        if not container.streams.video:
            return False
        frame = _frame_at(container, offset_seconds)
    if frame is None:
        return False
    poster.write_bytes(_encode_jpeg(frame))
    return True


def _frame_at(container: InputContainer, offset_seconds: float) -> VideoFrame | None:
    frame = None
    # The rest of a damaged file is not decoded; the last good frame is used.
    with suppress(av.FFmpegError):
        for frame in container.decode(container.streams.video[0]):
            if frame.time is not None and frame.time >= offset_seconds:
                break
    return frame


def _encode_jpeg(frame: VideoFrame) -> bytes:
    height = max(2, round(frame.height * min(1, MAX_POSTER_WIDTH_PIXELS / frame.width)) // 2 * 2)
    width = max(2, min(MAX_POSTER_WIDTH_PIXELS, frame.width) // 2 * 2)
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
    encoder.time_base = Fraction(1, 1)
    poster = frame.reformat(width, height, "yuvj420p")
    poster.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(poster), *encoder.encode(None)])

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

INTO_IT = 1.0  # seconds after which a still picture shows the speaker rather than the start
WIDTH = 640  # pixels of a poster, at most
WEBM = {"vp8", "vp9", "av1", "opus", "vorbis"}


@dataclass(frozen=True)
class Remuxed:
    """What was made: the length in seconds, and whether there is a poster."""

    seconds: float
    poster: bool


def remux(source: Path, copy: Path, poster: Path) -> Remuxed:
    """Write a copy that seeks at once, and a JPEG of it; Invalid when the file cannot be read."""
    try:
        _copy(source, copy)
        seconds = _seconds(copy)
        return Remuxed(seconds, _draw(copy, min(INTO_IT, seconds / 2), poster))
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise Invalid(f"The recording cannot be read: {type(error).__name__}") from error


def _copy(source: Path, copy: Path) -> None:
    with _opened(source) as given:
        form, options = _form(given)
        with av.open(copy, "w", format=form, options=options) as made:
            if not _pour(given, made):
                raise ValueError("nothing in it")


def _opened(path: Path) -> InputContainer:
    # Never by guessing: a playlist sent as a video would have the library open what it names.
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"\x1a\x45\xdf\xa3"):
        return av.open(path, format="matroska")
    if start[4:] == b"ftyp":
        return av.open(path, format="mp4")
    raise ValueError("neither WebM nor MP4")


def _form(given: InputContainer) -> tuple[str, dict[str, str]]:
    """Return the container that fits, with its index before the pictures."""
    if "matroska" not in given.format.name:
        return "mp4", {"movflags": "faststart"}
    names = {stream.codec_context.name.removeprefix("lib") for stream in _watched(given)}
    return ("webm" if names <= WEBM else "matroska"), {"cues_to_front": "1"}


def _watched(given: InputContainer) -> "list[av.VideoStream | av.AudioStream]":
    return [*given.streams.video[:1], *given.streams.audio[:1]]


def _pour(given: InputContainer, made: OutputContainer) -> int:
    """Copy every packet; return how many. A recording that breaks off is good until there."""
    taken = {each.index: made.add_stream_from_template(each) for each in _watched(given)}
    poured = 0
    try:
        for packet in given.demux(_watched(given)):
            if packet.dts is None:  # the mark at the end
                continue
            packet.stream = taken[packet.stream.index]
            made.mux(packet)
            poured += 1
    except av.error.InvalidDataError:
        if not poured:
            raise
    return poured


def _seconds(copy: Path) -> float:
    with _opened(copy) as made:
        if not made.duration:
            raise ValueError("no length")
        return made.duration / av.time_base


def _draw(copy: Path, at: float, poster: Path) -> bool:
    """Write the first picture after `at` seconds as a JPEG; False where there is none."""
    with _opened(copy) as made:
        if not made.streams.video:
            return False
        frame = _frame(made, at)
    if frame is None:
        return False
    poster.write_bytes(_jpeg(frame))
    return True


def _frame(made: InputContainer, at: float) -> VideoFrame | None:
    found = None
    try:
        for found in made.decode(made.streams.video[0]):
            if found.time is not None and found.time >= at:
                break
    except av.FFmpegError:
        return found  # what could be drawn until here
    return found


def _jpeg(frame: VideoFrame) -> bytes:
    height = max(2, round(frame.height * min(1, WIDTH / frame.width)) // 2 * 2)
    width = max(2, min(WIDTH, frame.width) // 2 * 2)
    pen = av.CodecContext.create("mjpeg", "w")
    pen.width, pen.height, pen.pix_fmt = width, height, "yuvj420p"
    pen.time_base = Fraction(1, 1)
    still = frame.reformat(width, height, "yuvj420p")
    still.pts = 0
    return b"".join(bytes(packet) for packet in [*pen.encode(still), *pen.encode(None)])

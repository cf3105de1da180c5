"""The program that reads a recording: it writes a playable copy and a poster.

`remux.py` runs this file as a process of its own, with limits: whoever has a candidate's link may
send any bytes. The file imports nothing of `provider`, so that the process starts quickly and has
no database, no settings and no keys.

Arguments: the paths of the recording, of the copy and of the poster, the wall-clock limit in
seconds, and `sound` for a recording that may have no picture. Standard output: the line `ready`
once the limits are set and the decoders are loaded, then one line of JSON: {"seconds", "width",
"height", "damaged"}, or {"broken": reason}, or {"unavailable": reason} if this machine is at fault.
Without the second line the recording has stopped the process.

The copy is decoded from start to end. `damaged` counts the packets that no decoder accepts: a
player would stop there.
"""

import errno
import json
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.filter
from av.audio.frame import AudioFrame
from av.container import InputContainer, OutputContainer
from av.video.frame import VideoFrame

MEMORY_LIMIT_BYTES = 768 * 1024 * 1024  # of addresses; the largest allowed pictures take 430 MB
CPU_LIMIT_SECONDS = 150  # ten minutes of video take 40
# Ten minutes at 30 frames per second are decoded whole; after them the key frames.
MAX_DECODED_FRAMES = 18_000
MAX_DAMAGED_SHARE = 0.5
MAX_PIXELS_OF_TWO_THREADS = 1920 * 1088
COPY_MARGIN_BYTES = 16 * 1024 * 1024  # a copy is as large as its recording, plus an index
NICE_INCREMENT = 10  # requests come first
FIRST_TO_END_SCORE = "1000"  # a machine without memory ends this process, not the server
MAX_STREAMS = 16
MAX_SIDE_PIXELS = 4096
MAX_DECODED_PACKETS = 150  # for the poster: one second at 60 frames per second, and reserves
POSTER_OFFSET_SECONDS = 1.0  # the first frames are often black or blurred
MAX_POSTER_WIDTH_PIXELS = 640
LEVEL_COLUMNS = 64
PAPER_LUMA, INK_LUMA = 245, 60
# The type of a sample in `memoryview`, and its largest value, by the name of the format.
LEVEL_TYPES: dict[str, tuple[Any, float]] = {"flt": ("f", 1), "s16": ("h", 2**15)}
MAX_BACKWARD_JITTER_SECONDS = Fraction(20, 1000)  # more than this is a clock that was set back
MAX_REORDERED_FRAMES = 16  # the most that H.264 allows
MAX_GAP_SECONDS = 1800  # the longest answer that a template allows
ALLOWED_CODECS = {"vp8", "vp9", "av1", "h264", "opus", "vorbis", "aac"}
ALLOWED_DECODERS = "vp8,vp9,libvpx,libvpx-vp9,av1,libdav1d,h264,opus,libopus,vorbis,libvorbis,aac"
WEBM_CODECS = ALLOWED_CODECS - {"h264", "aac"}
# A file names other files in several ways. The whitelist has no protocol, so none is opened.
INPUT_OPTIONS = {
    "protocol_whitelist": "none",
    "codec_whitelist": ALLOWED_DECODERS,
    "max_streams": str(MAX_STREAMS),
    "max_pixels": str(MAX_SIDE_PIXELS**2),
}
# The signs of a display matrix (a, b, c, d) and the filters that do what it says. A camera that
# is held upright stores a lying picture with such a matrix.
ORIENTATION_FILTERS: dict[tuple[int, ...], tuple[tuple[str, str], ...]] = {
    (0, 1, -1, 0): (("transpose", "clock"),),
    (-1, 0, 0, -1): (("hflip", ""), ("vflip", "")),
    (0, -1, 1, 0): (("transpose", "cclock"),),
    (-1, 0, 0, 1): (("hflip", ""),),
    (1, 0, 0, -1): (("vflip", ""),),
    (0, 1, 1, 0): (("transpose", "cclock_flip"),),
    (0, -1, -1, 0): (("transpose", "clock_flip"),),
}
TEMPORARY_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE}


class BrokenError(Exception):
    """The recording is no answer; the text is the reason."""


class Timeline:
    """Rewrites the time stamps of all streams so that each stream's time goes forward.

    A phone's clock may be set while it records. Later packets of every stream are then moved by
    the same time, so that picture and sound stay together.
    """

    def __init__(self) -> None:
        self._shift_seconds = Fraction(0)
        self._last_dts: dict[int, int] = {}  # by stream, in ticks
        self._last_steps: dict[int, int] = {}  # from one packet to the next, in ticks

    def mend(self, packet: "av.Packet[Any]") -> None:
        """Set the time stamps of a packet; packets are passed in the order of the file."""
        index, time_base = packet.stream_index, packet.time_base
        shift = round(self._shift_seconds / time_base)
        last_dts = self._last_dts.get(index)
        if packet.dts is None:
            # WebM stores the time of display only. The time of decoding is unknown until a reader
            # has seen the frames that are displayed out of order.
            dts = (packet.pts or 0) - MAX_REORDERED_FRAMES if last_dts is None else last_dts + 1
        else:
            dts = packet.dts + shift
            gap_seconds = (dts - (last_dts or 0)) * time_base
            is_back = last_dts is not None and gap_seconds < -MAX_BACKWARD_JITTER_SECONDS
            if is_back or gap_seconds > MAX_GAP_SECONDS:
                expected_dts = (last_dts or 0) + self._last_steps.get(index, 0)
                self._shift_seconds += (expected_dts - dts) * time_base
                shift += expected_dts - dts
                dts = expected_dts
            if last_dts is not None:
                dts = max(dts, last_dts + 1)
                self._last_steps[index] = packet.duration or dts - last_dts
        self._last_dts[index] = dts
        packet.pts = dts if packet.pts is None else max(packet.pts + shift, dts)
        packet.dts = dts


def read_recording(
    source: Path, copy: Path, poster: Path, *, sound_only: bool = False
) -> dict[str, Any]:
    """Write a copy that has a length and an index, and a poster as JPEG.

    Returns the length in seconds, the size in pixels as it is displayed, and the number of packets
    that cannot be decoded. The poster of a recording without a picture shows its sound.
    """
    _write_copy(source, copy, sound_only)
    levels, damaged = _decode_all(copy)
    with _open_container(copy) as container:
        if not container.duration:
            raise BrokenError("the recording has no length")
        seconds = container.duration / av.time_base
        if not container.streams.video:
            picture = _draw_levels(levels)
            poster.write_bytes(_encode_jpeg(picture))
            return {"seconds": seconds, "width": 0, "height": 0, "damaged": damaged}
        frame = _frame_at(container, min(POSTER_OFFSET_SECONDS, seconds / 2))
        if frame is None:
            raise BrokenError("no picture can be shown")
        ratio = container.streams.video[0].sample_aspect_ratio
    picture = _upright(_scale(frame, ratio))
    poster.write_bytes(_encode_jpeg(picture))
    width, height = _displayed_size(frame, ratio)
    if _transposes(frame):
        width, height = height, width
    return {"seconds": seconds, "width": width, "height": height, "damaged": damaged}


def _decode_all(copy: Path) -> tuple[list[float], int]:
    """Return the levels of the sound, 0 to 1, and the number of packets that are damaged."""
    levels: list[float] = []
    counts = {"packets": 0, "damaged": 0, "frames": 0}
    with _open_container(copy) as container:
        for stream in _main_streams(container):
            # A single thread of VP8 hides damage that stops browsers. Each thread has frames of its
            # own, so a huge picture has only one.
            stream.codec_context.thread_count = 1 if _is_huge(stream) else 2
            stream.codec_context.options = {"max_pixels": INPUT_OPTIONS["max_pixels"]}
        for packet in container.demux(_main_streams(container)):
            counts["packets"] += bool(packet.size)
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                counts["damaged"] += 1
                continue
            for frame in frames:
                if isinstance(frame, VideoFrame):
                    _check_size(frame)
                    counts["frames"] += 1
                elif isinstance(frame, AudioFrame) and not container.streams.video:
                    levels.append(_level(frame))
            if counts["frames"] == MAX_DECODED_FRAMES:
                container.streams.video[0].codec_context.skip_frame = "NONKEY"
    if counts["damaged"] > counts["packets"] * MAX_DAMAGED_SHARE:
        raise BrokenError("most of the recording cannot be decoded")
    if not (counts["frames"] or levels):
        raise BrokenError("nothing of the recording can be decoded")
    return levels, counts["damaged"]


def _is_huge(stream: "av.VideoStream | av.AudioStream") -> bool:
    if stream.type != "video":
        return False
    return stream.codec_context.width * stream.codec_context.height > MAX_PIXELS_OF_TWO_THREADS


def _level(sound: AudioFrame) -> float:
    """Return the loudest of some samples, 0 to 1."""
    samples = memoryview(bytes(sound.planes[0])).cast(LEVEL_TYPES[sound.format.name.rstrip("p")][0])
    loudest: float = LEVEL_TYPES[sound.format.name.rstrip("p")][1]
    step = max(1, len(samples) // 50)
    return min(1.0, max((abs(sample) for sample in samples[::step]), default=0) / loudest)


def _draw_levels(levels: list[float]) -> VideoFrame:
    """Return a picture of the sound: a column for each part, as high as it is loud."""
    width, height = MAX_POSTER_WIDTH_PIXELS, MAX_POSTER_WIDTH_PIXELS * 9 // 16
    picture = VideoFrame(width, height, "yuvj420p")
    for plane in picture.planes[1:]:
        plane.update(bytes([128]) * plane.buffer_size)
    luma = picture.planes[0]
    rows = [bytearray([PAPER_LUMA]) * luma.line_size for _ in range(height)]
    for column in range(LEVEL_COLUMNS):
        part = levels[
            column * len(levels) // LEVEL_COLUMNS : (column + 1) * len(levels) // LEVEL_COLUMNS + 1
        ]
        half = 2 + int(max(part) * (height // 2 - 20))
        left = column * width // LEVEL_COLUMNS
        for row in rows[height // 2 - half : height // 2 + half]:
            row[left : left + 6] = bytes([INK_LUMA]) * 6
    luma.update(b"".join(rows))
    return picture


def _write_copy(source: Path, copy: Path, sound_only: bool) -> None:
    with _open_container(source) as source_container:
        _check_streams(source_container, sound_only)
        format_name, options = _output_format(source_container)
        with av.open(copy, "w", format=format_name, options=options) as output:
            _copy_packets(source_container, output)


@contextmanager
def _open_container(path: Path) -> Iterator[InputContainer]:
    # The format is set explicitly. A library that detects formats would accept a playlist as a
    # video. A file object has no name that others could stand beside.
    with (
        path.open("rb") as file,
        av.open(
            file, "r", format=_detect_format(file), options=INPUT_OPTIONS, metadata_errors="replace"
        ) as container,
    ):
        yield container


def _detect_format(file: BinaryIO) -> str:
    magic_bytes = file.read(8)
    file.seek(0)
    if magic_bytes.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if magic_bytes[4:] == b"ftyp":
        return "mp4"
    raise BrokenError("the file is neither WebM nor MP4")


def _check_streams(container: InputContainer, sound_only: bool) -> None:
    """Check codecs and size before anything is decoded."""
    if not container.streams.video and not sound_only:
        raise BrokenError("the recording has no picture")
    for stream in _main_streams(container):
        if _codec_name(stream) not in ALLOWED_CODECS:
            raise BrokenError("the recording has a codec that is not allowed")
    if not container.streams.audio:
        raise BrokenError("the recording has no sound")
    if container.streams.video:
        _check_size(container.streams.video[0].codec_context)


def _check_size(picture: "av.VideoCodecContext | VideoFrame") -> None:
    if not (0 < picture.width <= MAX_SIDE_PIXELS and 0 < picture.height <= MAX_SIDE_PIXELS):
        raise BrokenError(f"a side of the picture is not 1 to {MAX_SIDE_PIXELS} pixels long")


def _main_streams(container: InputContainer) -> "list[av.VideoStream | av.AudioStream]":
    return [*container.streams.video[:1], *container.streams.audio[:1]]


def _codec_name(stream: "av.VideoStream | av.AudioStream") -> str:
    # A stream of an unknown codec has no context.
    return stream.codec_context.codec.canonical_name if stream.codec_context else ""


def _output_format(source: InputContainer) -> tuple[str, dict[str, str]]:
    """Return the container format for the codecs, with options that put the index first."""
    if "matroska" not in source.format.name:
        return "mp4", {"movflags": "faststart"}
    codecs = {_codec_name(stream) for stream in _main_streams(source)}
    return ("webm" if codecs <= WEBM_CODECS else "matroska"), {"cues_to_front": "1"}


def _copy_packets(source: InputContainer, output: OutputContainer) -> None:
    """Copy the packets up to the end, or up to the first damaged one."""
    # `opaque`: the stream is copied without an encoder, and AV1 has none here.
    output_streams = {
        stream.index: output.add_stream_from_template(stream, opaque=True)
        for stream in _main_streams(source)
    }
    timeline, filled_streams = Timeline(), set()
    try:
        for packet in source.demux(_main_streams(source)):
            if not packet.size:  # the demuxer's end marker
                continue
            filled_streams.add(packet.stream_index)
            timeline.mend(packet)
            packet.stream = output_streams[packet.stream_index]
            output.mux(packet)
    except av.error.InvalidDataError:
        if not filled_streams:
            raise
    for stream in _main_streams(source):
        if stream.index not in filled_streams:
            missing = "picture" if stream.type == "video" else "sound"
            raise BrokenError(f"the recording has no {missing}")


def _frame_at(container: InputContainer, offset_seconds: float) -> VideoFrame | None:
    """Return the first frame after the offset, or the last that few packets give."""
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1  # each thread has frames of its own
    stream.codec_context.options = {"max_pixels": INPUT_OPTIONS["max_pixels"]}
    container.seek(int(offset_seconds * av.time_base))  # to the key frame before it
    last_frame = None
    for number, packet in enumerate(container.demux(stream), 1):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            frames = []
        for frame in frames:
            _check_size(frame)
            last_frame = frame
            if frame.time is not None and frame.time >= offset_seconds:
                return frame
        if number >= MAX_DECODED_PACKETS:
            break
    return last_frame


def _displayed_size(frame: VideoFrame, ratio: Fraction | None) -> tuple[int, int]:
    """Return the width and height before turning; a pixel may be wider than high."""
    return max(1, round(frame.width * (ratio or 1))), frame.height


def _orientation(frame: VideoFrame) -> tuple[int, ...]:
    """Return the signs of the display matrix: a, b, c, d."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 1, 0, 0, 1
    numbers = memoryview(bytes(matrix)).cast("i")  # three rows of three
    return tuple((number > 0) - (number < 0) for number in (numbers[i] for i in (0, 1, 3, 4)))


def _transposes(frame: VideoFrame) -> bool:
    return any(name == "transpose" for name, _ in ORIENTATION_FILTERS.get(_orientation(frame), ()))


def _scale(frame: VideoFrame, ratio: Fraction | None) -> VideoFrame:
    width, height = _displayed_size(frame, ratio)
    shown_width = height if _transposes(frame) else width
    factor = min(1, MAX_POSTER_WIDTH_PIXELS / shown_width)
    return frame.reformat(_even(width * factor), _even(height * factor), "yuvj420p")


def _even(pixels: float) -> int:
    return min(MAX_SIDE_PIXELS, max(2, round(pixels) // 2 * 2))


def _upright(frame: VideoFrame) -> VideoFrame:
    filters = ORIENTATION_FILTERS.get(_orientation(frame), ())
    if not filters:
        return frame
    graph = av.filter.Graph()
    frame.pts = 0
    nodes = [
        graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1)
        ),
        *(graph.add(name, args) for name, args in filters),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    graph.push(frame)
    picture = graph.pull()
    assert isinstance(picture, VideoFrame)
    return picture


def _encode_jpeg(picture: VideoFrame) -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, "yuvj420p"
    encoder.time_base = Fraction(1, 1)
    picture.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])


def _set_limits(source: Path, wall_clock_seconds: int) -> None:
    """Limit this process itself: the limits hold when the server that started it has ended."""
    limits = {
        resource.RLIMIT_AS: MEMORY_LIMIT_BYTES,
        resource.RLIMIT_CPU: CPU_LIMIT_SECONDS,
        resource.RLIMIT_FSIZE: 2 * source.stat().st_size + COPY_MARGIN_BYTES,
        resource.RLIMIT_CORE: 0,
    }
    for name, limit in limits.items():
        resource.setrlimit(name, (limit, limit))
    signal.alarm(wall_clock_seconds)
    os.nice(NICE_INCREMENT)
    with suppress(OSError):  # not on Linux, or not permitted
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_END_SCORE)


def _judge(source: Path, copy: Path, poster: Path, sound_only: bool) -> dict[str, Any]:
    try:
        return read_recording(source, copy, poster, sound_only=sound_only)
    except BrokenError as error:
        return {"broken": str(error)}
    except Exception as error:
        if isinstance(error, OSError) and error.errno in TEMPORARY_ERRNOS:
            return {"unavailable": str(error)}
        # Libraries raise many errors for damaged bytes: none of them is this machine's.
        return {"broken": f"the file is damaged ({type(error).__name__})"}


def main() -> None:
    """Read the recording that the arguments name, and print the verdict."""
    source, copy, poster = map(Path, sys.argv[1:4])
    _set_limits(source, int(sys.argv[4]))
    print("ready", flush=True)
    print(json.dumps(_judge(source, copy, poster, "sound" in sys.argv[5:])), flush=True)


if __name__ == "__main__":
    main()

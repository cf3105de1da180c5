"""Recordings as browsers write them: without a length and an index."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import cache
from io import BytesIO
from pathlib import Path

import av
from av.container import OutputContainer

LIVE = {"live": "1", "fflags": "+bitexact"}  # no random ids: a failed test can be repeated
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
# Container format, encoders of picture and sound, and options of the container.
RECORDERS = {
    "webm": ("webm", "libvpx", "libopus", LIVE),
    "matroska": ("matroska", "libx264", "libopus", LIVE),
    "mp4": ("mp4", "libx264", "aac", FRAGMENTED),
    "webm-vp9": ("webm", "libvpx-vp9", "libopus", LIVE),
    "webm-av1": ("webm", "libsvtav1", "libopus", LIVE),
    "mp4-av1": ("mp4", "libsvtav1", "libopus", FRAGMENTED),
    "webm-vorbis": ("webm", "libvpx", "vorbis", LIVE),
}
_LIBVPX_OPTIONS = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "threads": "1"}
ENCODER_OPTIONS = {
    "libvpx": _LIBVPX_OPTIONS,
    "libvpx-vp9": _LIBVPX_OPTIONS,
    "libx264": {"preset": "veryfast", "threads": "1"},
    "libsvtav1": {"preset": "9", "svtav1-params": "lp=1"},
    "libopus": {},
    "aac": {},
    "vorbis": {"strict": "experimental"},  # FFmpeg's own encoder
}
WIDTH, HEIGHT, FRAME_RATE = 160, 120, 10
SOUNDS_PER_FRAME = 5  # of 20 ms


def recorded(
    folder: Path,
    recorder: str,
    *,
    seconds: int = 2,
    picture: bool = True,
    sound: bool = True,
    rotation: int = 0,
    width: int = WIDTH,
) -> Path:
    """Write a recording of one of RECORDERS.

    `rotation` is the angle in degrees by which a phone marks it as turned.
    """
    path = folder / f"recorded.{recorder}"
    # SVT-AV1 gives its caller's thread the highest real-time priority, if root calls it. The thread
    # ends here: otherwise all later tests and their browsers would keep other processes waiting.
    with ThreadPoolExecutor(1) as pool:
        encoded = pool.submit(_recording, recorder, seconds, picture, sound, rotation, width)
        path.write_bytes(encoded.result())
    return path


@cache
def _recording(
    recorder: str, seconds: int, picture: bool, sound: bool, rotation: int, width: int
) -> bytes:
    file = BytesIO()
    container_format, video_codec, audio_codec, options = RECORDERS[recorder]
    with av.open(file, "w", format=container_format, options=options) as output:
        video_options = ENCODER_OPTIONS[video_codec] | {"g": "10"}
        video = (
            output.add_stream(video_codec, rate=FRAME_RATE, options=video_options)
            if picture
            else None
        )
        audio = _add_sound(output, audio_codec) if sound else None
        if isinstance(video, av.VideoStream):
            video.width, video.height, video.pix_fmt = width, HEIGHT, "yuv420p"
            if rotation:
                video.set_display_rotation(rotation)
        for number in range(seconds * FRAME_RATE):
            if isinstance(video, av.VideoStream):
                output.mux(video.encode(_grey_frame(number, width)))
            if isinstance(audio, av.AudioStream):
                for silence in _silence(number):
                    output.mux(audio.encode(silence))
        for stream in filter(None, (video, audio)):
            assert isinstance(stream, av.VideoStream | av.AudioStream)
            output.mux(stream.encode(None))
    return file.getvalue()


def _add_sound(output: OutputContainer, codec: str) -> av.AudioStream:
    options = ENCODER_OPTIONS[codec]
    layout = "stereo" if codec == "vorbis" else "mono"  # the encoder knows no other
    stream = output.add_stream(codec, rate=48000, options=options, layout=layout)
    assert isinstance(stream, av.AudioStream)
    return stream


def _grey_frame(number: int, width: int) -> av.VideoFrame:
    """Return a grey frame, lighter by 10 than the frame before; its left third is black."""
    frame = av.VideoFrame(width, HEIGHT, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes([number * 10 % 255]) * plane.buffer_size)
    luma = frame.planes[0]
    row = bytes(width // 3) + bytes([number * 10 % 255]) * (luma.line_size - width // 3)
    luma.update(row * HEIGHT)
    frame.pts, frame.time_base = number, Fraction(1, FRAME_RATE)
    return frame


def _silence(frame_number: int) -> Iterator[av.AudioFrame]:
    """Yield the sound of one picture."""
    for number in range(frame_number * SOUNDS_PER_FRAME, (frame_number + 1) * SOUNDS_PER_FRAME):
        sound = av.AudioFrame("flt", "mono", 960)
        sound.planes[0].update(bytes(sound.planes[0].buffer_size))
        sound.rate, sound.pts, sound.time_base = 48000, number * 960, Fraction(1, 48000)
        yield sound

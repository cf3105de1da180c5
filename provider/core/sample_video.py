"""Short WebM videos with a tone, like those of a browser's recorder."""

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from io import BytesIO

import av

FRAME_WIDTH, FRAME_HEIGHT, FRAME_RATE = 320, 180, 10
SOUND_RATE_HZ, SOUND_FRAME_SAMPLES, TONE_PERIOD_SAMPLES = 48_000, 960, 120
BAR_RANGE_PIXELS = 280  # the bar moves this far to the right, then starts again


@cache
def webm(seconds: int = 2, tint: int = 0) -> bytes:
    """Return a video of a moving bar on a background; each tint has its own bytes."""
    file = BytesIO()
    with av.open(file, "w", format="webm") as container:
        # Threads that wait for each other would take twenty times the CPU time.
        options = {"deadline": "realtime", "cpu-used": "8", "threads": "1"}
        stream = container.add_stream("libvpx", rate=FRAME_RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = FRAME_WIDTH, FRAME_HEIGHT, "yuv420p"
        sound = container.add_stream("libopus", rate=SOUND_RATE_HZ, layout="mono")
        for number in range(seconds * FRAME_RATE):
            container.mux(stream.encode(_frame(number, tint)))
            for frame in _sound_frames(number):
                container.mux(sound.encode(frame))
        container.mux(stream.encode(None))
        container.mux(sound.encode(None))
    return file.getvalue()


def _sound_frames(number: int) -> Iterator[av.AudioFrame]:
    """Yield the sound that belongs to a frame of the picture."""
    half_period = TONE_PERIOD_SAMPLES // 2
    tone = (b"\x00\x08" * half_period + b"\x00\xf8" * half_period) * (
        SOUND_FRAME_SAMPLES // TONE_PERIOD_SAMPLES
    )
    count = SOUND_RATE_HZ // FRAME_RATE // SOUND_FRAME_SAMPLES
    for index in range(number * count, (number + 1) * count):
        frame = av.AudioFrame("s16", "mono", SOUND_FRAME_SAMPLES)
        frame.planes[0].update(tone)
        frame.sample_rate, frame.time_base = SOUND_RATE_HZ, Fraction(1, SOUND_RATE_HZ)
        frame.pts = index * SOUND_FRAME_SAMPLES
        yield frame


def _frame(number: int, tint: int) -> av.VideoFrame:
    frame = av.VideoFrame(FRAME_WIDTH, FRAME_HEIGHT, "yuv420p")
    for plane, background in zip(frame.planes, (70 + tint % 90, 110 + tint % 60, 130), strict=True):
        row = bytearray([background]) * plane.line_size
        if plane.width == FRAME_WIDTH:
            left = number * 12 % BAR_RANGE_PIXELS
            row[left : left + 40] = bytes([210]) * 40
        plane.update(bytes(row) * plane.height)
    frame.pts, frame.time_base = number, Fraction(1, FRAME_RATE)
    return frame

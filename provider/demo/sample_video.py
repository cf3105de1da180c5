"""Short WebM videos, like those of a browser's recorder."""

from fractions import Fraction
from functools import cache
from io import BytesIO

import av

FRAME_WIDTH, FRAME_HEIGHT, FRAME_RATE = 320, 180, 10
BAR_RANGE_PIXELS = 280  # the bar moves this far to the right, then starts again


@cache
def webm(seconds: int = 2, tint: int = 0) -> bytes:
    """Return a video of a moving bar on a background; each tint has its own bytes."""
    file = BytesIO()
    with av.open(file, "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=FRAME_RATE)
        stream.width, stream.height, stream.pix_fmt = FRAME_WIDTH, FRAME_HEIGHT, "yuv420p"
        for number in range(seconds * FRAME_RATE):
            container.mux(stream.encode(_frame(number, tint)))
        container.mux(stream.encode(None))
    return file.getvalue()


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

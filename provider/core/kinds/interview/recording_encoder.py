"""The program that encodes a copy of a recording again: smaller, or without its damaged parts.

`remux.py` runs this file as a process of its own, with limits, like `recording_reader.py`. The file
imports nothing of `provider`.

Arguments: the paths of the copy and of the new file, the height of the picture in pixels, and the
wall-clock limit in seconds. Standard output: the line `ready` once the limits are set, and the line
`{}` when the new file is complete.
"""

import os
import resource
import signal
import sys
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.container import InputContainer, OutputContainer
from av.video.frame import VideoFrame

MEMORY_LIMIT_BYTES = 1024 * 1024 * 1024  # of addresses
NICE_INCREMENT = 10  # requests come first
FIRST_TO_END_SCORE = "1000"  # a machine without memory ends this process, not the server
SIZE_MARGIN_BYTES = 16 * 1024 * 1024
MILLISECOND = Fraction(1, 1000)  # recorders write frames at any time
VIDEO_BITS_PER_SECOND = 600_000
AUDIO_BITS_PER_SECOND = 48_000
SOUND_RATE = 48_000  # the rate of Opus
KEY_FRAME_INTERVAL = "60"  # frames: a player seeks in steps of two seconds
ENCODERS = {  # of picture and sound
    "webm": ("libvpx", {"deadline": "realtime", "cpu-used": "8"}, "libopus"),
    "mp4": ("libx264", {"preset": "veryfast", "bf": "0"}, "aac"),
}
OUTPUT_OPTIONS = {"webm": {"cues_to_front": "1"}, "mp4": {"movflags": "faststart"}}


class Encoder:
    """The streams of the new file. Time stamps go forward; a frame that does not is left out."""

    def __init__(self, source: InputContainer, output: OutputContainer, height: int) -> None:
        self._output = output
        video_name, options, audio_name = ENCODERS[output.format.name]
        options = {**options, "g": KEY_FRAME_INTERVAL, "threads": "1"}
        self._video: Any = None
        if source.streams.video:
            self._video = output.add_stream(video_name, rate=30, options=options)
            shown = source.streams.video[0].codec_context
            factor = min(1.0, height / min(shown.width, shown.height))
            self._video.width, self._video.height = map(
                _even, (shown.width * factor, shown.height * factor)
            )
            self._video.pix_fmt = "yuv420p"
            self._video.codec_context.time_base = MILLISECOND
            self._video.bit_rate = VIDEO_BITS_PER_SECOND
            if rotation := _find_rotation(source):
                self._video.set_display_rotation(rotation)
        audio = output.add_stream(audio_name, rate=SOUND_RATE, layout="mono")
        assert isinstance(audio, av.AudioStream)
        audio.bit_rate = AUDIO_BITS_PER_SECOND
        self._audio = audio
        self._resampler = av.AudioResampler(audio.format, "mono", SOUND_RATE)
        self._last_ms = -1
        self._sound_pts = 0

    def encode(self, frame: VideoFrame | AudioFrame) -> None:
        if isinstance(frame, AudioFrame):
            self._encode_sound(frame)
        elif (milliseconds := round((frame.time or 0) * 1000)) > self._last_ms:
            self._last_ms = milliseconds
            picture = frame.reformat(self._video.width, self._video.height, "yuv420p")
            picture.pts, picture.time_base = milliseconds, MILLISECOND
            self._output.mux(self._video.encode(picture))

    def close(self) -> None:
        for stream in filter(None, (self._video, self._audio)):
            self._output.mux(stream.encode(None))

    def _encode_sound(self, frame: AudioFrame) -> None:
        """Encode sound; where some is damaged, the rest keeps its time."""
        start = round((frame.time or 0) * SOUND_RATE)
        for sound in self._resampler.resample(frame):
            self._sound_pts = max(self._sound_pts, start)
            sound.pts, sound.time_base = self._sound_pts, Fraction(1, SOUND_RATE)
            self._sound_pts += sound.samples
            self._output.mux(self._audio.encode(sound))


def encode_again(source: Path, target: Path, height: int) -> None:
    """Write what can be decoded of a copy to a new file. The shorter side has at most `height`."""
    with source.open("rb") as file, av.open(file, "r") as container:
        name = "mp4" if "mp4" in container.format.name else "webm"
        with av.open(target, "w", format=name, options=OUTPUT_OPTIONS[name]) as output:
            encoder = Encoder(container, output, height)
            streams = [*container.streams.video[:1], *container.streams.audio[:1]]
            for packet in container.demux(streams):
                with suppress(av.error.InvalidDataError):
                    for frame in packet.decode():
                        assert isinstance(frame, VideoFrame | AudioFrame)
                        encoder.encode(frame)
            encoder.close()


def _find_rotation(source: InputContainer) -> int:
    """Return the angle in degrees by which the first picture is turned."""
    stream = source.streams.video[0]
    rotation = 0
    with suppress(av.error.InvalidDataError):
        rotation = next((frame.rotation for frame in source.decode(stream)), 0)
    source.seek(0)
    return rotation


def _even(pixels: float) -> int:
    return max(2, round(pixels) // 2 * 2)


def _set_limits(source: Path, wall_clock_seconds: int) -> None:
    limits = {
        resource.RLIMIT_AS: MEMORY_LIMIT_BYTES,
        resource.RLIMIT_CPU: wall_clock_seconds,
        resource.RLIMIT_FSIZE: 2 * source.stat().st_size + SIZE_MARGIN_BYTES,
        resource.RLIMIT_CORE: 0,
    }
    for name, limit in limits.items():
        resource.setrlimit(name, (limit, limit))
    signal.alarm(wall_clock_seconds)
    os.nice(NICE_INCREMENT)
    with suppress(OSError):  # not on Linux, or not permitted
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_END_SCORE)


def main() -> None:
    """Encode the file that the arguments name."""
    source, target = map(Path, sys.argv[1:3])
    _set_limits(source, int(sys.argv[4]))
    print("ready", flush=True)
    encode_again(source, target, int(sys.argv[3]))
    print("{}", flush=True)


if __name__ == "__main__":
    main()

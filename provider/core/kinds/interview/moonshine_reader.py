"""The program that turns speech into text with moonshine-voice, without a network. English only.

`speech.py` runs this file as a process of its own: the model takes 330 MB of memory, which the
process gives back at its end. The file imports nothing of `provider`.

Argument: the path of a WAV file (mono, 16 kHz, 16 bits). Standard output: JSON, a list of
[start, end, text] with times in seconds.
"""

import array
import json
import os
import sys
import wave
from collections.abc import Iterator

from moonshine_voice import ModelArch, get_model_path
from moonshine_voice.transcriber import Transcriber

NICE_INCREMENT = 10  # requests come first
MAX_PART_SECONDS = 30
# A part ends at the quietest moment of its last seconds, so that no word is cut.
SEARCHED_SECONDS = 6
FRAME_SECONDS = 0.1
FULL_SCALE = 32768.0


def main() -> None:
    os.nice(NICE_INCREMENT)
    with wave.open(sys.argv[1], "rb") as sound:
        rate = sound.getframerate()
        samples = array.array("h", sound.readframes(sound.getnframes()))
    transcriber = Transcriber(get_model_path("tiny-en"), ModelArch.TINY)
    lines = [
        [start + line.start_time, start + line.start_time + line.duration, line.text]
        for start, part in split(samples, rate)
        for line in transcriber.transcribe_without_streaming(
            [sample / FULL_SCALE for sample in part], rate
        ).lines
    ]
    sys.stdout.write(json.dumps(lines))


def split(samples: "array.array[int]", rate: int) -> Iterator[tuple[float, "array.array[int]"]]:
    """Yield the parts of a sound, each with its start in seconds."""
    start = 0
    while start < len(samples):
        end = start + MAX_PART_SECONDS * rate
        if end < len(samples):
            frame = int(FRAME_SECONDS * rate)
            places = range(end - SEARCHED_SECONDS * rate, end, frame)
            quietest = min(places, key=lambda place: sum(map(abs, samples[place : place + frame])))
            end = quietest + frame // 2
        yield start / rate, samples[start:end]
        start = end


if __name__ == "__main__":
    main()

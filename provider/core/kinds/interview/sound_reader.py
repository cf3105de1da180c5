"""The program that reads the sound of a recording, for a transcription engine.

`speech.py` runs this file as a process of its own, with limits, as `remux.py` runs
`recording_reader.py`: whoever has a candidate's link may send any bytes. The file imports nothing
of `provider`.

Arguments: the paths of the recording and of the WAV file to write (mono, 16 kHz, 16 bits). The
process ends with 0 when the file is written. Otherwise the recording has no sound that can be read.
"""

import os
import resource
import sys
import wave
from itertools import chain
from pathlib import Path

import av

MEMORY_LIMIT_BYTES = 768 * 1024 * 1024  # of addresses
CPU_LIMIT_SECONDS = 120
FILE_LIMIT_BYTES = 256 * 1024 * 1024  # two hours of sound
NICE_INCREMENT = 10  # requests come first
SAMPLE_RATE = 16_000
INPUT_OPTIONS = {
    "protocol_whitelist": "none",
    "codec_whitelist": "opus,libopus,vorbis,libvorbis,aac,pcm_s16le",
    "max_streams": "16",
}


def set_limits() -> None:
    os.nice(NICE_INCREMENT)
    for name, limit in (
        (resource.RLIMIT_AS, MEMORY_LIMIT_BYTES),
        (resource.RLIMIT_CPU, CPU_LIMIT_SECONDS),
        (resource.RLIMIT_FSIZE, FILE_LIMIT_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(name, (limit, limit))


def write_sound(source: Path, target: Path) -> None:
    """Write the first sound track of a recording as a WAV file."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    with (
        source.open("rb") as file,
        av.open(file, "r", options=INPUT_OPTIONS) as container,
        wave.open(str(target), "wb") as sound,
    ):
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(SAMPLE_RATE)
        # None at the end: the rest of the sound.
        for frame in chain(container.decode(audio=0), [None]):
            for part in resampler.resample(frame):
                sound.writeframes(bytes(part.planes[0])[: part.samples * 2])


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    set_limits()
    write_sound(source, target)


if __name__ == "__main__":
    main()

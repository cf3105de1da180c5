"""Transcription engines: programs that turn the sound of a recording into captions.

`ENGINES` has those of this program. A package can add one as an entry point of the group
`provider.speech_engines`: a class or a function without arguments that returns a `SpeechEngine`.
The setting PROVIDER_SPEECH_ENGINE names the engine that is used.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from provider.core.kinds.interview.captions import Cue
from provider.errors import Invalid, Unavailable

ENTRY_POINT_GROUP = "provider.speech_engines"
SOUND_READER_PATH = Path(__file__).with_name("sound_reader.py")
SOUND_TIMEOUT_SECONDS = 240
MOONSHINE_READER_PATH = Path(__file__).with_name("moonshine_reader.py")
MIN_CUE_SECONDS = 0.1
MOONSHINE_TIMEOUT_SECONDS = 1200  # half an hour of speech takes five minutes on two cores


class SpeechEngine(Protocol):
    """An engine. `language` is the tag of the language that it writes, such as `en`."""

    language: str

    def transcribe(self, sound: Path) -> Sequence[Cue]:
        """Return what is said in a WAV file (mono, 16 kHz, 16 bits); an empty list for silence.

        Raises Unavailable where this machine is at fault, and Invalid where the sound is.
        """


class MoonshineEngine:
    """moonshine-voice: English, without a network. The extra `speech` installs it."""

    language = "en"

    def transcribe(self, sound: Path) -> Sequence[Cue]:
        if find_spec("moonshine_voice") is None:
            raise Unavailable("The speech engine is not installed: install provider[speech]")
        output = _run(MOONSHINE_READER_PATH, sound, timeout_seconds=MOONSHINE_TIMEOUT_SECONDS)
        if output is None:
            raise Unavailable("The speech engine stopped before its end")
        lines = [line for line in json.loads(output) if line[2].strip()]
        # A line may begin before the end of the one before, and a player would show both.
        ends = [start for start, _, _ in lines[1:]] + [float("inf")]
        return [
            Cue(start, max(min(end, next_start), start + MIN_CUE_SECONDS), text.strip())
            for (start, end, text), next_start in zip(lines, ends, strict=True)
        ]


ENGINES: dict[str, Callable[[], SpeechEngine]] = {"moonshine": MoonshineEngine}


def find_engine(name: str) -> Callable[[], SpeechEngine] | None:
    """Return what makes the engine of a name; None for an empty or unknown name."""
    if name in ENGINES:
        return ENGINES[name]
    matches = entry_points(group=ENTRY_POINT_GROUP, name=name) if name else ()
    for entry_point in matches:
        engine: Callable[[], SpeechEngine] = entry_point.load()
        return engine
    return None


def write_sound(recording: Path, sound: Path) -> None:
    """Write the sound of a recording as a WAV file. Raises Invalid for one without sound."""
    if _run(SOUND_READER_PATH, recording, sound, timeout_seconds=SOUND_TIMEOUT_SECONDS) is None:
        raise Invalid("The recording has no sound that can be read")


def _run(program: Path, *paths: Path, timeout_seconds: float) -> bytes | None:
    """Return the standard output of a program; None if it failed. Raises Unavailable."""
    try:
        completed = subprocess.run(  # noqa: S603
            [sys.executable, "-I", str(program), *map(str, paths)],
            env={"PATH": os.defpath, "MALLOC_ARENA_MAX": "1"},  # nothing of the server's settings
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    except OSError as error:
        raise Unavailable(
            "The recording cannot be processed now: %(reason)s", reason=error.strerror or ""
        ) from error
    return completed.stdout if completed.returncode == 0 else None

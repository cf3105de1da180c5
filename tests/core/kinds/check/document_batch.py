"""Reads many documents as `document_reader.py` does, each in a process of its own.

A new interpreter for each of hundreds of files would take a minute. This program loads the decoders
once, and forks for each file; the limits are the reader's.

Arguments: the path of the reader, and a folder with files. It replaces each file by a result:
{"verdict", "end", "seconds", "memory_kb"}, and writes the pictures beside it.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path

# Far more than a file needs: on a busy machine a process with low priority waits. The limits of CPU
# time and memory are the reader's.
WALL_CLOCK_SECONDS = 120


def main() -> None:
    spec = importlib.util.spec_from_file_location("document_reader", sys.argv[1])
    assert spec
    assert spec.loader
    reader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reader)
    for content_type in ("application/pdf", "image/png"):
        reader.load_decoders(content_type)
    for path in sorted(Path(sys.argv[2]).glob("*.file")):
        content, content_type = path.read_bytes(), path.with_suffix(".type").read_text()
        output, pictures = path.with_suffix(".json").open("wb"), path.with_suffix(".jpg").open("wb")
        receiver, sender = os.pipe()
        process_id = os.fork()
        if not process_id:
            os.close(receiver)
            with os.fdopen(sender, "wb") as pipe:
                reader.set_limits(WALL_CLOCK_SECONDS)
                verdict, pages = reader.judge(content, content_type)
                pipe.write(json.dumps(verdict).encode() + b"\n")
                for _, _, page, small in pages:
                    pipe.write(page + small)
            os._exit(0)
        os.close(sender)
        with os.fdopen(receiver, "rb") as pipe, output, pictures:
            first_line = pipe.readline()
            pictures.write(pipe.read())
            _, end, usage = os.wait4(process_id, 0)
            result = {
                "verdict": json.loads(first_line) if first_line else None,
                "end": end,
                "seconds": usage.ru_utime + usage.ru_stime,
                "memory_kb": usage.ru_maxrss,
            }
            output.write(json.dumps(result).encode())


if __name__ == "__main__":
    main()

"""The texts in Typst sources: the calls of their function `t`."""

import re
from collections.abc import Iterator

_CALL = re.compile(r'\bt\(\s*"([^"\\]+)"')


def find_typst_texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield (line number, id) of each text in a source."""
    for match in _CALL.finditer(source):
        yield source.count("\n", 0, match.start()) + 1, match[1]

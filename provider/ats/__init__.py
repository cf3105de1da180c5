"""How each ATS talks. A new one is a folder here and a line in DIALECTS."""

from provider.ats.dialect import TOKEN_REFUSED, Answer, Dialect, News, Request
from provider.ats.workable import Workable

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (Workable(),)}

__all__ = ["DIALECTS", "TOKEN_REFUSED", "Answer", "Dialect", "News", "Request"]

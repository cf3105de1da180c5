"""`provider legal-text DIGEST`: the text of a consent or of a notice, by its digest."""

from typing import Any

import click

from provider.cli.common import json_option, open_services, print_json
from provider.core.kinds import find_texts
from provider.core.kinds.base import RecordedText
from provider.core.products.text_files import write_text_file


@click.command("legal-text")
@click.argument("digest", metavar="DIGEST")
@json_option
def legal_text(digest: str, as_json: bool) -> None:
    """Print the legal text with a digest, as the file that a package can name.

    DIGEST is the SHA-256 that a consent or a notice records. Several texts have it where the same
    words have two keys or versions.
    """
    with open_services() as services, services.db.reading() as session:
        texts = find_texts(session, digest)
    if as_json:
        print_json([_text_record(text) for text in texts])
        return
    for text in texts:
        header = {name: value for name, value in _text_record(text).items() if name in _HEADER}
        click.echo(write_text_file(header, text.text), nl=False)


_HEADER = ("key", "version", "purpose", "title", "sample")


def _text_record(text: RecordedText) -> dict[str, Any]:
    return {
        "key": text.key,
        "version": text.version,
        "purpose": text.purpose,
        "title": text.title,
        "sample": text.sample,
        "created_at": text.created_at,
        "text": text.text,
    }

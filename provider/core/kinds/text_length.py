"""The limits of a text answer, for every kind with such answers."""

from provider.errors import Invalid


def require_length(text: str, max_characters: int, max_words: int | None) -> None:
    """Raise Invalid for a text with too many characters or words; `max_words` None: any number."""
    if len(text) > max_characters:
        raise Invalid(
            "This answer has %(number)d characters. Shorten it to %(maximum)d",
            number=len(text),
            maximum=max_characters,
        )
    word_count = len(text.split())
    if max_words is not None and word_count > max_words:
        raise Invalid(
            "This answer has %(number)d words. Shorten it to %(maximum)d",
            number=word_count,
            maximum=max_words,
        )

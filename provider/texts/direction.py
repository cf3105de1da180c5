"""The direction in which a language is written."""

# Languages that are written from right to left, unless their tag names another script.
_RTL_LANGUAGES = {
    *("ar", "arc", "ckb", "dv", "fa", "he", "ks", "nqo", "pnb", "ps", "rhg"),
    *("sd", "sdh", "syr", "ug", "ur", "yi"),
}
_RTL_SCRIPTS = {
    *("adlm", "arab", "aran", "hebr", "mand", "mend", "nkoo", "rohg"),
    *("samr", "syrc", "syrj", "syrn", "thaa", "yezi"),
}
_SCRIPT_LENGTH = 4  # letters of the second part of a BCP 47 tag that names a script


def language_direction(language: str) -> str:
    """Return `rtl` or `ltr` for a BCP 47 tag."""
    primary, *rest = language.lower().split("-")
    if rest and len(rest[0]) == _SCRIPT_LENGTH and rest[0].isalpha():
        return "rtl" if rest[0] in _RTL_SCRIPTS else "ltr"
    return "rtl" if primary in _RTL_LANGUAGES else "ltr"

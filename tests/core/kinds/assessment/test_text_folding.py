"""The table of scripts: which typed texts are the same answer, and which are not."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provider.core.kinds.assessment.items import ShortText
from provider.core.kinds.assessment.text_folding import fold, visible_text
from provider.core.products.schema_fields import clean_text

# (accepted, typed): every pair is one answer.
SAME_TEXTS = [
    ("don't", "don’t"),
    ("don't", "don‘t"),
    ("don't", "don´t"),
    ("don't", "DON`T"),
    ('say "no"', "say “no”"),
    ('say "no"', "say „no“"),
    ("well-known", "well\u2011known"),
    ("1914-1918", "1914–1918"),
    ("wait...", "wait…"),
    ("New York", "new\u00a0york"),
    ("New York", "  New \u3000 York\u200b"),
    ("Paris", "\u200ePa\u00adris\u200f"),
    ("Paris", "\ufeffPar\u2060is"),
    ("Paris", "Ｐａｒｉｓ"),
    ("office", "oﬃce"),
    ("Zoë", "Zoe\u0308"),
    ("Henry IV", "Henry Ⅳ"),
    ("10 kΩ", "10 k\u2126"),
    ("5 µm", "5 μm"),
    ("1/2", "1⁄2"),
    ("İstanbul", "istanbul"),
    ("İstanbul", "Istanbul"),
    ("İstanbul", "i\u0307stanbul"),
    ("Istanbul", "İSTANBUL"),
    ("Isparta", "ısparta"),
    ("Iğdır", "IĞDIR"),
    ("Straße", "STRASSE"),
    ("Straße", "strasse"),
    ("Straße", "STRAẞE"),
    ("Iași", "Iaşi"),
    ("Οδυσσεύς", "ΟΔΥΣΣΕΥΣ"),
    ("Αθήνα", "αθηνα"),
    ("Μάιος", "ΜΑΙΟΣ"),
    ("ἐν ἀρχῇ", "ἘΝ ἈΡΧΗΙ"),
    ("Королёв", "королев"),
    ("Менделеев", "Менделе\u0301ев"),
    ("п'ять", "п’ять"),
    ("ქართული", "ᲥᲐᲠᲗᲣᲚᲘ"),
    ("كتاب", "كِتَابٌ"),
    ("كتاب", "كتـــاب"),
    ("أحمد", "احمد"),
    ("القرآن", "القران"),
    ("علي", "علی"),
    ("کتاب", "كتاب"),
    ("می‌خواهم", "میخواهم"),
    ("٢٠٢٤", "2024"),
    ("۲۰۲۴", "2024"),
    ("שלום", "שָׁלוֹם"),
    ("צה״ל", 'צה"ל'),
    ("תל־אביב", "תל-אביב"),
    ("ガス", "ｶﾞｽ"),
    ("２０２４年", "2024年"),
    ("한국", unicodedata.normalize("NFD", "한국")),
    ("क़लम", "क\u093cलम"),
    ("क्ष", "क्\u200dष"),
    ("Hà Nội", unicodedata.normalize("NFD", "HÀ NỘI")),
]
# (accepted, typed): no pair is one answer.
DIFFERENT_TEXTS = [
    ("10²", "102"),
    ("H₂O", "H2O"),
    ("½", "1/2"),
    ("①", "1"),
    ("café", "cafe"),
    ("ma", "má"),
    ("mà", "má"),
    ("Zürich", "Zurich"),
    ("Zürich", "Zuerich"),
    ("їжак", "іжак"),
    ("май", "маи"),
    ("كتابة", "كتابه"),
    ("はな", "ハナ"),
    ("が", "か"),
    ("well-known", "well known"),
    ("its", "it's"),
    ("New York", "NewYork"),
    ("दिन", "दीन"),
]


@pytest.mark.parametrize(("accepted", "typed"), SAME_TEXTS)
def test_fold_one_answer_of_a_reader_is_equal(accepted: str, typed: str) -> None:
    item = ShortText(key="t", prompt="?", accepted=(accepted,))
    assert item.score(item.parse_answer({"answer": typed})) == 1
    swapped = ShortText(key="t", prompt="?", accepted=(typed,))
    assert swapped.score(swapped.parse_answer({"answer": accepted})) == 1


@pytest.mark.parametrize(("accepted", "typed"), DIFFERENT_TEXTS)
def test_fold_another_answer_is_different(accepted: str, typed: str) -> None:
    item = ShortText(key="t", prompt="?", accepted=(accepted,))
    assert item.score(item.parse_answer({"answer": typed})) == 0


@pytest.mark.parametrize(
    ("accepted", "typed", "score"),
    [
        ("mW", "mW", 1),
        ("mW", "MW", 0),
        ("mW", "ｍＷ\u200b", 1),
        ("don't", "don’t", 1),
        ("don't", "Don’t", 0),
        ("Maße", "Masse", 0),
        ("Αθήνα", "Αθηνα", 0),
        ("İzmir", "Izmir", 1),
        ("İzmir", "izmir", 0),
        ("كتاب", "كِتَاب", 1),
    ],
)
def test_fold_case_sensitive_item_keeps_case(accepted: str, typed: str, score: int) -> None:
    item = ShortText(key="t", prompt="?", accepted=(accepted,), case_sensitive=True)
    assert item.score(item.parse_answer({"answer": typed})) == score


def test_short_text_of_invisible_characters_is_blank() -> None:
    item = ShortText(key="t", prompt="?", accepted=("yes",))
    assert item.parse_answer({"answer": "\u200b \ufeff"}) is None


def test_visible_text_keeps_what_looks_different() -> None:
    assert visible_text(" a\u200b  b ") == "a b"
    assert len({visible_text(text) for text in ("mW", "MW", "Maße", "Masse", "10²", "102")}) == 6


# Letters, marks and signs that the folding treats in a way of their own, and any others.
TEXTS = st.text(max_size=30) | st.text(
    "aIiİıſßẞﬃΆάςϓΣ\u0301\u0307\u0308\u0313\u0345\u0327еЕёЁѐ\u0300أا\u0654ـىی\u064bש\u05c1’“…²½Ⅳ\u200bŉ‴΅"
    " ",
    max_size=12,
)


@settings(deadline=None)
@given(TEXTS, st.booleans())
def test_fold_twice_changes_nothing(text: str, case_sensitive: bool) -> None:
    folded = fold(text, case_sensitive=case_sensitive)
    assert fold(folded, case_sensitive=case_sensitive) == folded
    composed = unicodedata.normalize("NFC", text)
    assert fold(composed, case_sensitive=case_sensitive) == folded


@settings(deadline=None)
@given(TEXTS, st.booleans())
def test_short_text_answer_matches_itself(text: str, case_sensitive: bool) -> None:
    accepted = clean_text(text)  # an author's text has no control characters
    item = ShortText(key="t", prompt="?", accepted=(accepted,), case_sensitive=case_sensitive)
    answer = item.parse_answer({"answer": text})
    assert answer is None or item.score(answer) == 1

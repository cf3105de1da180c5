"""The labels and help texts of the editor's fields, in one place.

A field is found by its schema and name, or else by its name alone. A field without a text here is
labelled by its name.
"""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema

from provider.core.kinds import KINDS
from provider.core.labels import label_for

NEEDED_TO_SCORE = "A section that is scored needs it."
MARKDOWN = "Markdown: **bold**, *italic*, lists and tables."
LARGE_FILES = "Files above 2 MB need a browser with JavaScript."

FIELD_TEXTS: Mapping[str, tuple[str, str]] = {
    # Documents
    "name": ("Name", ""),
    "TestSchema.name": ("Name", "The name that recruiters choose from, and candidates see."),
    "InterviewSchema.name": ("Name", "The name that recruiters choose from, and candidates see."),
    "PackageSchema.name": ("Name", "The name that recruiters choose from, and candidates see."),
    "language": (
        "Language of the texts",
        "A code such as en, de or pt-BR. Empty: no language is named.",
    ),
    "description": ("Description", f"Shown before the start. {MARKDOWN}"),
    "instructions": ("Instructions", f"Shown before the start. {MARKDOWN}"),
    "time_limit": ("Time limit in minutes", "1 to 1440. Empty: no time limit."),
    "shuffle": ("Shuffle the options", "One candidate always sees the same order."),
    "grades": ("Grades", "Cut scores in percent. Without them there is no grade."),
    "passed": ("Passed from", "A percentage. A lower score is “failed”."),
    "excelled": ("Excelled from", "A percentage, or empty."),
    "summaries": ("Summaries in the report", "One sentence for each grade."),
    "SummariesSchema.failed": ("Failed", ""),
    "SummariesSchema.passed": ("Passed", ""),
    "SummariesSchema.excelled": ("Excelled", ""),
    "report": ("Report", ""),
    "answers": ("Where questions and answers are shown", ""),
    # Sections and items
    "key": ("Key", "Names this part in files and results. Empty: made from the text."),
    "title": ("Title", ""),
    "weight": ("Weight", "Share of the score. 0: asked, but not scored."),
    "SectionSchema.instructions": ("Instructions", f"Shown above its questions. {MARKDOWN}"),
    "prompt": ("Question", MARKDOWN),
    "points": ("Points", ""),
    "wrong_points": ("Points that a wrong answer costs", "0: a wrong answer costs nothing."),
    "required": ("Candidates get a note when they leave it blank", ""),
    "plain": ("Show every character as it is written", "The text is no Markdown then."),
    "options": ("Options", ""),
    "OrderingSchema.options": ("Parts in the right order", "Candidates see another order first."),
    "text": ("Text", ""),
    "correct": ("This is a right answer", ""),
    "score": ("Score of this option", ""),
    "partial": ("A partly right answer gets a part of the points", ""),
    "answer": ("Right answer", NEEDED_TO_SCORE),
    "tolerance": ("Tolerance", "How far from the right answer a number may be."),
    "unit": ("Unit", "Such as km/h. Empty: a number without a unit."),
    "minimum": ("Lowest number that is accepted", "Empty: any number."),
    "accepted": ("Accepted answers", f"One on each line. {NEEDED_TO_SCORE}"),
    "case_sensitive": ("Upper and lower case must match", ""),
    "labels": ("Labels of the scale", "One on each line, from the first to the last."),
    "direction": ("Direction", "Reversed: the first label counts most."),
    "trait": ("Trait", "What it measures, such as Conscientiousness."),
    "statements": ("Statements", "The candidate chooses the most and the least fitting one."),
    "pairs": ("Pairs", "Each left side belongs to its right side."),
    "left": ("Left side", ""),
    "right": ("Right side", ""),
    "extra": ("Right sides that belong to none", ""),
    "GapFillSchema.text": ("Text with gaps", "Write each gap as {{key}}, with the key of a gap."),
    "gaps": ("Gaps", "A gap takes a text, or one of several options."),
    "GapSchema.key": ("Key", "The text has it as {{key}}."),
    "GapSchema.options": ("Options to choose from", "Leave them empty for a typed text."),
    "stimulus": ("What the question is about", "Shown above the question, in this order."),
    "picture": ("File", f"JPEG, PNG or WebP, at most 20 MB. It is made smaller. {LARGE_FILES}"),
    "alt": ("What the picture shows", "Candidates who cannot see it hear these words."),
    "audio": ("File", f"MP3, M4A, Ogg or WAV, at most 10 MB. {LARGE_FILES}"),
    "transcript": ("What is said", f"For candidates who cannot hear it. {MARKDOWN}"),
    "table": (
        "Table",
        "A line for each row, with | between the cells: Year | Sales. Rows that you copy from a "
        "spreadsheet are read as well.",
    ),
    "header": ("The first row names the columns", ""),
    "caption": ("Caption", ""),
    "tags": ("Tags", "One on each line. A section can draw its questions by them."),
    "time_limit_seconds": ("Time limit in seconds", "Only where candidates cannot go back."),
    "max_characters": ("Most characters", ""),
    "max_words": ("Most words", "Empty: any number of words."),
    "types": ("Types of file", ""),
    "max_megabytes": (
        "Largest size in MB",
        f"From 1 to 50. {LARGE_FILES}",
    ),
    "rubric": ("Rubric", "What staff give points for. Candidates do not see it."),
    # Structure
    "navigation": ("Moving between questions", "Forward: no way back to a question."),
    "draw": ("Draw questions", "Each candidate gets some of the questions of this section."),
    "count": ("How many questions", ""),
    "DrawSchema.tags": ("With all these tags", "One on each line. Empty: any question."),
    "order": ("Order of the questions", "Shuffled: each candidate gets another order."),
    "SectionSchema.time_limit": ("Time limit in minutes", "Of this section alone."),
    "practice": ("For practice", "Not scored, not in the report, and no time runs."),
    "break_minutes": ("Minutes of a break after it", "The time stands still. Empty: no break."),
    # Rules of a test
    "integrity": ("Integrity signals", "Candidates read about them before the start."),
    "record": ("Record signals", "Leaving the page, pasting, very fast answers and others."),
    "IntegritySchema.shared": ("Show them on shared links", ""),
    "retakes": ("Taking the test again", ""),
    "allowed": ("Allowed", ""),
    "after_days": ("Days after the attempt before", ""),
    "counts": ("Which attempt counts", ""),
    "feedback": ("Candidates see a short report of their own", ""),
    "feedback_grade": ("It has the grade, too", ""),
    "marking": ("Marking", "Of the questions whose answers staff mark."),
    "markers": ("People who mark each answer", "1 or 2."),
    "blind": ("The second person does not see the first mark", ""),
    "MarkingSchema.tolerance": ("Tolerance", "By how many points two marks may differ."),
    "second_look": ("Candidates may ask for a second look", ""),
    # Scales and norm groups
    "ScaleSchema.items": (
        "Questions",
        "The key of a question on each line; with “reversed” after it, it counts the other way.",
    ),
    "NormGroupSchema.scales": (
        "Norms of the scales",
        "A line for each scale: its key, the mean and the standard deviation, such as "
        "“order 14.2 3.1”. For a table: its key, the measure and the rows, such as "
        "“order T 10=40 12=45”.",
    ),
    "method": ("How the answers are combined", ""),
    "missing": ("Questions without an answer", ""),
    "n": ("Number of people", ""),
    "source": ("Source", "Where the figures are published."),
    "measures": ("What is shown", ""),
    # Interviews
    "QuestionSchema.text": ("Question", MARKDOWN),
    "InterviewSchema.time_limit": (
        "Time limit in minutes",
        "From the start to the end, 1 to 1440. Empty: open until the deadline of the invitation.",
    ),
    "sound_only": (
        "A video question may be answered with sound only",
        "For candidates without a camera, or who do not want one.",
    ),
    "may_be_paused": ("Candidates may pause the time between two questions", ""),
    "preferences": ("What an order may override", "By the preferences that an ATS sends with it."),
    "introduction": ("Introduction", "Shown after the camera check, before the first question."),
    "closing": ("Closing", "Shown after the interview is submitted."),
    "MessageSchema.text": ("Text", MARKDOWN),
    "InterviewSchema.practice": (
        "Question for practice",
        "Nobody else sees the answer: it stays in the candidate's browser.",
    ),
    "PracticeSchema.text": ("Question", MARKDOWN),
    "QuestionSchema.answer": ("How candidates answer", ""),
    "PracticeSchema.answer": ("How candidates answer", ""),
    "media": ("Video or picture", "Shown with the text. Choose one of them."),
    "video": ("Your own video", "MP4 or WebM, at most 100 MB, with picture and sound."),
    "MediaSchema.transcript": ("What is said in the video", MARKDOWN),
    "MediaSchema.picture": ("Picture", "JPEG, PNG or WebP."),
    "MediaSchema.alt": ("What the picture shows", "For candidates who do not see it."),
    "think_seconds": (
        "Seconds to think",
        "0 to 600, before a recording starts; your video plays in this time. Empty: not limited.",
    ),
    "answer_seconds": ("Longest recording in seconds", "10 to 1800. For video and audio."),
    "takes": (
        "Recordings",
        "How often a candidate may record the answer, 1 to 10. For video and audio.",
    ),
    "QuestionSchema.max_characters": ("Most characters", "For a text."),
    "QuestionSchema.max_words": ("Most words", "For a text. Empty: any number of words."),
    "QuestionSchema.types": ("Types of file", "For a file."),
    "QuestionSchema.max_megabytes": ("Largest size in MB", "For a file: 1 or 2."),
    "QuestionSchema.options": ("Options", "For a choice: one on each line, 2 to 20."),
    "scale": ("Scale of the ratings", ""),
    "min": ("Lowest rating", ""),
    "max": ("Highest rating", ""),
    "ScaleSchema.labels": ("Labels of the ratings", "One on each line for each rating, or none."),
    # Packages
    "valid_months": (
        "Months until the check is to be renewed",
        "From the end of the check, 1 to 120. Empty: no renewal.",
    ),
    "PackageSchema.sections": ("Sections of information", "Shown before the start."),
    "InformationSectionSchema.text": ("Text", MARKDOWN),
    "screenings": ("Screenings", ""),
    "ScreeningSchema.description": ("Description", MARKDOWN),
    "ScreeningSchema.type": ("Type", "It gives the usual values of the fields below."),
    "ScreeningSchema.reason": ("Why this is needed", "One sentence that the candidate reads."),
    "workforce": ("Workforce", "The people with whom the candidate will work."),
    "barred_lists": ("Barred lists", "The lists that the check searches, as the work allows."),
    "ScreeningSchema.questions": (
        "Questions to referees",
        "Empty: the usual questions of the type.",
    ),
    "RefereeQuestionSchema.text": ("Question", "Shown to the referee."),
    "RefereeQuestionSchema.kind": ("How referees answer", ""),
    "RefereeQuestionSchema.options": ("Options", "For a choice: one on each line, 2 to 20."),
    "RefereeQuestionSchema.required": ("Referees must answer it", ""),
    "consent_texts": (
        "Legal texts of this screening",
        "Keys of legal texts of this package, one on each line. A text names its countries.",
    ),
    "asks": ("What the candidate is asked for", ""),
    "documents": ("Documents that the candidate sends", ""),
    "working_days": ("Expected working days", "From the consent to the outcome, 1 to 250."),
    "performer": ("Who does it", ""),
    "connector": ("Connector", "Its name, if a connector does the screening."),
    "retention_days": (
        "Days of storage",
        "How long the data of this screening is stored after the end of the check. "
        "The outcome stays. Empty: as long as the candidate.",
    ),
    "legal_texts": ("Legal texts", "Shown beside the disclosure, by country."),
    "disclosure": ("What the candidate consents to", ""),
    "version": ("Version", "A changed text needs a new version, such as 2."),
    "DisclosureSchema.text": ("Text", MARKDOWN),
    "sample": ("This text is a sample", "Only sandbox accounts can order it then."),
    "purpose": ("Purpose", "A disclosure replaces what others consent to."),
    "LegalTextSchema.text": ("Text", MARKDOWN),
    "countries": (
        "Countries",
        "One on each line, by name or code: candidates who live there see it. Empty: all do.",
    ),
}
# Fields whose values are keys, which authors see as they are written.
FIELDS_OF_KEYS = ("consent_texts",)
CHOICE_TEXTS: Mapping[str, str] = {
    "report": "On the page of the report",
    "pdf": "In the PDF",
    "answer.video": "By video",
    "answer.audio": "By audio, without a picture",
    "answer.text": "By a text",
    "answer.file": "By a file",
    "answer.choice": "By a choice of one option",
    "kind.text": "By a text",
    "kind.choice": "By a choice of one option",
    "kind.yes_no": "By yes or no",
    "preferences.think_seconds": "The seconds to think",
    "preferences.answer_seconds": "The longest recording",
    "preferences.takes": "The number of recordings",
    "preferences.time_limit": "The time limit",
    "preferences.may_be_paused": "Whether the time may be paused",
    "preferences.practice": "That there is no question for practice",
    "types.pdf": "PDF",
    "types.picture": "Pictures: JPEG, PNG or WebP",
    "shared": "On the page of a shared link",
}
# The families of labels that name the choices of a field.
CHOICE_FAMILIES: Mapping[str, str] = {
    "type": "screening type",
    "asks": "screening detail",
    "documents": "screening document",
    "performer": "screening performer",
    "workforce": "workforce",
    "barred_lists": "barred lists",
    "purpose": "legal text purpose",
}
# The names of parts of a stimulus, by the field that marks such a part.
PART_TEXTS: Mapping[str, str] = {"audio": "Sound"}
# The entries of the lists that have pages of their own.
ENTRY_NOUNS: Mapping[str, str] = {"items": "question", "norms": "norm group"}
ITEM_TEXTS: Mapping[str, str] = {
    "single_choice": "Choice of one answer",
    "multiple_choice": "Choice of several answers",
    "true_false": "True or false",
    "numeric": "Number",
    "short_text": "Short text",
    "likert": "Scale of agreement",
    "forced_choice": "Most and least like me",
    "situational_judgement": "Judgement of a situation",
    "ordering": "Ordering",
    "matching": "Matching",
    "gap_fill": "Text with gaps",
    "long_text": "Long text",
    "file": "File",
}


def field_texts(schema: Schema, name: str) -> tuple[str, str]:
    """Return the label and the help text of a field."""
    for owner in type(schema).__mro__:
        if texts := FIELD_TEXTS.get(f"{owner.__name__}.{name}"):
            return texts
    return FIELD_TEXTS.get(name) or (words(name), "")


def field_label(schema: Schema | None, name: str) -> str:
    """Return the label of a field, by its name alone where its schema is not known."""
    if schema:
        return field_texts(schema, name)[0]
    return FIELD_TEXTS[name][0] if name in FIELD_TEXTS else words(name)


def words(name: str) -> str:
    """Return the words of a name: `think_seconds` is “Think seconds”."""
    return name.replace("_", " ").capitalize()


def choice_text(choice: str, field_name: str = "") -> str:
    if field_name in FIELDS_OF_KEYS:
        return choice
    if field_name in CHOICE_FAMILIES:
        return label_for(CHOICE_FAMILIES[field_name], choice)
    own_text = CHOICE_TEXTS.get(f"{field_name}.{choice}")
    return own_text or CHOICE_TEXTS.get(choice) or words(choice)


def item_text(kind: str) -> str:
    """Return what a type of item is called."""
    return ITEM_TEXTS.get(kind) or words(kind)


def part_text(kind: str) -> str:
    """Return what a part of a list of several kinds is called."""
    return PART_TEXTS.get(kind) or words(kind)


def entry_noun(list_name: str) -> str:
    """Return the singular noun for the entries of a list: `sections` is “section”."""
    return ENTRY_NOUNS.get(list_name) or list_name.replace("_", " ").removesuffix("s")


def list_label(list_name: str) -> str:
    """Return the label of a list: `items` is “Questions”."""
    noun = ENTRY_NOUNS.get(list_name)
    return f"{noun.capitalize()}s" if noun else words(list_name)


def entry_title(entry: Any) -> str:
    """Return a line that names an entry in lists."""
    values = entry if isinstance(entry, dict) else {}
    for name in ("title", "name", "prompt", "text", "key"):
        text = values.get(name)
        if isinstance(text, str) and text.strip():
            line = text.strip().split("\n")[0]
            return line if len(line) <= 90 else f"{line[:89]}…"
    return "Without a text yet"


def kind_choices() -> list[tuple[str, str]]:
    """Return the kinds of products with their labels."""
    return [(kind, str(label_for("product", kind))) for kind in KINDS]


def sentence(problem: str) -> str:
    """Return a problem of a document as a sentence: “It should be provided.”"""
    starts = ("should ", "is ", "has ", "looks ", "holds ", "are ")
    text = f"it {problem}" if problem.startswith(starts) else problem
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")

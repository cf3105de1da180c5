"""The steps of a scripted candidate of a sandbox, and of the staff who mark the answers."""

from sqlalchemy.orm import Session

from provider.core.kinds.answer_files import EXTENSIONS, media_key
from provider.core.kinds.assessment.file_answers import save_file
from provider.core.kinds.assessment.items import FileAnswer, Item
from provider.core.kinds.assessment.models import Assessment
from provider.core.kinds.base import ScriptedStep
from provider.core.marking import MarkForm, list_open_tasks, save_mark
from provider.core.orders import GivenTime
from provider.core.orders.states import MARKING, STARTED
from provider.storage import secrets

ACTOR = "system"
# An empty page, and a white pixel.
SAMPLE_FILES = {
    "application/pdf": (
        b"%PDF-1.4\n"
        b"1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj\n"
        b"trailer<</Root 1 0 R>>\n%%EOF\n"
    ),
    "image/png": bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a494441"
        "54789c63f80f0001010100b138f6140000000049454e44ae426082"
    ),
}


def play_step(session: Session, test: Assessment, step: ScriptedStep) -> None:
    if test.progress == MARKING:
        _mark(session, test, step)
        return
    if test.progress != STARTED:
        test.start(session, step.now)
        return
    for number, item in enumerate(test.content.items, 1):
        if test.part_index_of(number) > test.part.index:
            test.finish_part(session, test.part.index, step.now)
            test.go_on(session, step.now)  # a scripted candidate takes no break
        test.open_part(session, test.part.index, step.now)
        if isinstance(item, FileAnswer):
            _send_file(session, test, item, step)
        else:
            test.save(item.key, _choose_form(item, step.is_good), step.now)
        test.move_forward(session, number, step.now)
    test.submit(session, step.secret_box, step.now)


def _choose_form(item: Item, is_good: bool) -> dict[str, list[str]]:
    """Return the form with an answer that earns the most points, or the fewest."""
    choose = max if is_good else min
    form: dict[str, list[str]] = {}
    for name, value in item.form_fields(choose(item.trial_answers(), key=item.score, default=None)):
        form.setdefault(name, []).append(value)
    return form


def _send_file(session: Session, test: Assessment, item: FileAnswer, step: ScriptedStep) -> None:
    """Send a small file of a type that the question takes."""
    content_type = next(name for name in item.content_types if name in SAMPLE_FILES)
    public_id = secrets.generate_public_id()
    stored_file = step.media.put(media_key(public_id), [SAMPLE_FILES[content_type]])
    name, given = f"sample.{EXTENSIONS[content_type]}", GivenTime(step.now)
    save_file(session, test, item.key, public_id, name, content_type, stored_file, given, step.now)


def _mark(session: Session, test: Assessment, step: ScriptedStep) -> None:
    """Give every answer all its points, or none."""
    for task in list_open_tasks(session, test):
        unit = test.marking_unit(task.unit)
        share = 1 if step.is_good else 0
        rows = {row.key: row.points * share for row in unit.rubric}
        form = MarkForm(unit.max_points * share, rows)
        for number in range(task.markers):
            save_mark(session, step.secret_box, task, form, f"{ACTOR} {number + 1}", step.now)

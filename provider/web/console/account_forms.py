"""The fields of forms about accounts, made from the settings that an account and its ATS have."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from werkzeug.datastructures import MultiDict

from provider.ats import ADAPTERS
from provider.ats.settings import Choice, Setting, Table, Text, TimeZone, YesNo
from provider.core.accounts import Account
from provider.core.accounts.setting_texts import NONE
from provider.core.accounts.settings import COMMON_SETTINGS
from provider.core.labels import label_for

# The words of settings' names that are not written as other words.
SPELLINGS = {"api": "API", "id": "ID", "oauth": "OAuth", "pdf": "PDF", "url": "URL"}
# The hints of lists, whose choices the form shows.
LIST_HINTS = {"candidate_emails": "Beside the invitation, which every candidate gets."}
YES_NO = (("yes", "Yes"), ("no", "No"))
GROUPS = {
    "Account": ("expire_after", "timezone", "shared_ttl", "sandbox", "sandbox_outcomes"),
    "Times of storage": ("keep_recordings", "keep_candidates", "keep_screenings"),
    "Calls and callbacks": ("callback_hosts", "callback_rate", "request_rate"),
    "What reviewers see": ("hide_names",),
    "Background checks": ("holidays", "partial_results", "second_person", "notice_days"),
    "What candidates see": (
        "check_copies",
        "candidate_emails",
        "reminders",
        "brand.display_name",
        "brand.colour",
        "brand.support_address",
        "brand.privacy_address",
    ),
}


@dataclass(frozen=True)
class FormField:
    """One field: its label and hint, the present value, and the choices if there are few."""

    key: str
    label: str
    hint: str
    value: str
    options: tuple[tuple[str, str], ...] = ()
    can_be_empty: bool = False
    is_time_zone: bool = False
    is_list: bool = False  # of some of the options, comma-separated

    def text_of(self, typed: str) -> str:
        """Return the text that the setting's parser reads, from what somebody has typed."""
        return typed.strip() or (NONE if self.can_be_empty else "")


def field_groups(account: Account) -> dict[str, list[FormField]]:
    """Return the fields of all settings of an account, by the heading above them."""
    groups = {heading: _shown_fields(account, names) for heading, names in GROUPS.items()}
    adapter = ADAPTERS[account.ats]
    groups[adapter.title] = adapter_fields(account, (setting.name for setting in adapter.settings))
    return {heading: fields for heading, fields in groups.items() if fields}


def common_field(account: Account, name: str) -> FormField:
    setting = COMMON_SETTINGS[name]
    text = setting.read(account)
    options = tuple((choice, label_for("event", choice)) for choice in setting.choices)
    return FormField(
        name,
        setting.label,
        LIST_HINTS.get(name) or sentence(setting.description),
        "" if text == NONE else text,
        options=YES_NO if setting.is_switch else options,
        can_be_empty=setting.can_be_none,
        is_time_zone=name == "timezone",
        is_list=bool(options),
    )


def adapter_fields(account: Account, names: Iterable[str]) -> list[FormField]:
    """Return the fields of settings of the account's ATS, by their names."""
    adapter = ADAPTERS[account.ats]
    values, wanted = adapter.setting_values(account.options), set(names)
    return [
        _adapter_field(setting, setting.format(values[setting.name]))
        for setting in adapter.settings
        if setting.name in wanted
    ]


def changed_texts(fields: Iterable[FormField], form: MultiDict[str, str]) -> dict[str, str]:
    """Return the texts that differ from the present values, by key."""
    texts = {
        field.key: field.text_of(
            ",".join(filter(None, form.getlist(field.key))) if field.is_list else form[field.key]
        )
        for field in fields
        if field.key in form
    }
    return {
        field.key: texts[field.key]
        for field in fields
        if field.key in texts and texts[field.key] != field.text_of(field.value)
    }


def readable_problems(fields: Iterable[FormField], problems: Mapping[str, str]) -> dict[str, str]:
    """Return the sentences with the fields' labels instead of the names of the settings."""
    labels = {field.key: field.label for field in fields}
    return {
        key: text.replace(key, labels.get(key) or readable_name(key), 1)
        if text.startswith(key)
        else text
        for key, text in problems.items()
    }


def readable_name(key: str) -> str:
    """Return the label of a setting or secret that has none of its own."""
    words = [SPELLINGS.get(word, word) for word in key.split("_")]
    return " ".join([words[0][0].upper() + words[0][1:], *words[1:]])


def _shown_fields(account: Account, names: Iterable[str]) -> list[FormField]:
    has_endpoints = ADAPTERS[account.ats].has_endpoints
    return [
        common_field(account, name)
        for name in names
        if has_endpoints or not COMMON_SETTINGS[name].needs_endpoints
    ]


def _adapter_field(setting: Setting, text: str) -> FormField:
    options: tuple[tuple[str, str], ...] = ()
    if isinstance(setting, YesNo):
        options = YES_NO
    elif isinstance(setting, Choice):
        options = tuple((word, readable_name(word)) for word in setting.choices)
    can_be_empty = not options and (setting.default is None or isinstance(setting, Text | Table))
    return FormField(
        setting.name,
        readable_name(setting.name),
        sentence(setting.description),
        "" if text == NONE and not options else text,
        options=options,
        can_be_empty=can_be_empty,
        is_time_zone=isinstance(setting, TimeZone),
    )


def sentence(text: str) -> str:
    """Return a description as a sentence, with quotation marks instead of backticks."""
    text = re.sub("`([^`]+)`", "“\\1”", text)
    return f"{text[0].upper()}{text[1:]}."

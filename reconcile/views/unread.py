"""How the rules read the records, as text: what they take, what they leave unread, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reconcile.core.unread import AgainstRecords, TextGroup, TextVerdict
from reconcile.views import words
from reconcile.views.changes import Labels, label
from reconcile.views.terminal import Terminal

SHOWN = 3
"""The most examples of a group that are shown without --verbose."""
_MEANINGS = {
    TextVerdict.TAKEN: "a rule matches them",
    TextVerdict.BY_ITS_END: "below no root; a rule matches their end, so they are read if there is such a file",
    TextVerdict.NO_RULE: "no rule matches them",
    TextVerdict.LEFT_OUT: "below a root, but such files are never looked at",
    TextVerdict.MAP_NAME: "names of values, which are not rewritten",
    TextVerdict.OUTSIDE_ROOT: "below no root, and no rule matches their end",
    TextVerdict.CLIMBS_OUT: "they lead out of the root",
    TextVerdict.DEVICE: "devices of Windows, not files",
    TextVerdict.LONGER_TEXT: "longer texts with a path of ours in them, or the root folder itself",
    TextVerdict.OTHER_BUCKET: "URIs of another bucket, or outside the prefix",
}
"""What each verdict means, in the order in which they are shown."""
_HINTS = {
    TextVerdict.BY_ITS_END: "to be sure of them, put their folder into previous_roots",
    TextVerdict.NO_RULE: "add a rule with such a path, or correct `path` of one",
    TextVerdict.LEFT_OUT: "take them out of `ignore`, or name them in a rule",
    TextVerdict.MAP_NAME: "only the program that wrote them can change them",
    TextVerdict.OUTSIDE_ROOT: "put the folder that the workflows wrote to into previous_roots",
    TextVerdict.LONGER_TEXT: "only the program that wrote them can change them",
    TextVerdict.OTHER_BUCKET: "set `[bucket] uri` if it is yours",
}


def show_against(terminal: Terminal, found: AgainstRecords, labels: Labels, *, verbose: bool = False) -> None:
    """Writes what is taken, by rule and root; then, for each reason, what is not, with examples."""
    left = found.texts - found.taken
    terminal.prose(
        f"{words.many(found.documents, 'record')}, in which {words.many(found.texts, 'text')}"
        f" {'looks' if found.texts == 1 else 'look'} like a path or a URI: {found.taken:,} taken,"
        f" {left:,} left unread.",
        style="bold" if not left else "bold yellow",
    )
    for verdict, meaning in _MEANINGS.items():
        listed = [each for each in found.groups if each.verdict is verdict]
        if not listed:
            continue
        terminal.line()
        count = sum(each.count for each in listed)
        style = "green" if verdict is TextVerdict.TAKEN else "yellow"
        terminal.line((verdict.value, style), f" ({count:,}): {meaning}")
        if verdict in _HINTS:
            terminal.prose(f"To do: {_HINTS[verdict]}", indent=2)
        if verdict is TextVerdict.TAKEN and not verbose:
            _show_table(terminal, listed, labels)
        else:
            _show_groups(terminal, listed, labels, None if verbose else SHOWN)


def _show_table(terminal: Terminal, groups: Sequence[TextGroup], labels: Labels) -> None:
    rows = [[f"  {_kind(each, labels)}", f"{each.count:,}", _about(each.root, _unnamed(each))] for each in groups]
    terminal.table(None, rows, numbers=(1,))


def _show_groups(terminal: Terminal, groups: Iterable[TextGroup], labels: Labels, shown: int | None) -> None:
    for group in groups:
        about = _about(_kind(group, labels), group.root, _unnamed(group))
        terminal.line(f"  {group.count:,}  {about or 'in fields that rules write'}")
        for example in group.examples[:shown]:
            terminal.line("      ", (f"{example.document} {example.place}  ", "dim"), (example.text, "bold"))


def _about(*parts: str | None) -> str:
    return ", ".join(filter(None, parts))


def _kind(group: TextGroup, labels: Labels) -> str:
    return "" if group.type is None else label(labels, group.type)


def _unnamed(group: TextGroup) -> str:
    return "" if group.named else "in fields that no rule writes"

"""Text in Markdown that can do no harm: names from elsewhere are shown, never obeyed."""

from __future__ import annotations

import re

from reconcile.views.terminal import visible

# No character of these means anything to Markdown, to HTML, to a forge (@name, #1, a bare address) or to a chat.
_PLAIN = re.compile(r"[^\W_](?:[^\W_]|[ ,-])*")
# Plain sentences with commands between backticks; a dot or a colon within a word could make a link or an emoji of it.
_SENTENCE = re.compile(r"(?:`[^`|]*`|[A-Za-z0-9 ,;'\"()/=\[-]|(?<=\w)_(?=\w)|\](?!\()|\.(?!\w)|:(?!\S))*")
_ENDS = str.maketrans({"`": r"\x60", "|": r"\x7c"})
"""What would end a code span, or a table's cell before any span is looked at."""


def inert(text: str) -> str:
    """The text as it is if it is plain words, else in a code span: there no markup, link, mention or emoji counts.

    A backtick and a pipe are written as escapes, as control characters are, so that nothing ends the span.
    """
    if not text or _PLAIN.fullmatch(text):
        return text
    return f"`{visible(text).translate(_ENDS)}`"


def sentence(text: str) -> str:
    """A hint as it is if it is a plain sentence with its commands between backticks; otherwise inert."""
    return text if text.isprintable() and _SENTENCE.fullmatch(text) else inert(text)

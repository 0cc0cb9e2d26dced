"""Makes text harmless in Markdown: names from elsewhere are shown, never interpreted."""

from __future__ import annotations

import re

from reconcile.views.terminal import visible

# None of these characters means anything to Markdown, HTML, a forge (@name, #1, a bare address) or a chat.
_PLAIN = re.compile(r"[^\W_](?:[^\W_]|[ ,-])*")
# Plain sentences with commands in backticks. A dot or a colon within a word could make it a link or an emoji.
_SENTENCE = re.compile(r"(?:`[^`|]*`|[A-Za-z0-9 ,;'\"()/=\[-]|(?<=\w)_(?=\w)|\](?!\()|\.(?!\w)|:(?!\S))*")
_ENDS = str.maketrans({"`": r"\x60", "|": r"\x7c"})
"""Characters that end a code span, or a table cell even within a span."""


def inert(text: str) -> str:
    """Returns plain words as they are, and any other text in a code span, where no markup, link, mention or emoji
    works.

    Backticks and pipes are escaped like control characters, so that nothing ends the span.
    """
    if not text or _PLAIN.fullmatch(text):
        return text
    return f"`{visible(text).translate(_ENDS)}`"


def sentence(text: str) -> str:
    """Returns a hint as it is if it is a plain sentence with commands in backticks; otherwise ``inert``."""
    return text if text.isprintable() and _SENTENCE.fullmatch(text) else inert(text)

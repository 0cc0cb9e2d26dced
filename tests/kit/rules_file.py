"""A rules file whose lines a test changes, and what is read of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reconcile.config.environment import Overrides
from reconcile.config.settings import Settings, load
from reconcile.core.errors import ConfigError, ExitCode

LINES = r"""[local]
root = "output"
previous_roots = ['C:\oo\bar\output']
ignore = ["*.tmp"]
settle = 2.0

[bucket]
uri = "gs://my-bucket/anime_dance"
endpoint = ""

[records]
uri = "firestore://my-project/(default)/characters"
endpoint = ""
entries = "assets"
entry_key = "title"

[local_db]
path = "data/characters.json"
rewrite = false

[policy]
replace = "safe"
max_replace = "10%"
create_records = true

[[asset]]
type = "cosplay_image"
label = "Cosplay Image"
path = "characters/{char_id}_cosplay.png"
field = "cosplay_image"
entry = "primary"
many = "newest"

[[asset]]
type = "anime_image"
label = "Anime Image"
path = "characters/{char_id}.png"
field = "anime_image"
entry = "primary"
many = "report"
""".splitlines()


def rules(**edits: str | None) -> str:
    """The rules with some lines changed: ``L12="…"`` for line 12, None to leave it out, ``more`` at the end."""
    lines: list[str | None] = list(LINES)
    more = edits.pop("more", "") or ""
    for name, text in edits.items():
        lines[int(name[1:]) - 1] = text
    return "\n".join(line for line in lines if line is not None) + "\n" + more


def write(project: Path, text: str | bytes) -> Path:
    path = project / "rules" / "asset_map.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def settings(
    project: Path, *, env: dict[str, str] | None = None, over: Overrides | None = None, **edits: Any
) -> Settings:
    write(project, rules(**edits))
    return load(project, over, env or {})


def refusal(project: Path, text: str | bytes, env: dict[str, str] | None = None) -> ConfigError:
    write(project, text)
    with pytest.raises(ConfigError) as caught:
        load(project, None, env or {})
    assert caught.value.exit_code is ExitCode.CONFIG
    return caught.value

"""Pages of the report, of as many characters as a test wants, and the browser to look at them with."""

from __future__ import annotations

import os
import shutil
from typing import Any

import pytest

from reconcile.commands.report import Details
from reconcile.commands.status import REPORT_FORMAT, Cell, Overview
from reconcile.core.changes import Change, Code, Finding, Severity
from reconcile.core.findings import make
from reconcile.core.plan import Plan, Scope
from reconcile.core.rows import LocalFile, RemoteObject
from reconcile.core.sides import BOTH_SIDES, quoted
from reconcile.core.status import StatusRow, Sync
from reconcile.views import page
from tests.kit.plans import BUCKET, creation, plan, replacement, rewrite, set_field, upload

LABELS = {
    "anime_image": "Anime Image",
    "dance_video": "Dance Video",
    "kpop_version": "K-Pop Version",
    "icon": "Icons",
}
PICTURE = "data:image/webp;base64,UklGRhwAAABXRUJQVlA4TBAAAAAvAAAAAAfQ//73v/+BiOh/AAA="
"""One pixel."""

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "[kpop]_x.mp4",
    "a](http://evil.example)",
    "![x](http://evil.example/x.png)",
    "http://evil.example/x",
    "www.evil.example",
    "@everyone",
    "someone@evil.example",
    "`code`",
    "``",
    "a|b",
    "a\\|b",
    "trailing\\",
    "line\nbreak\r\n# heading",
    "gpj.‮exe.png",
    "\x1b[31mred\x1b[0m\x07",
    "*bold* _it_ ~~no~~",
    "&lt;b&gt;&#60;",
    "<!-- -->",
    " ",
]
"""Names that mean something to HTML, to Markdown or to a terminal."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")


def browser() -> str:
    """A Chromium of this machine. Without one a test is skipped, or fails if CI=true."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        missing = "no Chromium is on the PATH (Debian and Ubuntu: apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def key_of(name: str, asset_type: str) -> str:
    """Where a character's asset is."""
    ending = "png" if asset_type in ("anime_image", "icon") else "mp4"
    return f"remixes/{name}_remix_01/result/[{asset_type}]_{name}.{ending}"


def world(characters: int) -> tuple[Overview, Plan, Details]:
    """Each character has an asset of each type: two to upload and to name in its record, two in step. The fourth of
    them has a conflict, the sixth a record that names a lost file."""
    changes: list[Change] = []
    found: list[Finding] = [make(Code.UNCLAIMED_FILE, f"notes/{at}.txt", None) for at in range(30)]
    cells, rows, types, conflicts = [], [], {}, {}
    for at in range(characters):
        name = f"chara_{at:04}"
        for asset_type in LABELS:
            key = key_of(name, asset_type)
            if asset_type == "icon" and at == 3:
                cells.append(Cell(name, asset_type, 1, 1, 0, 1, 0, 0, Sync.PARTIAL))
                ours = LocalFile(key, 48_211, 1_769_937_120 * 10**9)  # 2026-02-01T09:12:00Z
                theirs = RemoteObject(key, 51_003, 1, content_type="image/png")
                found.append(make(BOTH_SIDES, key, name, why="both", ours="", theirs="", quoted=quoted(key)))
                conflicts[key], types[key] = (ours, theirs), asset_type
            elif asset_type in ("dance_video", "kpop_version"):
                cells.append(Cell(name, asset_type, 1, 0, 0, 1, 0, 1, Sync.MISSING))
                old, new = "C:\\oo\\bar\\output\\" + key.replace("/", "\\"), BUCKET.uri(key)
                about = {"document": f"characters/{name}", "old": old, "new": new, "id": key, "field": asset_type}
                changes.append(upload(key, char_id=name, asset_type=asset_type))
                changes.append(set_field(key=key, char_id=name, asset_type=asset_type, **about))
            else:
                cells.append(Cell(name, asset_type, 2, 2, 2, 2, 2, 0, Sync.COMPLETE))
        rows.append(StatusRow(None, name, 6, 4, 4, 4, 2, Sync.PARTIAL, name))
        if at == 5:
            place = {"place": "primary › anime_image", "text": r"C:\oo\bar\output\lost.png"}
            found.append(make(Code.MISSING_ASSET, f"characters/{name}", name, **place))
    made = plan(changes, found)
    table = [StatusRow(kind, label, *[characters] * 5, Sync.PARTIAL) for kind, label in LABELS.items()]
    more = Details(types, conflicts, {key_of("chara_0003", "icon"): PICTURE})
    seen = overview(made, rows=tuple(table), characters=tuple(rows), cells=tuple(cells))
    return seen, made, more


def page_of(characters: int) -> str:
    """The page of such a world."""
    seen, made, more = world(characters)
    return page.html(seen, made, LABELS, more)


def overview(made: Plan, names: list[str] | None = None, **changed: Any) -> Overview:
    """Each name is a character with one asset in step, one to upload and one to look at, in turn."""
    cells = []
    for at, name in enumerate(names or ["ai_hoshino"]):
        in_step, to_do = [(1, 0), (0, 1), (0, 0)][at % 3]
        sync = Sync.COMPLETE if in_step else Sync.MISSING
        cells.append(Cell(name, "anime_image", 1, in_step, in_step, 1, in_step, to_do, sync))
    characters = tuple(
        StatusRow(
            None, cell.char_id or "", 1, cell.bucket, cell.records, cell.in_step, cell.to_do, cell.sync, cell.char_id
        )
        for cell in cells
    )
    values: dict[str, Any] = {
        "format": REPORT_FORMAT,
        "out": "page.html",
        "created": made.created,
        "complete": made.complete,
        "scope": made.scope,
        "stores": made.stores,
        "summary": made.summary,
        "rows": (StatusRow("anime_image", "Anime Image", 121, 120, 118, 118, 3, Sync.PARTIAL),),
        "characters": characters,
        "cells": tuple(cells),
    }
    return Overview(**{**values, **changed})


def hostile_plan(name: str) -> Plan:
    """A plan in which every text from elsewhere is this name."""
    changes = [
        upload(name, char_id=name, asset_type=name),
        replacement(name, char_id=name, asset_type=name),
        set_field(document=f"characters/{name}", entry=name, field=name, old=name, new=[name, 1], char_id=None),
        rewrite(document=name, entry=name, field=name, old=[name], new=name),
        creation(document=f"characters/{name}", fields={name: name, "assets": [{"title": name}]}),
    ]
    found = [Finding(code, Severity.WARNING, f"{name}{at}", name, f"says {name}", name) for at, code in enumerate(Code)]
    return plan(changes, found, scope=Scope((name,), (name,)))

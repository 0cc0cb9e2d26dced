"""What people read: exact text, names that mean harm, words for every value."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from reconcile.core import plan as plans
from reconcile.core import report as reports
from reconcile.core.changes import (
    Change,
    Code,
    CreateRecord,
    Finding,
    Need,
    Reason,
    Replace,
    RewriteLocalDb,
    SetField,
    Severity,
    Upload,
)
from reconcile.core.errors import UsageError
from reconcile.core.events import ChangeDone
from reconcile.core.findings import FINDINGS
from reconcile.core.history import History, PastRun
from reconcile.core.plan import Origin, Plan, Scope, Stores
from reconcile.core.report import Outcome, OutcomeKind, Problem, Status
from reconcile.core.rows import Outlook, World
from reconcile.core.status import StatusRow, StatusTable, Sync
from reconcile.views import words
from reconcile.views.history import show_history
from reconcile.views.json import ErrorDocument, dumps
from reconcile.views.plan import show_plan, totals
from reconcile.views.report import Command, show_report
from reconcile.views.status import show_status
from reconcile.views.streams import Colour
from reconcile.views.terminal import Terminal, visible
from tests.unit.test_progress import heard, outcome

LABELS = {"anime_image": "Anime Image", "icon": "Icons"}
BUCKET = "gs://my-bucket/anime_dance"
ANSI = re.compile(r"\x1b\[[0-9;]*m")
HOSTILE = {
    "[kpop]_x.mp4": "[kpop]_x.mp4",
    "[v2]cover.png": "[v2]cover.png",
    "[bold red]x[/bold red]": "[bold red]x[/bold red]",
    ":star:.png": ":star:.png",
    "100%|{x}.png": "100%|{x}.png",
    "C:\\oo\\bar\\new.png": "C:\\oo\\bar\\new.png",
    "星野 アイ.png": "星野 アイ.png",
    "\x1b[31mred.png": "\\x1b[31mred.png",
    "a\nPlan: 0 to upload.png": "a\\nPlan: 0 to upload.png",
    "a\rb\tc": "a\\rb\\tc",
    "gpj.\u202egnp.exe": "gpj.\\u202egnp.exe",
    "a\u2028b\u200bc\xa0d": "a\\u2028b\\u200bc\\xa0d",
    "\x9b31mc1": "\\x9b31mc1",
    "lone\udcff": "lone\\udcff",
}
WRITABLE = {name: shown for name, shown in HOSTILE.items() if name != "lone\udcff"}
"""What a plan can hold: its texts are valid Unicode."""


STOPPED = Problem("interrupted", "the run stopped before it")


def upload(key: str, char_id: str | None = "ai_hoshino", size: int = 48_211) -> Upload:
    return Upload(
        id=key,
        key=key,
        char_id=char_id,
        asset_type="anime_image",
        reason=Reason.MISSING_IN_BUCKET,
        uri=f"{BUCKET}/{key}",
        size=size,
        crc32c="mnG7TA==",
    )


def finding(code: Code, subject: str, message: str, severity: Severity = Severity.INFO) -> Finding:
    return Finding(code, severity, subject, None, message, "mend it")


def make_plan(actions: list[Change], findings: list[Finding] | None = None, *, complete: bool = True) -> Plan:
    return plans.build(
        actions,
        findings or [],
        Origin(
            "reconcile 0.1.0",
            "r",
            Stores("/studio/output", f"{BUCKET} at http://127.0.0.1:4443", "firestore://p/(default)/characters"),
        ),
        created="2026-02-07T03:00:00Z",
        complete=complete,
        scope=Scope(),
        in_step=512,
        objects_in_scope=600,
    )


WHOLE = make_plan(
    [
        upload("characters/nobody.png", None, 1),
        upload("characters/ai_hoshino.png"),
        Replace(
            id="r",
            key="characters/rem.png",
            char_id="rem",
            asset_type="anime_image",
            reason=Reason.CONTENT_DIFFERS,
            uri=f"{BUCKET}/characters/rem.png",
            size=2_000_000,
            crc32c="mnG7TA==",
            if_generation_match=7,
            old_size=1_000,
            old_crc32c=None,
        ),
        SetField(
            id="s",
            key="characters/ai_hoshino.png",
            char_id="ai_hoshino",
            asset_type="anime_image",
            reason=Reason.LOCAL_PATH,
            document="characters/ai_hoshino",
            entry="primary",
            field="anime_image",
            old="C:\\oo\\bar\\output\\characters\\ai_hoshino.png",
            new=f"{BUCKET}/characters/ai_hoshino.png",
            needs=(Need("characters/ai_hoshino.png", "mnG7TA=="),),
        ),
        SetField(
            id="l",
            key="remixes/a/icon_1.png",
            char_id="ai_hoshino",
            asset_type="icon",
            reason=Reason.UNTRACKED,
            document="characters/ai_hoshino",
            entry=None,
            position=2,
            field="icon",
            old=None,
            new=[f"{BUCKET}/remixes/a/icon_1.png", f"{BUCKET}/remixes/a/icon_2.png"],
            needs=(),
        ),
        CreateRecord(
            id="c",
            char_id="miku",
            reason=Reason.MISSING_RECORD,
            document="characters/miku",
            fields={"name": "初音ミク", "assets": [{"title": "primary"}]},
            needs=(),
        ),
        RewriteLocalDb(
            id="w",
            key="characters/rem.png",
            char_id="rem",
            asset_type="gone_type",
            reason=Reason.LOCAL_PATH,
            document="rem",
            entry="primary",
            field="anime_image",
            old="output/characters/rem.png",
            new=f"{BUCKET}/characters/rem.png",
            needs=(),
        ),
    ],
    [
        *(finding(Code.UNCLAIMED_FILE, f"notes/{number}.txt", "no rule matches it") for number in range(7)),
        finding(Code.MISSING_ASSET, "characters/rem", "primary › icon names 'x'", Severity.ERROR),
    ],
)

GOLDEN = """\
Local    /studio/output
Bucket   gs://my-bucket/anime_dance at http://127.0.0.1:4443
Records  firestore://p/(default)/characters

asset type   uploads  replaced    size  fields  new records  local database
Anime Image        2         1  2.0 MB       1            -               -
Icons              -         -       -       1            -               -
gone_type          -         -       -       -            -               1
new records        -         -       -       -            1               -
total              2         1  2.0 MB       2            1               1

↑ upload  ! replace what the bucket has  ~ set the field  + create the record

ai_hoshino  1 upload (48.2 kB), 2 fields
  ↑~ Anime Image  characters/ai_hoshino.png  48.2 kB  → ai_hoshino › primary › anime_image
   ~ Icons        remixes/a/icon_1.png                → ai_hoshino › #2 › icon
                  was  (nothing)
                  now  gs://my-bucket/anime_dance/remixes/a/icon_1.png
                  now  gs://my-bucket/anime_dance/remixes/a/icon_2.png

miku  1 record
   + New record   miku  name, assets

rem  1 replacement (2.0 MB), 1 value in the local database
  !  Anime Image  characters/rem.png  1.0 kB becomes 2.0 MB
   ~ gone_type    characters/rem.png                         → local database › rem › primary › anime_image

No character  1 upload (1 byte)
  ↑  Anime Image  characters/nobody.png  1 byte

error  missing_asset (1): assets that a record names and that are nowhere
  To do: mend it
    characters/rem: primary › icon names 'x'

note  unclaimed_file (7): files that no rule matches
  no rule matches it
  To do: mend it
    notes/0.txt
    notes/1.txt
    notes/2.txt
    notes/3.txt
    notes/4.txt
    and 2 more (--full shows all)

"""
TOTALS = (
    "Plan: 2 to upload (48.2 kB), 1 to replace (2.0 MB), 1 record to create, 2 fields to set in 1 record, "
    "1 value to rewrite in the local database, 512 assets in step. Needs attention: 1 error. Also 7 notes."
)
COST = "To apply it: 2.0 MB sent, 3 class A and 1 class B requests, 1 document read and 2 written."


def text(show: Any, *, colour: Colour = "never", width: int | None = None) -> str:
    stream = io.StringIO()
    show(Terminal(stream, colour, width=width))
    return stream.getvalue()


# -- the plan --


def test_a_wide_terminal_and_a_pipe_get_the_same_words_but_for_wrapped_sentences() -> None:
    found = text(lambda terminal: show_plan(terminal, WHOLE, LABELS), width=100)
    assert found.startswith(GOLDEN.partition("\nrem")[0])
    wrapped = found[found.index("\nPlan:") :].split("\n")
    assert " ".join(filter(None, wrapped)) == f"{TOTALS} {COST}"
    assert text(lambda terminal: show_plan(terminal, WHOLE, LABELS)) == f"{GOLDEN}{TOTALS}\n{COST}\n"


@pytest.mark.parametrize("width", [20, 80, 200])
def test_no_width_crops_what_tells_two_names_apart(width: int) -> None:
    keys = [f"remixes/{'long_' * 60}{end}.mp4" for end in ("a", "b")]
    keys += [f"remixes/{'long_' * 20}{end}/result/music.mp3" for end in ("a", "b")]
    found = text(lambda terminal: show_plan(terminal, make_plan([upload(key) for key in keys]), {}), width=width)
    shown = [line for line in found.splitlines() if ".mp" in line]
    assert len(set(shown)) == 4
    assert all(any(key.rpartition("/")[2] in line for line in shown) for key in keys)
    whole = text(
        lambda terminal: show_plan(terminal, make_plan([upload(key) for key in keys]), {}, full=True), width=width
    )
    assert all(key in whole for key in keys)


def test_colours_change_nothing_but_colours() -> None:
    coloured = text(lambda terminal: show_plan(terminal, WHOLE, LABELS), colour="always", width=80)
    plain = text(lambda terminal: show_plan(terminal, WHOLE, LABELS), width=80)
    assert coloured != plain
    assert ANSI.sub("", coloured) == plain


def test_no_color_of_the_environment_holds_for_auto_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")

    def line(terminal: Terminal) -> None:
        terminal.line(("x", "red"))

    assert text(line, colour="auto") == "x\n"
    assert text(line, colour="always") == "\x1b[31mx\x1b[0m\n"
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b[" in text(line, colour="auto")
    assert text(line, colour="never") == "x\n"


def test_verbose_shows_every_subject() -> None:
    for full in (False, True):
        found = text(lambda terminal, full=full: show_plan(terminal, WHOLE, LABELS, full=full, verbose=not full))
        assert all(f"    notes/{number}.txt\n" in found for number in range(7))
        assert "shows all)" not in found


def test_findings_that_differ_are_each_told() -> None:
    listed = [finding(Code.FOREIGN_URI, "characters/a", f"names 'https://{host}'") for host in ("x", "y")]
    found = text(lambda terminal: show_plan(terminal, make_plan([], listed), {}))
    assert "    characters/a: names 'https://x'\n    characters/a: names 'https://y'\n" in found
    assert found.count("To do: mend it") == 1


def test_nothing_to_do_is_one_line() -> None:
    assert totals(make_plan([])) == "Nothing to do: 512 assets in step."


def test_an_incomplete_plan_says_so() -> None:
    assert "This plan is incomplete" in text(lambda terminal: show_plan(terminal, make_plan([], complete=False), {}))


def test_the_scope_is_shown() -> None:
    scoped = msgspec.structs.replace(WHOLE, scope=Scope(("ai",), ("icon",)))
    assert "Scope    character ai, type icon\n" in text(lambda terminal: show_plan(terminal, scoped, {}))


# -- names that mean harm --


@pytest.mark.parametrize(("name", "shown"), WRITABLE.items(), ids=[ascii(name) for name in WRITABLE])
@pytest.mark.parametrize("colour", ["never", "always"])
def test_names_print_exactly_or_escaped(name: str, shown: str, colour: Colour) -> None:
    plan = make_plan([upload(name, char_id=name)], [finding(Code.UNCLAIMED_FILE, name, f"{name} is not taken")])
    found = ANSI.sub(
        "", text(lambda terminal: show_plan(terminal, plan, {"anime_image": name}), colour=colour, width=80)
    )
    assert f"\n{shown}  1 upload (48.2 kB)\n" in found
    assert f"  ↑  {shown}  {shown}  48.2 kB\n" in found
    assert f"    {shown}: {shown} is not taken\n" in found
    assert len(found.splitlines()) == 18


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_reaches_the_terminal_as_control(name: str) -> None:
    assert visible(name).isprintable()


@pytest.mark.parametrize("name", HOSTILE)
def test_progress_and_reports_escape_too(name: str) -> None:
    failed = outcome("i", "upload", name, OutcomeKind.FAILED, Problem("rejected", f"{name} is odd"))
    report = reports.build("run", [failed], [], moved=0, seconds=1)
    lines = text(lambda terminal: show_report(terminal, report)).splitlines()
    assert lines[0] == f"failed  upload  {HOSTILE[name]}: {HOSTILE[name]} is odd"
    for screen in (False, True):
        told = heard([ChangeDone(failed)], screen=screen)
        assert f"failed: upload {HOSTILE[name]}: {HOSTILE[name]} is odd\n" in told


# -- the report and the table --


def test_a_report_names_what_did_not_go_through() -> None:
    outcomes = [
        outcome("1", "upload", "a.png", OutcomeKind.APPLIED),
        outcome(
            "2", "upload", "b.png", OutcomeKind.FAILED, Problem("denied", "the bucket said no", "ask for the role")
        ),
        outcome(
            "3", "upload", "c.png", OutcomeKind.FAILED, Problem("denied", "the bucket said no", "ask for the role")
        ),
        outcome("4", "set_field", "b.png", OutcomeKind.BLOCKED, Problem("not_there", "its object is not there")),
        outcome("5", "create_record", None, OutcomeKind.NOT_STARTED),
    ]
    report = reports.build("run", outcomes, [finding(Code.ORPHAN_OBJECT, "x", "y")], moved=1500, seconds=61.26)
    assert text(lambda terminal: show_report(terminal, report)) == (
        "failed  upload  b.png: the bucket said no\n"
        "failed  upload  c.png: the bucket said no\n"
        "blocked  set_field  b.png in characters/rem: its object is not there\n"
        "not started  create_record  5 in characters/rem\n"
        "hint  ask for the role (2 changes)\n"
        "Done in part: 1 applied, 2 failed, 1 blocked, 1 not started; 1.5 kB sent in 1m01s\nAlso 1 note.\n"
        "What failed was left as it was; run `reconcile apply` again once the cause is fixed.\n"
    )
    assert "applied  upload  a.png\n" in text(lambda terminal: show_report(terminal, report, verbose=True))


def test_a_receipt_says_how_much_of_what_which_run_and_how_to_undo_it() -> None:
    changes = list(WHOLE.actions)
    outcomes = [Outcome.of(change, OutcomeKind.APPLIED) for change in changes]
    report = reports.build("20260207T030000Z-041043", outcomes, [], moved=2_048_212, seconds=250)
    receipt = "Done: 2 uploads (2.0 MB), 1 replacement, 2 fields, 1 record, 1 value in the local database in 4m10s"
    ways = Command(undo="reconcile undo")
    assert text(lambda terminal: show_report(terminal, report, ways, changes)) == (
        f"{receipt} · run 041043 · undo: `reconcile undo 041043`\n"
    )
    assert text(lambda terminal: show_report(terminal, report, Command(), changes)) == f"{receipt}\n"
    sent = reports.build("20260207T030000Z-041043", outcomes[:1], [], moved=7, seconds=0.25)
    kept = text(lambda terminal: show_report(terminal, sent, ways, changes))
    assert kept == "Done: 1 upload (7 bytes) in 0.2 s · run 041043\n"


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (59.96, "1m00s"), (250, "4m10s"), (3720, "1h02m")]
)
def test_lengths_of_time_are_short(seconds: float, told: str) -> None:
    assert words.took(seconds) == told


def test_of_much_that_was_not_started_a_report_names_the_first() -> None:
    outcomes = [outcome(str(n), "upload", f"{n:02}.png", OutcomeKind.NOT_STARTED, STOPPED) for n in range(25)]
    report = reports.build("run", outcomes, [], moved=0, seconds=1, interrupted=True)
    told = text(lambda terminal: show_report(terminal, report)).splitlines()
    assert told[:20] == [f"not started  upload  {n:02}.png" for n in range(20)]
    assert told[20].startswith("... and 5 more not started")
    verbose = text(lambda terminal: show_report(terminal, report, verbose=True))
    assert all(f"{n:02}.png" in verbose for n in range(25))


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.SUCCESS])
def test_every_report_but_a_success_says_what_next(status: Status) -> None:
    report = reports.Report("f", "run", status, reports.Counts(), 0, 0.0, (), ())
    assert "`reconcile " in text(lambda terminal: show_report(terminal, report)).splitlines()[-1]


NOW = datetime(2026, 2, 7, 3, 0, tzinfo=UTC)


def test_the_status_table_aligns_numbers_right_whatever_the_width_of_letters() -> None:
    rows = (
        StatusRow("a", "Anime Image", 1234, 121, 118, 118, 3, Sync.PARTIAL, attention=2),
        StatusRow("b", "星野", 0, 0, 0, 0, 0, Sync.EMPTY),
        StatusRow(None, "No rule", 2, 0, 0, 0, 0, Sync.MISSING),
    )
    table = StatusTable("f", rows, last_good_run="2026-02-07T01:00:00Z", attention=3)
    found = text(lambda terminal: show_status(terminal, table, WHOLE, now=NOW, following="reconcile plan"))
    assert found.splitlines()[4:11] == [
        "asset type   local  bucket  records  in step  to do  attention  sync",
        "Anime Image  1,234     121      118      118      3          2  partial",
        "星野             0       0        0        0      0          0  empty",
        "No rule          2       0        0        0      0          0  -",
        "total        1,236     121      118      118      3          3  partial",
        "in step: right wherever it should be. to do: what apply would put right. attention: errors and warnings that"
        " need a person.",
        "1 of them is about a record, and no single asset.",
    ]
    assert "Last good run of everything here: 2026-02-07T01:00:00Z (2 h ago)\n" in found
    assert found.endswith("Next: `reconcile plan` shows each of them\n")
    narrow = text(lambda terminal: show_status(terminal, table, WHOLE, now=NOW), width=80).splitlines()
    assert narrow[4:9] == found.splitlines()[4:9]


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("2026-02-07T02:59:30Z", "30 s ago"),
        ("2026-02-07T02:20:00Z", "40 min ago"),
        ("2026-02-06T01:00:00Z", "26 h ago"),
        ("2026-01-07T03:00:00Z", "31 d ago"),
        ("2026-02-07T03:00:01Z", "2026-02-07T03:00:01Z"),
        ("once", "once"),
    ],
)
def test_ages_are_in_their_largest_unit(when: str, told: str) -> None:
    assert words.ago(when, NOW) == told


def past(run_id: str, *, failed: int = 0, char_ids: tuple[str, ...] = ()) -> PastRun:
    return PastRun(
        run_id=run_id,
        command="apply",
        started="2026-02-07T01:00:00Z",
        actions=1234,
        undoes=None,
        ended="2026-02-07T01:04:10Z",
        seconds=250.0,
        status="success",
        counts=reports.Counts(applied=1234, failed=failed),
        bytes=10_600_000,
        bucket=BUCKET,
        records="firestore://p/(default)/characters",
        scope=Scope(char_ids),
    )


def test_the_history_fits_into_80_columns() -> None:
    runs = (past("20260207T010000Z-041043"), past("20260207T020000Z-0410aa", char_ids=("rem", "ram")))
    found = text(lambda terminal: show_history(terminal, History("f", runs, 2), now=NOW), width=80).splitlines()
    assert found[:3] == [
        "run     started                took  status   applied     sent  scope",
        "041043  02-07 01:00  2 h ago  4m10s  success    1,234  10.6 MB  everything",
        "0410aa  02-07 01:00  2 h ago  4m10s  success    1,234  10.6 MB  rem, ram",
    ]


def test_runs_whose_ends_are_alike_are_named_whole_and_what_was_not_done_is_a_column() -> None:
    runs = (past("20260207T010000Z-041043", failed=2), past("20260207T020000Z-041043"))
    found = text(lambda terminal: show_history(terminal, History("f", runs, 2), now=NOW)).splitlines()
    assert "  not  " in found[0]
    assert found[1].startswith("20260207T010000Z-041043  ")


# -- JSON --


def test_an_error_document_survives_a_name_that_is_no_unicode() -> None:
    document = json.loads(dumps(ErrorDocument.of(UsageError("no \udcff here", hint="h"))))
    assert document == {"format": "reconcile.error/1", "code": "usage", "message": "no \\udcff here", "hint": "h"}


# -- words --


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (Reason, words.REASONS),
        (Code, {code: kind.title for code, kind in FINDINGS.items()}),
        (OutcomeKind, words.OUTCOMES),
        (Status, words.STATUSES),
        (World, words.WORLDS),
        (Outlook, words.OUTLOOKS),
    ],
)
def test_every_value_has_its_words(values: Any, named: Any) -> None:
    assert set(named) == set(values)
    assert len({str(text) for text in named.values()}) == len(named)


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (48_211, "48.2 kB"), (3_400_000, "3.4 MB")]
)
def test_sizes_are_decimal(count: int, shown: str) -> None:
    assert words.size(count) == shown

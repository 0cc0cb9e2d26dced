"""What --notify tells: the summary and the text, and the recipes that send it to chats and by mail."""

from __future__ import annotations

import http.server
import json
import os
import shlex
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconcile.adapters.system import using
from reconcile.cli.notify import notifying
from reconcile.cli.options import Common
from reconcile.cli.session import Session
from reconcile.core.changes import Change, Code, Finding, Severity, kind_of
from reconcile.core.errors import StoreUnavailable
from reconcile.core.report import Outcome, OutcomeKind, Problem, Report, build
from reconcile.views.json import ErrorDocument
from reconcile.views.notice import notice
from tests.kit.plans import set_field, upload
from tests.kit.windows import FakeWindows

RECIPES = Path(__file__).parents[2] / "examples" / "notify"


def outcome(number: int, kind: str, ended: OutcomeKind, why: str = "") -> Outcome:
    problem = Problem("unavailable", why) if why else None
    return Outcome(id=str(number), kind=kind, key=f"characters/{number}.png", outcome=ended, problem=problem)


def applied(change: Change) -> Outcome:
    return Outcome(id=change.id, kind=kind_of(change), key=change.key, outcome=OutcomeKind.APPLIED)


def finding(number: int, severity: Severity, waived: str | None = None) -> Finding:
    found = Finding(Code.MISSING_ASSET, severity, f"characters/{number}", None, "it is not there", "")
    return found if waived is None else Finding(*found.__struct_fields__, waived=waived)


def report(*outcomes: Outcome, findings: tuple[Finding, ...] = (), interrupted: bool = False) -> Report:
    return build("041043", outcomes, findings, moved=1, seconds=1.25, interrupted=interrupted)


def test_a_good_run_is_a_line_with_what_was_done_and_how_to_undo_it() -> None:
    changes = [*(upload(id=str(number)) for number in range(1200)), set_field(id="field")]
    told = notice(report(*map(applied, changes)), 0, "studio", changes)
    assert told.summary == "studio: done: 1,200 uploads (1 byte), 1 field"
    assert told.text == f"{told.summary}\nrun 041043, 1.2 s; undo: reconcile undo 041043"


def test_entries_of_an_index_are_counted_as_such_and_can_be_undone() -> None:
    changes = [set_field(id=str(number), at=("asset_types",), old=[], new=["anime_image"]) for number in range(3)]
    told = notice(report(*map(applied, changes[:2])), 0, "studio", changes)
    assert told.summary == "studio: done: 2 index entries"
    assert "undo: reconcile undo 041043" in told.text


def test_changes_that_are_not_known_are_counted_by_how_they_ended() -> None:
    told = notice(report(outcome(1, "upload", OutcomeKind.APPLIED), outcome(2, "upload", OutcomeKind.ALREADY)), 0, "x")
    assert told.summary == "x: done: 1 applied, 1 already done"


def test_a_night_with_nothing_to_do_says_so() -> None:
    assert notice(report(), 0, "studio").text == "studio: done: nothing to do\nrun 041043, 1.2 s"


def test_failures_and_findings_are_named_up_to_five_and_then_counted() -> None:
    failed = [outcome(number, "upload", OutcomeKind.FAILED, "the bucket is down") for number in range(7)]
    found = (finding(1, Severity.ERROR), finding(2, Severity.WARNING), finding(3, Severity.INFO))
    told = notice(report(*failed, findings=found), 1, "studio")
    assert told.summary == "studio: failed: 7 failed; 1 error and 1 warning need you"
    assert told.text.splitlines()[1:] == [
        *(f"failed: characters/{number}.png: the bucket is down" for number in range(5)),
        "and 2 more like these",
        "error: characters/1: it is not there",
        "warning: characters/2: it is not there",
        "run 041043, 1.2 s",
    ]


def test_an_exit_code_that_the_report_does_not_explain_is_said() -> None:
    told = notice(report(findings=(finding(1, Severity.ERROR),)), 6, "studio")
    assert told.summary == "studio: done: nothing to do; 1 error needs you (exit code 6)"


def test_an_error_is_told_with_its_hint() -> None:
    told = notice(ErrorDocument.of(StoreUnavailable("it is down", hint="wait")), 1, "studio")
    assert told == ("studio: failed: it is down", "studio: failed: it is down\nhint: wait")


def test_a_name_can_neither_add_a_line_nor_colour_a_terminal_nor_be_a_page_long() -> None:
    told = notice(ErrorDocument.of(StoreUnavailable("a\n\x1b[31m\u202eb " + "x" * 1000)), 1, "studio")
    assert told.summary == told.text
    assert told.summary.isprintable()
    assert len(told.summary) == 300


TELL = "import json, os, sys; json.dump([json.load(sys.stdin), dict(os.environ)], open(sys.argv[1], 'w'))"


def told_by(file: Path, document: Any, code: int = 1) -> tuple[dict[str, Any], dict[str, str]]:
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(TELL)} {shlex.quote(str(file))}"
    with notifying(command, Session(Common(project=file.parent))) as ended:
        ended((document, code, ()))
    written = json.loads(file.read_text(encoding="utf-8"))
    return written[0], written[1]


def test_the_document_and_the_environment_say_the_same(tmp_path: Path) -> None:
    document, variables = told_by(tmp_path / "told", ErrorDocument.of(StoreUnavailable("it's down", hint="wait & see")))
    assert document["summary"] == variables["RECONCILE_SUMMARY"] == f"{tmp_path.name}: failed: it's down"
    assert document["text"] == variables["RECONCILE_TEXT"] == f"{document['summary']}\nhint: wait & see"
    assert (document["code"], variables["RECONCILE_EXIT_CODE"]) == ("unavailable", "1")


def test_on_windows_the_environment_has_nothing_that_its_shell_would_obey(tmp_path: Path) -> None:
    error = ErrorDocument.of(StoreUnavailable('a & del "%PATH%" > b | c ^ d ! e < f', hint="wait"))
    with using(FakeWindows()):
        document, variables = told_by(tmp_path / "told", error)
    assert document["message"] in document["summary"]
    assert not set(variables["RECONCILE_SUMMARY"] + variables["RECONCILE_TEXT"]) & set('&|<>^"%!')


# -- the recipes --


class Web(http.server.BaseHTTPRequestHandler):
    """Takes what is posted, and answers with the server's ``status``."""

    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.posted.append((self.path, self.headers["Content-Type"], json.loads(body)))
        self.send_response(server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


class Mail(socketserver.StreamRequestHandler):
    """As much of SMTP as one message needs."""

    def handle(self) -> None:
        server: Any = self.server
        self.wfile.write(b"220 ready\r\n")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            server.said.append(line.strip())
            if verb == b"EHLO":
                self.wfile.write(b"250-here\r\n250 8BITMIME\r\n")
            elif verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                while (each := self.rfile.readline()) != b".\r\n":
                    server.data.append(each.rstrip(b"\r\n"))
                self.wfile.write(b"250 taken\r\n")
            else:
                self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")


@pytest.fixture
def web() -> Iterator[Any]:
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    server.posted, server.status = [], 200
    yield from serving(server)


@pytest.fixture
def mail() -> Iterator[Any]:
    server: Any = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail)
    server.said, server.data = [], []
    yield from serving(server)


def serving(server: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join(30)
    server.server_close()


def send(recipe: str, file: Path, code: int = 1) -> subprocess.CompletedProcess[str]:
    """A recipe as --notify runs it, of a run with a warning about <b>&`x`."""
    found = Finding(Code.MISSING_ASSET, Severity.WARNING, "<b>&`x`.png", None, "it is not there", "")
    told = notice(report(findings=(found,)), code, "studio")
    return subprocess.run(
        [sys.executable, str(RECIPES / f"{recipe}.py"), str(file)],
        input=json.dumps({"format": "reconcile.result/1", **told._asdict()}),
        env={**os.environ, "RECONCILE_EXIT_CODE": str(code), "no_proxy": "*"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def posted(recipe: str, web: Any, tmp_path: Path) -> Any:
    file = tmp_path / "hook"
    file.write_text(f"http://127.0.0.1:{web.server_address[1]}/secret\n", encoding="utf-8")
    done = send(recipe, file)
    assert (done.returncode, done.stderr) == (0, "")
    ((path, kind, body),) = web.posted
    assert (path, kind) == ("/secret", "application/json")
    return body


FIRST = "studio: done: nothing to do; 1 warning needs you (exit code 1)"


def test_slack_gets_the_text_with_nothing_that_it_takes_for_a_link(web: Any, tmp_path: Path) -> None:
    body = posted("slack", web, tmp_path)
    assert body["text"].startswith(f"{FIRST}\nwarning: &lt;b&gt;&amp;`x`.png: it is not there\nrun 041043")


def test_discord_gets_the_text_as_code_and_mentions_nobody(web: Any, tmp_path: Path) -> None:
    body = posted("discord", web, tmp_path)
    assert body["content"].startswith(f"```\n{FIRST}\nwarning: <b>&'x'.png")
    assert body["content"].endswith("\n```")
    assert body["allowed_mentions"] == {"parse": []}


def test_teams_gets_a_card(web: Any, tmp_path: Path) -> None:
    (attachment,) = posted("teams", web, tmp_path)["attachments"]
    blocks = attachment["content"]["body"]
    assert [blocks[0]["text"], blocks[0]["color"]] == [FIRST, "Attention"]
    assert blocks[1]["text"].startswith("warning: <b>")


@pytest.mark.parametrize("recipe", ["slack", "discord", "teams"])
def test_a_message_that_is_refused_is_a_failure_that_does_not_tell_the_secret(
    recipe: str, web: Any, tmp_path: Path
) -> None:
    web.status = 403
    with pytest.raises(AssertionError):
        posted(recipe, web, tmp_path)
    done = send(recipe, tmp_path / "hook")
    assert done.returncode == 1
    assert "403" in done.stderr
    assert "secret" not in done.stderr


def test_a_run_that_did_not_end_well_is_mailed_and_others_only_if_always(mail: Any, tmp_path: Path) -> None:
    settings = (RECIPES / "mail.toml").read_text(encoding="utf-8")
    here = settings.replace("smtp.example.com", "127.0.0.1").replace("587", str(mail.server_address[1]))
    file = tmp_path / "mail.toml"
    file.write_text(here, encoding="utf-8")
    assert send("mail", file, code=0).returncode == 0
    assert mail.said == []
    assert send("mail", file).stderr == ""
    assert b"rcpt TO:<you@example.com>" in mail.said or b"RCPT TO:<you@example.com>" in mail.said
    assert f"Subject: {FIRST}".encode() in mail.data
    assert b"warning: <b>&`x`.png: it is not there" in mail.data
    file.write_text(here.replace("always = false", "always = true"), encoding="utf-8")
    mail.data.clear()
    assert send("mail", file, code=0).returncode == 0
    assert b"To: you@example.com" in mail.data


def test_no_password_is_sent_to_a_server_that_does_not_encrypt(mail: Any, tmp_path: Path) -> None:
    settings = (RECIPES / "mail.toml").read_text(encoding="utf-8").replace('user = ""', 'user = "me"')
    file = tmp_path / "mail.toml"
    here = settings.replace("smtp.example.com", "127.0.0.1").replace("587", str(mail.server_address[1]))
    file.write_text(here.replace('password = ""', 'password = "hush"'), encoding="utf-8")
    assert send("mail", file).returncode == 1
    assert not any(line.upper().startswith((b"AUTH", b"MAIL")) for line in mail.said)

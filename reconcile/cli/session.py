"""What every command does around its work: opens the project, shows progress, writes the result."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import msgspec

from reconcile.adapters.disk_names import as_text
from reconcile.adapters.system import current
from reconcile.cli.asking import person
from reconcile.cli.options import PLACES, Common, FailOn, Planned, Scoped, Sized, option, option_name, parsed, typed
from reconcile.cli.pager import paged as pager
from reconcile.cli.patience import patient
from reconcile.cli.signals import finish, stopping
from reconcile.config.environment import Overrides, find_project
from reconcile.config.naming import scope_named
from reconcile.core.bandwidth import UNLIMITED, Timetable, parse_timetable
from reconcile.core.changes import Change, Finding, Severity
from reconcile.core.context import Replacing
from reconcile.core.duration import format_duration
from reconcile.core.errors import Declined, ExitCode, LockHeld, ReconcileError, UsageError
from reconcile.core.events import Listener, Warned
from reconcile.core.plan import Plan, Scope
from reconcile.core.report import Report, remaining
from reconcile.core.size import parse_size
from reconcile.pipeline.planner import survey
from reconcile.pipeline.survey import Survey
from reconcile.project import ClosedProject, OpenProject
from reconcile.run_options import MEMORY, RunOptions
from reconcile.views import json
from reconcile.views.changes import Labels
from reconcile.views.errors import show_error
from reconcile.views.plan import show_plan
from reconcile.views.progress import listening, log
from reconcile.views.report import APPLY, Command, show_report
from reconcile.views.requests import RequestLog
from reconcile.views.streams import Colour
from reconcile.views.terminal import Terminal
from reconcile.views.words import needed

Replace = Annotated[
    Replacing | None,
    option(metavar="safe|local|never", help="For this run: what to do if the bucket has different content."),
]
"""Not with the other options, because --help works without importing the types of the core."""


class Session:
    """One command's options and streams: the result goes to stdout, everything else to stderr."""

    def __init__(self, common: Common) -> None:
        self.common = common
        self.verbose = common.verbose > 0
        self.json = common.json
        self._logs_json = common.log_format == "json"
        self._colour: Colour = common.color or "auto"
        self.witness: RequestLog | None = None
        """What writes each request to stderr; None without ``-vv``."""
        if common.verbose > 1:
            self.witness = RequestLog(sys.stderr, as_json=self._logs_json, colour=self._colour)
        self._opened: OpenProject | None = None

    def project(self, replace: Replacing | None = None) -> ClosedProject:
        """Returns the project that the options name. Raises UsageError, ConfigError."""
        given = self.overrides()
        if replace is not None:
            given = msgspec.structs.replace(given, replace=replace.value)
        return ClosedProject.open(self.common.project, overrides=given)

    def overrides(self) -> Overrides:
        """Returns what the options override in the rules file."""
        return msgspec.convert(self.common, Overrides, from_attributes=True)

    def opened(
        self,
        options: RunOptions | None = None,
        *,
        replace: Replacing | None = None,
        sized: Sized | None = None,
        bwlimit: str | None = None,
        on_beam: bool = False,
    ) -> OpenProject:
        """Opens the project for a run with these options and what the command line says besides. Raises as
        ``project``."""
        sized, bandwidth = sized or Sized(), bandwidth_of(bwlimit)
        if sized.engine == "beam" and not on_beam:
            raise UsageError("only plan runs on Beam", hint="save the plan with `reconcile plan --out`, and apply it")
        options = msgspec.structs.replace(
            options or RunOptions(),
            memory=memory_of(sized.memory),
            spill=spill_of(sized.spill),
            bandwidth=bandwidth,
            witness=self.witness,
            cache=not (isinstance(sized, Planned) and sized.no_cache),
            apart=True,
        )
        self._opened = self.project(replace).opened(options)
        return self._opened

    def project_folder(self) -> Path:
        """Returns the folder of the project, which need not have rules yet."""
        return find_project(explicit=self.common.project)

    def survey(self, project: OpenProject, scope: Scope, *, tallied: bool = False) -> Survey:
        """Reads the three worlds and plans, showing progress."""
        with self.progress() as listener:
            return survey(project, scope, listener=listener, tallied=tallied)

    def execute(self, work: Callable[..., Report]) -> Report:
        """Does the work of a run, which takes a ``listener`` and a ``stop``, and shows its progress. After an interrupt
        only what is in flight is finished."""
        with self.progress() as listener, stopping(lambda sentence: listener(Warned(sentence))) as stop:
            return work(listener=listener, stop=stop)

    @contextmanager
    def lock(self, project: OpenProject, patience: float = 0.0, *, give_way: bool = False) -> Iterator[bool]:
        """Holds the lock of the project, after waiting up to ``patience`` seconds for it. Raises LockHeld; with
        ``give_way`` yields False instead, after a note."""
        lock = project.lock()
        try:
            lock.acquire()
        except LockHeld as held:
            if not patience and not give_way:
                raise
            self.note(f"{held.message}; waiting up to {format_duration(patience)} for it")
            try:
                lock.acquire(patience)
            except LockHeld:
                if not give_way:
                    raise
                self.note("nothing done: the other run is still at work")
                yield False
                return
        with lock:
            if lock.warning:
                self.note(f"warning: {lock.warning}")
            yield True

    @contextmanager
    def progress(self, *, quiet: bool = False) -> Iterator[Listener]:
        """Yields a listener that shows the progress of a run on stderr; only warnings if ``quiet``."""
        quiet, bars = quiet or self.common.quiet, self.witness is None
        shown = listening(sys.stderr, quiet=quiet, as_json=self._logs_json, colour=self._colour, bars=bars)
        with shown as listener, patient(None if quiet else self._opened, listener):
            yield listener

    def result(self, document: Any, show: Callable[[Terminal], None], *, paged: bool = False) -> None:
        """Writes the result to stdout: the document with ``--json``, otherwise text, through a pager if ``paged``."""
        if self.json:
            finish()
            json.show(sys.stdout, document)
        elif paged:
            with pager(sys.stdout, self._colour) as terminal:
                show(terminal)
        else:
            show(self.terminal())

    def terminal(self, *, aside: bool = False) -> Terminal:
        """Returns what writes text to stdout, or (``aside``) to stderr."""
        return Terminal(sys.stderr if aside else sys.stdout, self._colour)

    def plan_view(
        self, labels: Labels, made: Plan, following: str = "", *, full: bool = False
    ) -> Callable[[Terminal], None]:
        """Returns what shows this plan as text, and suggests the command ``following`` as the next one."""
        return lambda terminal: show_plan(terminal, made, labels, following, full=full, verbose=self.verbose)

    def command(self, *words: str, scope: Scoped | None = None) -> str:
        """Returns a command line to type next, with the same options for the project, the stores and the scope."""
        places = [("-C", self.common.project), *((option_name(name), getattr(self.common, name)) for name in PLACES)]
        scopes = vars(scope).items() if scope is not None else ()
        scoped = ((option_name(name), value) for name, values in scopes for value in values or ())
        quoted = (as_text(current().quoted(word)) for word in (*typed(places), *words, *typed(scoped)))
        return f"reconcile {' '.join(quoted)}"

    def again(self, word: str, *words: str, scope: Scoped | None = None, keeps_journal: bool = True) -> Command:
        """Returns the commands for going on after a run of the command ``word``."""
        undo = self.command("undo") if keeps_journal else ""
        plan = self.command("plan", scope=scope)
        return Command(again=self.command(word, *words, scope=scope), plan=plan, undo=undo)

    def agree(
        self,
        question: str,
        totals: str,
        show: Callable[[Terminal], None],
        *,
        yes: bool,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Shows what will be done. Unless ``yes``, asks, if there is a person to answer; before that, ``check`` is
        called, which may raise an error. Raises Declined."""
        with nullcontext() if yes else person() as asked:
            if asked is not None:
                check()
            if asked is not None or not (self.json or self.common.quiet):
                show(self.terminal(aside=self.json))
            # If the plan went into a file nobody saw it, so its totals are shown with the question.
            is_seen = (sys.stderr if self.json else sys.stdout).isatty()
            if asked is not None and not asked.confirms(question, about="" if is_seen else totals):
                raise Declined("declined; nothing was changed")

    def report(
        self, report: Report, command: Command = APPLY, changes: Sequence[Change] = (), *, planned: bool
    ) -> None:
        """Writes the report as the result, except if the plan was shown and nothing was ``planned``."""

        def show(terminal: Terminal) -> None:
            show_report(terminal, report, command, changes, verbose=self.verbose)

        if self.json or self.common.quiet:
            self.result(report, show)
        elif planned:
            terminal = self.terminal()
            terminal.line()
            show(terminal)

    def note(self, text: str) -> None:
        """Writes a line to stderr, except with ``--quiet``."""
        if self._logs_json:
            log(sys.stderr, "note", message=text)
        elif not self.common.quiet:
            self.terminal(aside=True).line(text)

    def warn(self, text: str, *, of: str = "error") -> None:
        """Writes a line to stderr, even with ``--quiet``: an ``error``, because of which the command fails, or a
        ``warning``."""
        if self._logs_json:
            log(sys.stderr, of, message=text)
        else:
            self.terminal(aside=True).line((f"{of}: ", "bold red" if of == "error" else "yellow"), text)

    def error(self, error: ReconcileError, *, document: bool = False) -> None:
        """Writes an error to stderr, and with ``document`` also to stdout, while the command goes on."""
        show_error(error, document=document, as_log=self._logs_json, verbose=self.verbose)

    def verdict(self, code: ExitCode, findings: Iterable[Finding], fail_on: FailOn | None) -> ExitCode:
        """Returns the exit code with --fail-on: 6, with a line on stderr, if nothing else failed and findings of that
        severity remain."""
        if fail_on is None or code not in (ExitCode.OK, ExitCode.DIFFERENCES):
            return code
        left = remaining(findings, severity(fail_on))
        if not left:
            return code
        self.warn(
            f"{needed(left)}, which is a failure by --fail-on {fail_on}; the first: {left[0].subject}:"
            f" {left[0].message}"
        )
        return ExitCode.FINDINGS


def severity(fail_on: FailOn | None) -> Severity | None:
    return None if fail_on is None else Severity(fail_on)


def memory_of(text: str | None) -> int:
    """Returns the bytes in --memory. Raises UsageError."""
    return parsed(parse_size, text, MEMORY, "--memory", "32M")


def bandwidth_of(text: str | None) -> Timetable:
    """Returns the rates in --bwlimit. Raises UsageError."""
    return parsed(parse_timetable, text, UNLIMITED, "--bwlimit", "'08:00,512k 18:00,10M 23:00,off'")


def spill_of(folder: Path | None) -> Path | None:
    """Returns the folder in --spill. Raises UsageError."""
    if folder is not None and not folder.is_dir():
        raise UsageError(f"--spill: there is no folder {str(folder)!r}", hint="make it, or name another one")
    return folder


def scope_of(project: ClosedProject | OpenProject, scoped: Scoped) -> Scope:
    """Returns the scope that the options name. Raises UsageError as ``scope_named``."""
    return scope_named(project.settings, scoped.char_id or (), scoped.asset_type or (), scoped.path or ())


def labels_of(project: ClosedProject | OpenProject) -> Labels:
    """Returns the labels of the asset types of a project."""
    return {rule.type: rule.label for rule in project.settings.asset_map.rules}

"""Explanations, and descriptions and trials of the rules, as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reconcile.commands.explain import AssetView, CharacterView, Explanation
from reconcile.commands.trials import Loser, RulesDocument, RuleView, Trial, Trials
from reconcile.core.changes import document_id
from reconcile.core.rows import Outlook, World
from reconcile.core.sides import local_side
from reconcile.views import words
from reconcile.views.assets import show_lines
from reconcile.views.changes import Labels
from reconcile.views.findings import show_findings
from reconcile.views.status import show_rows
from reconcile.views.terminal import Piece, Terminal

_NAME = 11


def show_explanation(terminal: Terminal, explanation: Explanation, labels: Labels) -> None:
    """Writes the verdict, then everything on which it is based."""
    terminal.prose(f"{explanation.verdict}.", style="bold")
    terminal.line()
    if explanation.asset is not None:
        _show_asset(terminal, explanation.asset)
    if explanation.character is not None:
        _show_character(terminal, explanation.character)
    if explanation.actions:
        terminal.line()
        terminal.line(("What apply would do", "bold"))
        show_lines(terminal, explanation.actions, labels, full=True)
    show_findings(terminal, explanation.findings, verbose=True)


def _show_asset(terminal: Terminal, asset: AssetView) -> None:
    _fact(terminal, "Key", asset.key)
    _fact(terminal, "URI", asset.uri)
    _fact(terminal, "Rule", *_rule(asset.rule))
    if asset.left_out is not None:
        _fact(terminal, "Left out", (asset.left_out, "yellow"))
    _show_losers(terminal, asset.losers)
    _fact(terminal, "Character", asset.char_id or "nobody's", (f"  {asset.ownership}", "dim"))
    _fact(terminal, "Local", *_local(asset))
    _fact(terminal, "Bucket", *_bucket(asset))
    if not asset.named_by:
        _fact(terminal, "Named by", "nobody")
    for naming in asset.named_by:
        world = words.WORLDS[World(naming.world)]
        _fact(
            terminal,
            "Named by",
            f"{world} {document_id(naming.document)} › {words.place(naming.entry, naming.field, way=naming.at or ())}",
        )
        _fact(terminal, "", _plain(naming.text))
    _fact(terminal, "Outlook", words.OUTLOOKS[Outlook(asset.outlook)])


def _show_losers(terminal: Terminal, losers: Iterable[Loser]) -> None:
    for loser in losers:
        _fact(terminal, "", f"not {loser.type}  {loser.path}", (f"  it {loser.why}", "dim"))


def _rule(rule: RuleView | None) -> list[Piece]:
    if rule is None:
        return [("no rule matches it", "yellow")]
    goes = "" if rule.field is None else f"  goes to {rule.entry} › {rule.field}"
    return [(rule.type, "bold"), f"  {rule.label}  {rule.path}", (goes, "dim")]


def _local(asset: AssetView) -> list[Piece]:
    if asset.local is None:
        return ["not there"]
    if asset.local.problem is not None:
        return [asset.local.path, (f"  {asset.local.problem.value} {asset.local.detail}", "yellow")]
    size, when, kind = local_side(asset.local)
    return [asset.local.path, f"  {words.size(size)}  {when}  {kind}  crc32c {asset.local.crc32c}"]


def _bucket(asset: AssetView) -> list[Piece]:
    found = asset.bucket
    if found is None:
        return ["not there"]
    size, kind, crc32c = words.size(found.size), found.content_type or "no content type", found.crc32c or "unknown"
    return [f"{size}  {found.updated}  {kind}  crc32c {crc32c}  generation {found.generation}"]


def _show_character(terminal: Terminal, character: CharacterView) -> None:
    _fact(terminal, "Character", (character.char_id, "bold"))
    _fact(terminal, "Record", "there" if character.record else ("not there", "yellow"))
    if character.local_db is not None:
        _fact(terminal, "Local db", "there" if character.local_db else "not there")
    for name, value in character.fields.items():
        _fact(terminal, "", (f"{name}  ", "dim"), _plain(value))
    terminal.line()
    show_rows(terminal, "asset type", character.assets)


def show_rules(terminal: Terminal, document: RulesDocument) -> None:
    terminal.line((document.path, "bold"), f": {words.many(len(document.rules), 'rule')}, all valid")
    missing: Piece = ("" if document.root_is_there else "  (not there: mount its drive, or set root)", "yellow")
    terminal.line(("Local    ", "dim"), document.root, missing)
    terminal.line()
    head = ("type", "field", "several files", "path")
    terminal.table(head, [(rule.type, _goes(rule), rule.many, rule.path) for rule in document.rules])
    for waiver in document.waivers:
        terminal.line()
        terminal.line(("waived   ", "dim"), (waiver.code, "bold"), f"  {waiver.subject}")
        terminal.line(f"  {waiver.reason}", (f"  until {waiver.until}" if waiver.until else "", "dim"))
        terminal.line("  ", _matched(waiver.matched))


def _matched(count: int | None) -> Piece:
    if count is None:
        return ("no plan of everything has tried it yet", "dim")
    if not count:
        return ("matches nothing: the last plan of everything has no such finding", "yellow")
    return (f"matches {words.many(count, 'finding')} of the last plan of everything", "dim")


def _goes(rule: RuleView) -> str:
    return "-" if rule.field is None else f"{rule.entry} › {rule.field}"


def show_trials(terminal: Terminal, trials: Trials) -> None:
    """Writes which rule matches each path."""
    for trial in trials.results:
        terminal.line((trial.subject, "bold"))
        if trial.path != trial.subject:
            _fact(terminal, "Path", trial.path)
        if trial.left_out is None:
            _fact(terminal, "Rule", *_rule(trial.rule))
        else:
            _fact(terminal, "Left out", (trial.left_out, "yellow"))
        _show_losers(terminal, trial.losers)
        _show_captures(terminal, trial)


def _show_captures(terminal: Terminal, trial: Trial) -> None:
    for name, text in trial.captures.items():
        if not name.startswith("*"):
            _fact(terminal, "Captures", f"{name} = {text}")
    if trial.char_id is not None:
        _fact(terminal, "", ("`reconcile explain` says which of the known characters that is", "dim"))


def _fact(terminal: Terminal, name: str, *pieces: Piece) -> None:
    terminal.line("  ", (name.ljust(_NAME), "dim"), *pieces)


def _plain(value: Any) -> str:
    return "(gone since)" if value is None else value if isinstance(value, str) else repr(value)

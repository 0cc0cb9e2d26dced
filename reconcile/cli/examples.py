"""The examples at the end of the --help of each command and in the manual page: a line to type, and what it is for."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "init": (
        ("reconcile init", ""),
        ("reconcile init --bucket gs://my-bucket/media", "fills in the bucket"),
    ),
    "plan": (
        ("reconcile plan", "everything"),
        ("reconcile plan --char-id ai_hoshino", "one character"),
        ("reconcile plan --full", "each value before and after"),
        ("reconcile plan --out plan.json", "save it, for apply"),
        ("reconcile plan --out gs://my-bucket/plans/tonight --shards 8", "for eight machines"),
    ),
    "show": (
        ("reconcile show plan.json", ""),
        ("reconcile show plan.json --full", "each value before and after"),
    ),
    "apply": (
        ("reconcile apply", "shows the plan and asks"),
        ("reconcile apply --char-id ai_hoshino --yes", "does not ask"),
        ("reconcile apply plan.json", "exactly what was saved"),
        ("reconcile apply gs://my-bucket/plans/tonight --shard 3/8 --yes", "the share of one machine"),
    ),
    "status": (
        ("reconcile status", ""),
        ("reconcile status --by character", "a row for each character"),
        ("reconcile status --max-age 26h", "exits with 1 if no run in that time was good"),
    ),
    "list": (
        ("reconcile list --char-id ai_hoshino", ""),
        ("reconcile list --missing --asset-type kpop_version", "who lacks one"),
        ("reconcile list --csv > assets.csv", "for a spreadsheet"),
    ),
    "history": (
        ("reconcile history", "the last 20 runs"),
        ("reconcile history --run last", "each change of the last one"),
    ),
    "undo": (
        ("reconcile undo last --dry-run", "only shows it"),
        ("reconcile undo last", "shows it and asks"),
    ),
    "explain": (
        ("reconcile explain output/characters/ai_hoshino.png", "a file"),
        ("reconcile explain ai_hoshino", "a character"),
    ),
    "verify": (
        ("reconcile verify --cloud-only", "without one local file"),
        ("reconcile verify --deep", "downloads every object and hashes it"),
    ),
    "restore": (
        ("reconcile restore --dry-run", "only shows what would come back"),
        ("reconcile restore --char-id ai_hoshino", ""),
    ),
    "report": (
        ("reconcile report --out report.html", ""),
        ("reconcile report --out report.md --char-id ai_hoshino", "as Markdown"),
        ("reconcile report plan.json --out plan.html", "of a saved plan"),
    ),
    "watch": (
        ("reconcile watch", "until Ctrl-C"),
        ("reconcile watch --check", "for a monitor: is it healthy?"),
    ),
    "run": (
        ("reconcile run --char-id ai_hoshino -- python character_gen.py ai_hoshino", ""),
        ("reconcile run -- python redo_pipeline.py --all", "then applies everything"),
    ),
    "url": (
        ("reconcile url characters/ai_hoshino.png", ""),
        ("reconcile url ai_hoshino --expires 1h --json", "everything it has"),
    ),
    "scan": (("reconcile scan --out gs://my-bucket/scans/render-07", ""),),
    "doctor": (("reconcile doctor", ""),),
    "schedule": (
        ("reconcile schedule cron --at 04:30", ""),
        ("reconcile schedule windows --out job", "writes the files"),
        ('reconcile schedule systemd --bwlimit "08:00,512k 18:00,off"', "slowly while people work"),
    ),
    "demo": (
        ("reconcile demo", "in a new folder"),
        ("reconcile demo /tmp/studio", ""),
    ),
    "completion": (
        ("reconcile completion bash >> ~/.bashrc", ""),
        ('reconcile completion zsh > "${fpath[1]}/_reconcile"', ""),
        ("reconcile completion fish > ~/.config/fish/completions/reconcile.fish", ""),
        ("reconcile completion powershell | Out-String | Invoke-Expression", "in $PROFILE"),
    ),
    "help": (("reconcile help apply", ""), ("reconcile help rules test", "")),
    "rules check": (
        ("reconcile rules check", ""),
        ("reconcile rules check --against-records", "what no rule reads in the records"),
    ),
    "rules test": (
        ("reconcile rules test characters/ai_hoshino.png", ""),
        ("reconcile rules test output/remixes/ai_hoshino_idol/result/*.mp4", ""),
    ),
}


_WIDTH = 74
"""The most columns of an example with its remark, in a terminal of 80."""


def shown(command: str) -> str:
    """Returns the examples of a command as ``--help`` shows them: the remarks aligned in a column, or above their line
    if that is too long."""
    lines = ["Examples:"]
    room = _WIDTH - max(len(remark) for _, remark in EXAMPLES[command])
    width = max((len(line) for line, _ in EXAMPLES[command] if len(line) <= room), default=0)
    for line, remark in EXAMPLES[command]:
        if len(line) > room and remark:
            lines.append(f"# {remark}:")
        beside = f"  # {remark}" if remark and len(line) <= room else ""
        lines.append(f"$ {line:{width}}{beside}".rstrip())
    return "\n".join(lines)

"""The pipeline's own database: one JSON file, with a record for each character."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DATABASE = Path("data/characters.json")


def register_character(char_id: str, name: str, anime: str) -> None:
    """Adds a character, or changes its name and its anime."""
    records = _load()
    record = records.setdefault(char_id, {"assets": []})
    record.update(name=name, anime=anime)
    _save(records)


def upsert_asset(char_id: str, asset: dict[str, str]) -> None:
    """Sets fields of the map with the asset's title, and adds the map if it is new."""
    records = _load()
    assets = records[char_id]["assets"]
    for known in assets:
        if known["title"] == asset["title"]:
            known.update(asset)
            break
    else:
        assets.append(dict(asset))
    _save(records)


def _load() -> dict[str, dict[str, Any]]:
    if not DATABASE.exists():
        return {}
    records: dict[str, dict[str, Any]] = json.loads(DATABASE.read_text(encoding="utf-8"))
    return records


def _save(records: dict[str, dict[str, Any]]) -> None:
    DATABASE.parent.mkdir(parents=True, exist_ok=True)
    fresh = DATABASE.with_suffix(".new")
    fresh.write_text(json.dumps(records, indent=2, ensure_ascii=False), encoding="utf-8")
    fresh.replace(DATABASE)

"""Plans and their parts, to begin a test with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reconcile.core import plan as plans
from reconcile.core.changes import (
    Change,
    Code,
    Copy,
    CreateRecord,
    Finding,
    Need,
    Reason,
    Replace,
    RewriteLocalDb,
    SetField,
    SetMetadata,
    Severity,
    Upload,
)
from reconcile.core.names import BucketRoot
from reconcile.core.plan import Origin, Plan, Scope, Stores

BUCKET = BucketRoot("my-bucket", "anime_dance")
COLLECTION = "characters"
RULES = "d1935f"
STORES = Stores(
    local="/srv/studio/output",
    bucket="gs://my-bucket/anime_dance",
    records="firestore://my-project/(default)/characters",
)
KEY = "characters/ai_hoshino.png"
OLD, NEW = rf"C:\oo\bar\output\{KEY}".replace("/", "\\"), BUCKET.uri(KEY)


def upload(key: str = KEY, **changed: Any) -> Upload:
    values: dict[str, Any] = {
        "id": f"upload {key}",
        "key": key,
        "char_id": "ai_hoshino",
        "asset_type": "anime_image",
        "reason": Reason.MISSING_IN_BUCKET,
        "uri": BUCKET.uri(key),
        "size": 48211,
        "crc32c": "mnG7TA==",
    }
    return Upload(**{**values, **changed})


def replacement(key: str = KEY, **changed: Any) -> Replace:
    values: dict[str, Any] = {
        "id": f"replace {key}",
        "key": key,
        "char_id": "ai_hoshino",
        "asset_type": "anime_image",
        "reason": Reason.CONTENT_DIFFERS,
        "uri": BUCKET.uri(key),
        "size": 5,
        "crc32c": "mnG7TA==",
        "if_generation_match": 3,
        "old_size": 4,
        "old_crc32c": None,
    }
    return Replace(**{**values, **changed})


def copying(key: str = KEY, **changed: Any) -> Copy:
    values: dict[str, Any] = {
        "id": f"copy {key}",
        "key": key,
        "char_id": "ai_hoshino",
        "asset_type": "anime_image",
        "reason": Reason.MISSING_IN_BUCKET,
        "uri": BUCKET.uri(key),
        "size": 48211,
        "crc32c": "mnG7TA==",
        "source": BUCKET.uri("characters/before.png"),
        "source_generation": 4,
    }
    return Copy(**{**values, **changed})


def retyping(key: str = KEY, **changed: Any) -> SetMetadata:
    values: dict[str, Any] = {
        "id": f"set_metadata {key}",
        "key": key,
        "char_id": "ai_hoshino",
        "asset_type": "anime_image",
        "reason": Reason.GENERIC_TYPE,
        "uri": BUCKET.uri(key),
        "size": 48211,
        "crc32c": "mnG7TA==",
        "content_type": "image/png",
        "old": "text/plain",
        "if_generation_match": 3,
        "if_metageneration_match": 2,
    }
    return SetMetadata(**{**values, **changed})


def _field_change(kind: str, changed: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "id": kind,
        "key": KEY,
        "char_id": "ai_hoshino",
        "asset_type": "anime_image",
        "reason": Reason.LOCAL_PATH,
        "document": "characters/ai_hoshino",
        "entry": "primary",
        "field": "anime_image",
        "old": OLD,
        "new": NEW,
        "needs": (Need(KEY, "mnG7TA=="),),
        "position": 0,
    }
    return {**values, **changed}


def set_field(**changed: Any) -> SetField:
    return SetField(**_field_change("set_field", {"update_time": "2026-02-07T03:00:00.000001Z", **changed}))


def rewrite(**changed: Any) -> RewriteLocalDb:
    return RewriteLocalDb(**_field_change("rewrite", {"document": "ai_hoshino", **changed}))


def creation(**changed: Any) -> CreateRecord:
    values: dict[str, Any] = {
        "id": "create",
        "char_id": "rem",
        "reason": Reason.MISSING_RECORD,
        "document": "characters/rem",
        "fields": {"name": "Rem", "born": 2026, "assets": [{"title": "primary", "anime_image": NEW}]},
        "needs": (Need(KEY, None),),
    }
    return CreateRecord(**{**values, **changed})


def finding(**changed: Any) -> Finding:
    values: dict[str, Any] = {
        "code": Code.ORPHAN_OBJECT,
        "severity": Severity.INFO,
        "subject": "gs://my-bucket/anime_dance/x.png",
        "char_id": None,
        "message": "is in the bucket only",
        "hint": "nothing is deleted",
    }
    return Finding(**{**values, **changed})


EVERY_KIND: tuple[Change, ...] = (
    upload(),
    replacement("dances/a.mp4"),
    copying("characters/mei.png"),
    retyping("characters/rem.png"),
    creation(),
    set_field(),
    rewrite(),
)


def plan(actions: Iterable[Change] = EVERY_KIND, findings: Iterable[Finding] = (finding(),), **changed: Any) -> Plan:
    values: dict[str, Any] = {
        "origin": Origin("reconcile 0.1.0", RULES, STORES),
        "created": "2026-02-07T03:00:00Z",
        "scope": Scope(),
        "in_step": 512,
        "objects_in_scope": 600,
    }
    return plans.build(actions, findings, **{**values, **changed})

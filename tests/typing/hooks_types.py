"""What a type checker makes of decorated workflow functions. It is checked by mypy, and never run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, assert_type

from reconcile.hooks import auto_upload_to_gcs, sync_upsert, update_firestore_gcs_path, watch_directory


@auto_upload_to_gcs(asset_type="anime_image")
def image(char_id: str, *, seed: int = 0) -> str:
    raise NotImplementedError


@auto_upload_to_gcs()
def image_path(char_id: str) -> Path:
    raise NotImplementedError


@auto_upload_to_gcs(on_error="warn")
def image_or_warning(char_id: str) -> Path:
    raise NotImplementedError


@auto_upload_to_gcs(on_error="queue")
def perhaps(char_id: str) -> str | None:
    raise NotImplementedError


@auto_upload_to_gcs()
def several(char_id: str) -> list[Path]:
    raise NotImplementedError


@auto_upload_to_gcs()
def takes(char_id: str) -> list[Path | None]:
    raise NotImplementedError


@auto_upload_to_gcs(on_error="queue")
async def later_takes(char_id: str) -> list[str | None]:
    raise NotImplementedError


@auto_upload_to_gcs()
def pair() -> tuple[Path, Path]:
    raise NotImplementedError


@auto_upload_to_gcs()
def perhaps_several() -> tuple[Path, ...] | None:
    raise NotImplementedError


@auto_upload_to_gcs(on_error="queue")
async def later_perhaps_several() -> list[Path] | None:
    raise NotImplementedError


@auto_upload_to_gcs(on_error="queue")
def with_metadata(char_id: str) -> tuple[Path, dict[str, int]]:
    raise NotImplementedError


@auto_upload_to_gcs(char_id=lambda arguments: arguments["job"])
async def later(job: str) -> str:
    raise NotImplementedError


@auto_upload_to_gcs()
async def later_with_metadata(char_id: str) -> tuple[str, int, bytes]:
    raise NotImplementedError


@auto_upload_to_gcs()
async def later_several(char_id: str) -> list[str]:
    raise NotImplementedError


class Workflow:
    @auto_upload_to_gcs()
    def render(self, char_id: str) -> str:
        raise NotImplementedError


assert_type(image("rem", seed=1), tuple[str, str])
assert_type(image_path("rem"), tuple[Path, str])
assert_type(image_or_warning("rem"), tuple[Path, str | None])
assert_type(perhaps("rem"), tuple[str, str | None] | None)
assert_type(several("rem"), list[tuple[Path, str]])
assert_type(takes("rem"), list[tuple[Path | None, str | None]])
assert_type(pair(), list[tuple[Path, str]])
assert_type(perhaps_several(), list[tuple[Path, str]] | None)
assert_type(with_metadata("rem"), tuple[Path, str | None, dict[str, int]])
assert_type(Workflow().render("rem"), tuple[str, str])

# Wrong calls are still seen: each of these ignores would be unused otherwise.
image(3)  # type: ignore[arg-type]
image("rem", sed=1)  # type: ignore[call-arg]
image()  # type: ignore[call-arg]
auto_upload_to_gcs(on_error="ignore")  # type: ignore[call-overload]


@auto_upload_to_gcs()  # type: ignore[type-var]
def no_path() -> int:
    raise NotImplementedError


@sync_upsert
def upsert_asset(char_id: str, asset: dict[str, str]) -> int:
    raise NotImplementedError


@sync_upsert(on_error="queue")
async def upsert_later(char_id: str, asset: dict[str, str]) -> int:
    raise NotImplementedError


assert_type(upsert_asset, Callable[[str, dict[str, str]], int])  # type: ignore[assert-type]
assert_type(upsert_asset("rem", {}), int)
upsert_asset("rem", 3)  # type: ignore[arg-type]
assert_type(update_firestore_gcs_path("rem", "primary", "icon", "gs://b/x"), bool)


async def main() -> None:
    assert_type(await later("rem"), tuple[str, str])
    assert_type(await later_with_metadata("rem"), tuple[str, str, int, bytes])
    assert_type(await later_several("rem"), list[tuple[str, str]])
    assert_type(await later_takes("rem"), list[tuple[str | None, str | None]])
    assert_type(await later_perhaps_several(), list[tuple[Path, str | None]] | None)
    task: Coroutine[Any, Any, tuple[str, str]] = later("rem")
    await task
    assert_type(await upsert_later("rem", {}), int)
    waiting: Awaitable[int] = upsert_later("rem", {})
    await waiting


with watch_directory("output/", auto_upload=False) as watching:
    assert_type(watching.is_alive, bool)

"""Whole worlds, drawn by Hypothesis or by a seed: few names, so that everything meets everything."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from random import Random
from typing import Any, TypeVar

import msgspec
from hypothesis import strategies as st

from reconcile.config.settings import Policy
from reconcile.core.context import Replacing
from reconcile.core.plan import ReplaceLimit
from reconcile.core.rows import FileProblem
from reconcile.core.rules import AssetRule
from tests.kit.strategies import BUCKET, POSIX_ROOT, TRAP_IDS, WINDOWS_ROOT
from tests.kit.world import World, rule, users_settings

T = TypeVar("T")
MAPS: dict[str, tuple[AssetRule, ...] | None] = {
    "users": None,
    "reports": (
        rule("image", "characters/{char_id}.png", "anime_image"),
        rule("dance", "dances/dance_{char_id}*.mp4", "dance_video"),
        rule("variant", "remixes/{char_id}*/**/variants/{variant}.mp4", "dance_video", entry="{variant}"),
        rule("music", "remixes/**/result/generated_kpop_music.mp3", "ai_music"),
        rule("rest", "remixes/{char_id}*/**/*.mp4", "deliverable"),
    ),
    "lists": (
        rule("image", "characters/{char_id}.png", "anime_image", many="list"),
        rule("icon", "remixes/{char_id}*/**/result/icon_*.png", "icons", many="list"),
        rule("any", "remixes/{char_id}*/**/*", "icons", many="list"),
        rule("dance", "dances/*.mp4", "dance_video", many="newest"),
    ),
    "templates": (
        rule("image", "characters/{char_id}.png", "anime_image", object_="images/{char_id}.png"),
        rule("dance", "dances/dance_{char_id}{rest}.mp4", "dance_video", object_="moves/{char_id}/dance{rest}.mp4"),
        rule("rest", "remixes/**/{name}.mp4", "deliverable", entry="{name}", many="newest"),
    ),
    "tangled": (
        rule("image", "characters/{char_id}.png", "anime_image"),
        rule("dance", "dances/dance_{char_id}*.mp4", "dance_video", many="newest"),
        rule("other", "dances/{char_id}*.mp4", "dance_video", many="newest"),
        rule("late", "remixes/{a}_{char_id}/**/*.mp4", "deliverable", many="newest"),
        rule("rest", "remixes/{char_id}*/**/*", "icons", many="list"),
    ),
}
FIELDS = ("anime_image", "dance_video", "deliverable", "ai_music", "icons", "watermarked", "notes")
INDEX = "asset_types"
NAMES = ("thumbs", "frames", "path", "a.b", "cover art")
ALIENS = (
    "https://example.com/a.png",
    "gs://other/a.png",
    "/etc/passwd",
    "..\\..\\x.png",
    "CON",
    "later",
    "",
    " ",
    5,
    None,
)


class Thing(msgspec.Struct, frozen=True):
    """One key: what is in the folder and in the bucket; ``respelt`` if the bucket has it in another Unicode form,
    ``composed`` if its object has no MD5."""

    key: str
    local: bytes | None
    remote: bytes | None
    at: int
    problem: FileProblem | None
    unhashed: bool
    respelt: bool = False
    type_: str | None = None
    composed: bool = False


class Spec(msgspec.Struct, frozen=True):
    """A world as a value, so that it can be built twice."""

    rules: str
    things: tuple[Thing, ...]
    records: dict[str, Any]
    local: dict[str, Any] | None
    rewrite: bool
    replacing: Replacing
    stops: tuple[tuple[str, FileProblem], ...]
    elsewhere: dict[str, dict[str, Any]]
    index: str = ""

    def build(self, shuffle: Random | None = None) -> World:
        """The world; shuffled, everything is put and given in another order."""
        policy = Policy(self.replacing, ReplaceLimit(100, percent=True), create_records=True)
        world = World(
            MAPS[self.rules], local_db=self.local is not None, rewrite=self.rewrite, policy=policy, index=self.index
        )
        for thing in _shuffled(self.things, shuffle):
            if thing.local is not None:
                world.file(thing.key, thing.local, at=thing.at, problem=thing.problem)
            key = world.asset_map.key_for(thing.key, frozenset(self.records))
            if thing.remote is not None:
                key = _respelt(key) if thing.respelt else key
                world.object(key, thing.remote, thing.type_)
                world.objects.updated[key] = f"2026-01-0{thing.at}T00:00:00Z"
                if thing.unhashed:
                    world.objects.unhashed.add(key)
                if thing.composed:
                    world.objects.md5s[key] = None
        for char_id, entries in _shuffled(list(self.records.items()), shuffle):
            world.records.put(char_id, self._document(char_id, entries, shuffle))
        if world.local_db is not None:
            for char_id, entries in _shuffled(list((self.local or {}).items()), shuffle):
                world.local_db.put(char_id, self._document(char_id, entries, shuffle))
        world.files.stops.update(self.stops)
        if shuffle is not None:
            world.records.order = lambda documents: shuffle.sample(documents, len(documents))
        return world

    def _document(self, char_id: str, entries: Any, shuffle: Random | None) -> dict[str, Any]:
        fields = {"name": char_id, "assets": _reordered(entries, shuffle), **self.elsewhere.get(char_id, {})}
        return dict(_shuffled(list(fields.items()), shuffle))


def _respelt(name: str) -> str:
    """The name in its other Unicode form, if it has one."""
    forms = (unicodedata.normalize(each, name) for each in ("NFC", "NFD"))
    return next((form for form in forms if form != name), name)


def _shuffled(items: Sequence[Any], shuffle: Random | None) -> list[Any]:
    return list(items) if shuffle is None else shuffle.sample(items, len(items))


def _reordered(entries: Any, shuffle: Random | None) -> Any:
    """The maps' fields in another order: a map has none."""
    if not isinstance(entries, list):
        return entries
    return [dict(_shuffled(list(each.items()), shuffle)) if isinstance(each, dict) else each for each in entries]


FORMS = (
    lambda key: BUCKET.uri(key),
    lambda key: f"{WINDOWS_ROOT}\\{key}".replace("/", "\\"),
    lambda key: f"{WINDOWS_ROOT}\\{key}".replace("/", "\\").upper(),
    lambda key: f"C:\\oo\bar\\output/{key}",
    lambda key: f"D:\\old\\place\\{key}",
    lambda key: f"{POSIX_ROOT}/{key}",
    lambda key: f" output/{key}",
    lambda key: key,
    lambda key: f"{BUCKET.uri(key)} ",
)
ENDS = (
    "characters/{}.png",
    "characters/{}_cosplay.png",
    "dances/dance_{}.mp4",
    "dances/dance_{}_01.mp4",
    "remixes/{}/REMIX_one.mp4",
    "remixes/{}_neon/v1/variants/neon.mp4",
    "remixes/{}/result/icon_one.png",
    "remixes/{} live/result/icon_two.png",
    "remixes/{}/2026/take 2/result/[kpop]_one.mp4",
    "remixes/{}/result/[kpop]_one_watermarked.mp4",
    "remixes/{}/result/generated_kpop_music.mp3",
    "remixes/one_{}/clip.mp4",
    "remixes/misc{}x/result/generated_kpop_music.mp3",
    "remixes/{}/notes.txt",
)
TWINS = (b"1441e896", b"fca1a963")
"""Of one size and one crc32c. Files hold the first alone, and objects either."""
SIDES = (
    (b"a", None),
    (b"a", b"a"),
    (None, b"a"),
    (b"a", b"b"),
    (None, None),
    (b"", b"a"),
    (TWINS[0], None),
    (None, TWINS[1]),
)
TYPES = (None, None, "text/plain", "image/jpeg")
PROBLEMS = (FileProblem.UNSETTLED, FileProblem.SYMLINK, FileProblem.UNREADABLE)
RULES = tuple(sorted(MAPS))
RARELY = 19

_below = lru_cache(lambda count: st.integers(0, count - 1))


class Pick:
    """Draws by number alone, which is quick, and shrinks to the first of everything. ``below`` gives a number from 0
    that is less than the one it is given."""

    def __init__(self, below: Callable[[int], int]) -> None:
        self._number = below

    def count(self, most: int) -> int:
        return self._number(most + 1)

    def one(self, choices: Sequence[T]) -> T:
        return choices[self._number(len(choices))]

    def rarely(self) -> bool:
        return self.count(RARELY) == RARELY

    def text(self, keys: Sequence[str]) -> Any:
        """What a field may hold: the path of one of these keys in some spelling, its URI, or what is not ours."""
        number = self.count(len(FORMS) * len(keys) + len(ALIENS) - 1)
        if number < len(FORMS) * len(keys):
            return FORMS[number % len(FORMS)](keys[number // len(FORMS)])
        return ALIENS[number - len(FORMS) * len(keys)]

    def value(self, keys: Sequence[str]) -> Any:
        return [self.text(keys) for _ in range(self.count(2))] if self.count(5) == 5 else self.text(keys)

    def index(self) -> dict[str, Any]:
        """What is in the field of the index: nothing, types that may be wrong, or somebody else's."""
        held = self.one((None, None, [], ["image", "dance"], ["icon", "rest", "kpop_version"], ["shonen"], "mine"))
        return {} if held is None else {INDEX: held}

    def entries(self, keys: Sequence[str]) -> Any:
        if self.rarely():
            return self.one(("x", None, ["odd"], [{"title": "primary"}, {"title": "primary"}]))
        titles = self.one(((), ("primary",), ("primary", "neon"), ("neon", None), ("REMIX_one", "primary", None)))
        return [self.entry(title, keys) for title in titles]

    def entry(self, title: str | None, keys: Sequence[str]) -> dict[str, Any]:
        fields = {self.one(FIELDS): self.value(keys) for _ in range(self.count(2))}
        if not self.count(3):
            fields[self.one((*NAMES, *FIELDS))] = self.elsewhere(keys)
        return fields if title is None else {"title": title, **fields}

    def thing(self, key: str) -> Thing:
        local, remote = self.one(SIDES)
        problem = self.one(PROBLEMS) if self.rarely() else None
        respelt = not key.isascii() and not self.count(2)
        type_ = self.one(TYPES)
        at, unhashed, composed = 1 + self.count(2), self.rarely(), not self.count(9)
        return Thing(key, local, remote, at, problem, unhashed, respelt, type_, composed)

    def elsewhere(self, keys: Sequence[str], depth: int = 3, *, listed: bool = False) -> Any:
        """A value outside the plain fields: maps and lists in one another, with texts at their ends. No list is in
        another, which no record can hold."""
        shape = self.count(3) if depth else 0
        if shape == 1 and not listed:
            return [self.elsewhere(keys, depth - 1, listed=True) for _ in range(self.count(2))]
        if shape == 2:
            return {self.one(NAMES): self.elsewhere(keys, depth - 1) for _ in range(self.count(2))}
        if shape == 3 and self.rarely():
            return {str(self.text(keys)).strip() or "x": "named"}
        return self.text(keys)

    def fields(self, keys: Sequence[str]) -> dict[str, Any]:
        """Fields of a document beside its entries."""
        return {self.one(NAMES): self.elsewhere(keys) for _ in range(self.count(2))}

    def documents(self, ids: Sequence[str], keys: Sequence[str]) -> dict[str, Any]:
        return {char_id: self.entries(keys) for char_id in ids if self.count(3)}


@st.composite
def specs(draw: st.DrawFn, *, stops: bool = True) -> Spec:
    """Worlds as ``spec_of`` makes them."""
    return spec_of(Pick(lambda most: int(draw(_below(most)))), stops=stops)


def spec_of(pick: Pick, *, stops: bool = True) -> Spec:
    """A world with every trap: prefixes of ids, spellings, missing and extra objects, several files for a field."""
    first = pick.count(len(TRAP_IDS) - 1)
    ids = list(dict.fromkeys(TRAP_IDS[(first + step) % len(TRAP_IDS)] for step in (0, *range(1, 1 + pick.count(2)))))
    pool = list(
        dict.fromkeys(
            pick.one(ENDS).format(ids[0] if pick.count(2) else pick.one(ids)) for _ in range(1 + pick.count(7))
        )
    )
    folders = sorted({key[: at + 1] for key in pool for at, char in enumerate(key) if char == "/"})
    keys = [*pool, pool[0].upper(), f"characters/{ids[0]}.png"]
    return Spec(
        rules=pick.one(RULES),
        things=tuple(map(pick.thing, pool)),
        records=pick.documents(ids, keys),
        local=pick.documents(ids, keys) if pick.count(3) else None,
        rewrite=bool(pick.count(2)),
        replacing=pick.one((Replacing.SAFE, Replacing.LOCAL, Replacing.NEVER)),
        stops=((pick.one(folders), pick.one(PROBLEMS[1:])),) if stops and pick.count(9) == 9 else (),
        elsewhere={char_id: {**pick.fields(keys), **pick.index()} for char_id in ids},
        index=pick.one(("", INDEX)),
    )


def ids_of(spec: Spec) -> list[str]:
    """Every character of a world's records and local database."""
    return sorted({*spec.records, *(spec.local or {})})


__all__ = ["FIELDS", "MAPS", "Pick", "Spec", "Thing", "ids_of", "spec_of", "specs", "users_settings"]

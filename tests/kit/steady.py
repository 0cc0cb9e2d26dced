"""Worlds in which nearly all is in step, and one thing or two are not: where a planning may skip what is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, TypeAlias

import msgspec

from reconcile.config.settings import Policy
from reconcile.core.changes import SetField
from reconcile.core.context import Replacing
from reconcile.core.plan import ReplaceLimit
from reconcile.core.rows import FileProblem
from reconcile.pipeline.planner import survey
from tests.kit.fakes import digest
from tests.kit.world import World, rule, windows
from tests.kit.worlds import ENDS, INDEX, MAPS, NAMES

IDS = ("ann", "bo", "mei", "rem", "2b", "zero two")
RELATED = ("rem_2", "ann-x", "bo.v1", "mei cosplay", "rem_2_neon", "dance", "annx", "box", "meix", "remx")
NUMBERED = (
    *ENDS,
    "characters/{}_2.png",
    "characters/{}-x.png",
    "dances/dance_{}_2_neon.mp4",
    "remixes/{}_2_neon/REMIX_two.mp4",
    "remixes/{}_a/variants/rain.mp4",
    "remixes/{}_a/thumbs.part/REMIX_two.mp4",
    "remixes/{}_a/tmp/REMIX_two.mp4.part",
    "remixes/.{}/REMIX_a.mp4",
    "remixes/{}_K/REMIX_K.mp4",
    "remixes/{}_a/result/icon_b;c.png",
    "remixes/{}_a/result/icon_it's, so.png",
    "remixes/{}_a/result/icon_output/x.png",
    "dances/dance_{} .mp4",
    "remixes/{}x/REMIX_a.mp4",
    "portraits/{0}/{0}_a.png",
    "portraits/{0}/other_{0}.png",
)
STEADY: Mapping[str, Any] = {
    **MAPS,
    "plain": (
        rule("image", "characters/{char_id}.png", "anime_image"),
        rule("other", "characters/{char_id}*.png", "cosplay_image", many="newest"),
        rule("dance", "dances/dance_{char_id}*.mp4", "dance_video"),
        rule("remix", "remixes/{char_id}*/**/REMIX_*.mp4", "deliverable"),
        rule("rest", "remixes/{char_id}*/**/*", "icons", many="list"),
    ),
    "shared": (
        rule("shared", "remixes/**/REMIX_two.mp4", "deliverable"),
        rule("dance", "dances/dance_{char_id}*.mp4", "dance_video"),
        rule("remix", "remixes/{char_id}*/**/*", "deliverable", many="newest"),
        rule("late", "characters/*_2.png", "anime_image"),
    ),
    "twice": (
        rule("own", "portraits/{char_id}/{char_id}_*.png", "anime_image"),
        rule("other", "portraits/{char_id}*/**/*.png", "cosplay_image"),
        rule("dance", "dances/dance_{char_id}*.mp4", "dance_video"),
    ),
}

Deviation: TypeAlias = Callable[[World, Random], None]


def steady(random: Random) -> World:
    """A world in step: every file is in the bucket and remembered, and named where the rules want it; the records may
    have an index, which is right."""
    policy = Policy(
        random.choice(list(Replacing)), ReplaceLimit(100, percent=True), create_records=random.random() < 0.8
    )
    has_local = random.random() < 0.4
    name = random.choice(["plain", *STEADY])
    index = random.choice(["", INDEX])
    rewrite = has_local and random.random() < 0.5
    world = World(STEADY[name], local_db=has_local, rewrite=rewrite, policy=policy, index=index)
    ids = random.sample(IDS, random.randint(1, 3))
    known = frozenset(ids)
    records: dict[str, list[dict[str, Any]]] = {each: [] for each in ids}
    for char_id in ids:
        for end in random.sample(NUMBERED, random.randint(1, 5)):
            path = end.format(char_id)
            key = world.asset_map.key_for(path, known)
            if path in world.files.files or world.objects.get(key) is not None:
                continue
            data = path.encode()
            world.file(path, data)
            world.object(key, data)
            reading = world.asset_map.read(path, known)
            taking = next((each for each in world.asset_map.rules if each.path.takes(path)), None)
            if reading is not None and reading.rule.field is not None:
                owner = reading.char_id or char_id
                title = reading.entry_for(owner) or "x"
                _place(records[owner], title, reading.rule.field, world.uri(key))
            elif taking is not None and taking.field is not None:  # somebody named what is left out of every look
                _place(records[char_id], "primary", taking.field, world.uri(key))
    for char_id, entries in records.items():
        page = random.choice(["https://example.com/who?is=it#now", "none"])
        world.records.put(char_id, {"name": char_id, "made": 5, "page": page, "assets": entries})
    found = survey(world, tallied=False).plan
    for char_id in records if index else ():
        changes = (each for each in found.actions if isinstance(each, SetField) and each.is_index)
        types = sorted(str(each.asset_type) for each in changes if each.char_id == char_id)
        world.records.put(char_id, {**(world.records.fields(char_id) or {}), INDEX: types})
    return world


def _place(entries: list[dict[str, Any]], title: str, field: str, uri: str) -> None:
    entry = next((each for each in entries if each["title"] == title), None)
    if entry is None:
        entries.append({"title": title, field: uri})
    elif field not in entry:
        entry[field] = uri
    else:
        entries.append({"title": f"{title} {len(entries)}", field: uri})


def _some_key(world: World, random: Random) -> str:
    keys = sorted(each for each in world.objects.all() if world.asset_map.keys_are_paths or each)
    return random.choice(keys) if keys else "characters/ann.png"


def _some_file(world: World, random: Random) -> str:
    return random.choice(sorted(world.files.files) or ["characters/ann.png"])


# -- content --


def _object_gone(world: World, random: Random) -> None:
    world.objects.remove(_some_key(world, random))


def _object_changed(world: World, random: Random) -> None:
    key = _some_key(world, random)
    world.objects.set(key, key.encode()[::-1])


def _object_longer(world: World, random: Random) -> None:
    world.objects.set(_some_key(world, random), b"longer than it was before, much longer, surely")


def _object_anew(world: World, random: Random) -> None:
    key = _some_key(world, random)
    world.objects.set(key, b"".join(world.objects.read(key)) if world.objects.get(key) else b"a")


def _object_unhashed(world: World, random: Random) -> None:
    world.objects.unhashed.add(_some_key(world, random))


def _object_encoded(world: World, random: Random) -> None:
    key = _some_key(world, random)
    if world.objects.get(key) is not None:
        world.objects.say(key, contentEncoding=random.choice(["gzip", "x-odd"]))


def _object_retyped(world: World, random: Random) -> None:
    found = world.objects.get(_some_key(world, random))
    if found is not None:
        type_ = random.choice(["application/octet-stream", "text/html", "video/mp4; codecs=x", "image/jpeg"])
        generation, times = found.generation, found.metageneration
        world.objects.set_type(found.key, type_, if_generation_match=generation, if_metageneration_match=times)


def _file_gone(world: World, random: Random) -> None:
    world.files.files.pop(_some_file(world, random), None)


def _file_changed(world: World, random: Random) -> None:
    path = _some_file(world, random)
    world.file(path, random.choice([path.encode()[::-1], b"new", b""]))


def _state_gone(world: World, random: Random) -> None:
    world.memory.states.pop(_some_key(world, random), None)


def _state_other(world: World, random: Random) -> None:
    state = world.memory.states.get(_some_key(world, random))
    if state is not None:
        changes: list[dict[str, Any]] = [{"size": 7}, {"crc32c": digest(b"?")}, {"generation": 7}]
        world.memory.states[state.key] = msgspec.structs.replace(state, **random.choice(changes))


# -- problems and twins --


def _problem(world: World, random: Random) -> None:
    path = _some_file(world, random)
    if path in world.files.files:
        world.files.files[path].problem = random.choice([each for each in FileProblem if each is not FileProblem.EMPTY])


def _other_case(text: str) -> str:
    return text.upper() if text != text.upper() else text.lower()


def _twin_file(world: World, random: Random) -> None:
    path = _some_file(world, random)
    twin = random.choice(
        [_other_case(path), path.replace(".", ".").replace("K", "\u212a"), path.replace(";", "\u037e")]
    )
    world.file(twin, random.choice([path.encode(), b"other"]))


def _twin_object(world: World, random: Random) -> None:
    key = _some_key(world, random)
    twin = random.choice([_other_case(key), key.replace("K", "\u212a"), key.replace(";", "\u037e")])
    if world.objects.get(twin) is None:
        world.object(twin, random.choice([key.encode(), b"other"]))


def _twin_both(world: World, random: Random) -> None:
    _twin_file(world, random)
    _twin_object(world, random)


# -- references --


def _entries(world: World, random: Random) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    char_id = random.choice(sorted(world.records.all()) or ["ann"])
    fields = world.records.fields(char_id) or {"name": char_id}
    entries = fields.get("assets")
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        entries = []
    fields["assets"] = entries
    return char_id, fields, entries


def _in_record(change: Callable[[list[dict[str, Any]], World, Random, dict[str, Any]], None]) -> Deviation:
    def deviate(world: World, random: Random) -> None:
        char_id, fields, entries = _entries(world, random)
        change(entries, world, random, fields)
        world.records.put(char_id, fields)

    return deviate


def _fields_of(entries: list[dict[str, Any]]) -> list[tuple[dict[str, Any], str]]:
    return [(entry, name) for entry in entries for name in entry if name != "title"]


def _forms(world: World, key: str) -> list[str]:
    uri = world.uri(key)
    return [
        *(
            windows(key),
            windows(key).upper(),
            f"D:\\old\\{key}",
            key,
            f" output/{key}",
            f"{uri} ",
            f'"{uri}"',
            f"{uri},",
        ),
        *(world.uri(_other_case(key)), f"see {windows(key)}", f"{uri}\n", f"<{uri}>", world.uri(f"{key}x"), f"{uri}/"),
        *(
            f"gs://other/{key}",
            "https://example.com/a.png",
            "later",
            "file:x",
            "",
            " ",
            "..\\..\\x.png",
            "CON",
            "a%2fb",
        ),
        *(world.uri(key.replace("K", "\u212a")), f"{key} or not", f"{uri}'", world.uri("remixes/ann_a/REMIX_lost.mp4")),
    ]


def _written_otherwise(entries: list[dict[str, Any]], world: World, random: Random, _fields: dict[str, Any]) -> None:
    places = _fields_of(entries)
    if places:
        entry, name = random.choice(places)
        key = world.settings.bucket.key(str(entry[name])) or "characters/ann.png"
        entry[name] = random.choice(_forms(world, key))


def _named_besides(entries: list[dict[str, Any]], world: World, random: Random, _fields: dict[str, Any]) -> None:
    key = _some_key(world, random)
    field = random.choice(["anime_image", "notes", "icons", "dance_video", "deliverable", "x/y"])
    loose = [windows(key).upper(), f"D:\\old\\{key}".upper(), windows(key)]
    text = random.choice([random.choice(_forms(world, key)), world.uri(key), random.choice(loose)])
    entries.append({"title": f"more {len(entries)}", field: text})


def _named_elsewhere(_entries: list[dict[str, Any]], world: World, random: Random, fields: dict[str, Any]) -> None:
    key = _some_key(world, random)
    text = random.choice([*_forms(world, key), world.uri(key)])
    values = [text, [text], {"a": text}, {"a": [{"b": text}]}, {text or "x": 1}]
    fields[random.choice(NAMES)] = random.choice(values)


def _deep_in_entry(entries: list[dict[str, Any]], world: World, random: Random, _fields: dict[str, Any]) -> None:
    if entries:
        key = _some_key(world, random)
        text = random.choice([*_forms(world, key), world.uri(key)])
        random.choice(entries)[random.choice(["deep", "anime_image", "icons"])] = random.choice(
            [{"a": text}, [{"a": text}], [text], [text, None], {"a": {"b": [text]}}, [], {}, None, 5, True]
        )


# -- fields --


def _moved(entries: list[dict[str, Any]], _world: World, random: Random, _fields: dict[str, Any]) -> None:
    places = _fields_of(entries)
    if places:
        entry, name = random.choice(places)
        value = entry.pop(name)
        into = random.choice(entries)
        into.setdefault(random.choice(["notes", "anime_image", "deliverable", "dance_video", "icons"]), value)


def _dropped(entries: list[dict[str, Any]], _world: World, random: Random, _fields: dict[str, Any]) -> None:
    places = _fields_of(entries)
    if places:
        entry, name = random.choice(places)
        del entry[name]


def _to_another(world: World, random: Random) -> None:
    """One record names what is another's, in the same field."""
    _, _, entries = _entries(world, random)
    places = _fields_of(entries)
    char_id, fields, others = _entries(world, random)
    if places:
        entry, name = random.choice(places)
        others.append({"title": f"of another {len(others)}", name: entry[name]})
        world.records.put(char_id, fields)


def _moved_up(entries: list[dict[str, Any]], _world: World, random: Random, fields: dict[str, Any]) -> None:
    """A field of an entry becomes the record's own."""
    places = _fields_of(entries)
    if places:
        entry, name = random.choice(places)
        fields[name] = entry.pop(name)


def _moved_down(entries: list[dict[str, Any]], _world: World, random: Random, _fields: dict[str, Any]) -> None:
    places = _fields_of(entries)
    if places:
        entry, name = random.choice(places)
        entry[name] = {"deep": entry[name]}


def _moved_to_local(world: World, random: Random) -> None:
    """Only the local database names the file."""
    char_id, fields, entries = _entries(world, random)
    places = _fields_of(entries)
    if places and world.local_db is not None:
        entry, name = random.choice(places)
        moved = {"title": entry.get("title", "x"), name: entry.pop(name)}
        world.records.put(char_id, fields)
        world.local_db.put(char_id, {"name": char_id, "assets": [moved]})


# -- titles --


def _titles(entries: list[dict[str, Any]], _world: World, random: Random, _fields: dict[str, Any]) -> None:
    if entries:
        entry = random.choice(entries)
        title = random.choice([entries[0].get("title"), None, 5, "a/b", "gs://x/y", "", "e\u0301"])
        if title is None:
            entry.pop("title", None)
        else:
            entry["title"] = title
        if random.random() < 0.5:
            entries.append({"title": entries[0].get("title"), "notes": "x"})


def _malformed(_entries: list[dict[str, Any]], _world: World, random: Random, fields: dict[str, Any]) -> None:
    entries = fields["assets"]
    fields["assets"] = random.choice(
        [None, "x", 5, {}, [*entries, "x"], [*entries, None], [*entries, {}], {"a": entries}]
    )


# -- the index --


def _indexed(world: World, random: Random) -> None:
    """The index holds another value."""
    char_id, fields, _ = _entries(world, random)
    held = fields.get(INDEX)
    right = held if isinstance(held, list) else []
    types = [each.type for each in world.asset_map.rules]
    more = random.choice([*types, "no type", world.uri(_some_key(world, random)), 5, None, {"a": 1}])
    lists = [right[1:], right[:-1], [*right, more], right[::-1], [*right, *right], types, [], [more]]
    fields[INDEX] = random.choice([*lists, None, "", "mine", 5, {}, {"a": right}])
    world.records.put(char_id, fields)


def _unindexed(world: World, random: Random) -> None:
    char_id, fields, _ = _entries(world, random)
    fields.pop(INDEX, None)
    world.records.put(char_id, fields)


def _index_and(*others: Deviation) -> Deviation:
    """The index is wrong, or right, in a record with something else to be done."""

    def deviate(world: World, random: Random) -> None:
        random.choice([_indexed, _unindexed])(world, random)
        random.choice(others)(world, random)

    return deviate


# -- ids --


def _related_id(world: World, random: Random) -> None:
    char_id = random.choice(RELATED)
    if random.random() < 0.5:
        world.records.put(char_id, {"name": char_id, "assets": []})
    else:
        world.both(f"characters/{char_id}.png")


def _record_gone(world: World, random: Random) -> None:
    found = sorted(world.records.all())
    if found:
        world.records.remove(random.choice(found))


def _respelt_id(world: World, random: Random) -> None:
    for char_id in ("Jose\u0301", "Jos\u00e9", "ANN", "MEI"):
        if random.random() < 0.5:
            world.records.put(char_id, {"name": char_id, "assets": []})
    world.both("characters/Jos\u00e9.png")


# -- the local database --


def _local(world: World, random: Random) -> None:
    if world.local_db is not None:
        char_id, fields, entries = _entries(world, random)
        key = _some_key(world, random)
        new = random.choice([char_id, char_id, "newcomer"])
        text = random.choice([*_forms(world, key), world.uri(key), windows(key), world.uri(key)])
        more = {"title": "primary", random.choice(["anime_image", "dance_video", "deliverable"]): text}
        kept = random.choice([[], entries])
        world.local_db.put(new, {**fields, "name": new, "assets": [*kept, more] if random.random() < 0.8 else kept})


DEVIATIONS: Mapping[str, tuple[Deviation, ...]] = {
    "file, object and remembered state are the same": (
        *(
            _object_gone,
            _object_changed,
            _object_longer,
            _object_anew,
            _object_unhashed,
            _object_encoded,
            _object_retyped,
        ),
        *(_file_gone, _file_changed, _state_gone, _state_other, _state_other, _state_other),
    ),
    "there is no problem and no twin": (_problem, _twin_file, _twin_object, _twin_both),
    "every reference is strict": (
        *(_in_record(_written_otherwise), _in_record(_named_besides), _in_record(_named_elsewhere)),
        _in_record(_deep_in_entry),
    ),
    "it stands in the field that the rules want": (
        _in_record(_moved),
        _in_record(_dropped),
        _to_another,
        _in_record(_moved_up),
        _in_record(_moved_down),
        _moved_to_local,
    ),
    "the index of a record lists its types": (
        *(_indexed, _indexed, _unindexed),
        _index_and(_object_gone, _object_changed, _file_gone, _local, _related_id),
        _index_and(_in_record(_moved), _in_record(_deep_in_entry), _in_record(_titles), _in_record(_named_elsewhere)),
    ),
    "no id begins with another": (_related_id, _record_gone, _respelt_id),
    "a record is open": (_in_record(_titles), _in_record(_malformed), _in_record(_deep_in_entry), _local),
}

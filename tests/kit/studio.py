"""Builds the users' world at the users' counts: a folder of real media, a bucket, records, and the drift between them.

What a right plan holds is worked out here from what the builder itself did, with none of the program's own code.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice, product
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

from reconcile.commands.demo_media import mp3, mp4, png

PREVIOUS_ROOT = r"C:\oo\bar\output"
BUCKET_URI = "gs://my-bucket/anime_dance"
COLLECTION = "characters"
LOCAL_DB = "data/characters.json"
OLD = 1_735_689_600  # 2025-01-01: long settled
LARGE = 9 << 20  # more than one request may carry

# id, name, anime: ids that are prefixes of one another, or end as the map's suffixes do.
TRAPS = (
    ("ai_hoshino", "星野アイ", "【推しの子】"),
    ("ai", "アイ", "藍より青し"),
    ("rem", "レム", "Re:ゼロから始める異世界生活"),
    ("rem_2", "レム (第二期)", "Re:ゼロから始める異世界生活"),
    ("remi", "レミリア", "東方Project"),
    ("mei", "メイ", "となりのトトロ"),
    ("mei_cosplay", "メイ・コスプレ", "コスプレ大会"),
    ("zero_two", "ゼロツー", "ダーリン・イン・ザ・フランキス"),
    ("yor_forger_thorn_princess", "Yor Forger “Thorn Princess”", "SPY×FAMILY"),
    ("2b", "2B", "NieR:Automata Ver1.1a"),
    ("asuka-langley", "Asuka Langley [v2]", "Neon Genesis Evangelion"),
    ("saber.alter", "Saber Alter :star:", "Fate/stay night"),
)
GIVEN = ("yuki", "hana", "sora", "miku", "nami", "riko", "aoi", "kaede", "mio", "chika", "tsumugi", "emi")
FAMILY = ("", "tanaka", "no_kimi", "mori", "kujo", "von_einzbern", "2", "ito", "amano", "b", "kaze", "sakurai")
STYLES = ("dance_01", "neon", "kpop_idol", "festival_night", "2024", "stage_b")
VARIANTS = ("close_up", "[v2] neon rain", "slow.motion", "wide_angle")

Address = tuple[str, str, str]
"""(character id, title of the entry, field)."""


@dataclass(frozen=True)
class Studio:
    """The three worlds as they stand, and what is out of step between them.

    ``files`` are paths below ``output``; keys are names below the bucket prefix, and equal those paths. All that is in
    ``expected_uploads`` and ``expected_fields`` a plan must hold, and no more. ``expected_findings`` are (code, text
    in the subject) that it must hold at least.
    """

    root: Path
    output: Path
    bucket_uri: str
    files: dict[str, Path]
    objects: dict[str, bytes]
    records: dict[str, dict[str, Any]]
    local_db: dict[str, dict[str, Any]]
    expected_uploads: frozenset[str]
    expected_fields: frozenset[tuple[str, str, str, str]]
    expected_new_records: dict[str, dict[str, Any]]
    expected_findings: frozenset[tuple[str, str]]

    def uri(self, key: str) -> str:
        """The gs:// URI of a key."""
        return f"{self.bucket_uri}/{key}"


def build_studio(root: Path, *, seed: int = 0, scale: float = 1.0, bucket_uri: str = BUCKET_URI) -> Studio:
    """Writes ``root/output`` and the pipeline's own database, and returns the rest of the world as values.

    ``scale`` multiplies the users' counts (121 characters, 62 dances, 64 remix folders); below a third of them the
    counts stay where all the traps have room.
    """
    builder = _Builder(root, seed, bucket_uri)
    builder.characters(max(40, round(121 * scale)))
    builder.portraits(max(40, round(121 * scale)))
    builder.dances(max(20, round(62 * scale)))
    builder.remixes(max(22, round(64 * scale)))
    builder.oddities()
    return builder.finish()


def spellings() -> tuple[Callable[[str], str], ...]:
    """The ways in which records of the field spell the path of one file, given its key."""
    drive = "C:/oo/bar/output/"
    return (
        lambda key: _windows(drive + key),
        lambda key: drive + key,
        lambda key: "c:\\OO\\Bar\\output\\" + _windows(key),
        lambda key: "C:\\oo\\bar/output\\\\" + key.replace("/", "//"),
        lambda key: "output/" + key,
        lambda key: key,
        lambda key: "file:///" + quote(drive + key, safe="/:"),
        lambda key: "\\\\?\\" + _windows(drive + key),
        lambda key: "/mnt/c/oo/bar/output/" + key,
        lambda key: "\\\\nas\\share\\output\\" + _windows(key),
        lambda key: "/mnt/x/output/" + key,
        lambda key: "C:\\oo\\.\\bar\\output\\.\\" + _windows(key),
        lambda key: f"  {_windows(drive + key)}\n",
        lambda key: _damaged(_windows(drive + key)),
        lambda key: _windows(drive + key).upper(),
    )


def _windows(path: str) -> str:
    return path.replace("/", "\\")


def _damaged(path: str) -> str:
    """What Python makes of the path in a literal without the r before it."""
    control = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
    return re.sub(r"\\([abfnrtv])", lambda match: control[match[1]], path)


def owner(name: str, ids: set[str]) -> str | None:
    """The longest id that the name starts with and that ends at a boundary."""
    found = [char for char in ids if name.startswith(char) and name[len(char) : len(char) + 1] in {"", *"_-. "}]
    return max(found, key=len, default=None)


@dataclass
class _Builder:
    root: Path
    seed: int
    bucket_uri: str
    files: dict[str, Path] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    local_db: dict[str, dict[str, Any]] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    claims: dict[Address, list[str]] = field(default_factory=dict)
    meant: dict[Address, str] = field(default_factory=dict)
    expected_new: dict[str, dict[str, Any]] = field(default_factory=dict)
    findings: set[tuple[str, str]] = field(default_factory=set)
    uploads: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.dice = Random(self.seed)
        self.output = self.root / "output"
        self.spellings = spellings()
        self.spelled = count(self.seed)

    # --- the worlds -----------------------------------------------------------------------------------------------

    def file(self, key: str, data: bytes | None = None) -> bytes:
        """Writes a local file; its bytes follow from the seed and the name."""
        made = self.media(key) if data is None else data
        path = self.output.joinpath(*key.split("/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made)
        os.utime(path, (OLD + 60 * len(self.files),) * 2)
        self.files[key] = path
        return made

    def media(self, key: str, size: int = 4096) -> bytes:
        kind = key.rpartition(".")[2]
        name = f"{self.seed}:{key}"
        return png(name) if kind == "png" else mp3(name) if kind == "mp3" else mp4(name, size)

    def entry(self, record: dict[str, Any], title: str) -> dict[str, Any]:
        """The entry of this title, appended where it is not there."""
        entries: list[dict[str, Any]] = record.setdefault("assets", [])
        found = next((entry for entry in entries if entry["title"] == title), None)
        if found is None:
            found = {"title": title}
            entries.append(found)
        return found

    def name(self, address: Address, key: str, text: str) -> None:
        """Makes a record name a key in these words."""
        char, title, field_name = address
        self.entry(self.records[char], title)[field_name] = text
        self.meant[address] = key

    def uri(self, key: str) -> str:
        return f"{self.bucket_uri}/{key}"

    def local_path(self, key: str) -> str:
        """The path in the next of the field's spellings."""
        return self.spellings[next(self.spelled) % len(self.spellings)](key)

    # --- one asset ------------------------------------------------------------------------------------------------

    def asset(self, address: Address, key: str, state: str, data: bytes | None = None) -> None:
        """An asset in one state of drift: ``object`` and record as the state's two words say.

        The object is ``there`` or ``new``; the record names its ``uri``, a ``path``, or does ``not`` name it.
        """
        there, named = state.split()
        char, title, field_name = address
        made = self.file(key, data)
        self.claims.setdefault(address, []).append(key)
        if there == "there":
            self.objects[key] = made
        else:
            self.uploads.add(key)
        if named != "not":
            self.name(address, key, self.uri(key) if named == "uri" else self.local_path(key))
        if char in self.local_db and field_name in {"anime_image", "cosplay_image", "dance_video", "deliverable"}:
            self.entry(self.local_db[char], title)[field_name] = _windows(f"{PREVIOUS_ROOT}/{key}")

    def drift(self, *states: tuple[str, int]) -> str:
        """One of the states, by weight."""
        names, weights = zip(*states, strict=True)
        chosen: str = self.dice.choices(names, weights)[0]
        return chosen

    # --- the studio -----------------------------------------------------------------------------------------------

    def characters(self, total: int) -> None:
        """Everyone, in the pipeline's database and in the records; the last ones are oddities."""
        for char, name, anime in (*TRAPS, *_more(total - len(TRAPS))):
            self.ids.append(char)
            self.records[char] = {"name": name, "anime": anime, "rating": 4.5, "tags": ["dance", name], "assets": []}
            self.local_db[char] = {"name": name, "anime": anime}
            primary = self.entry(self.records[char], "primary")
            primary.update(fps=24, prompt="neon city / rainy night, 16:9", size={"width": 1080, "height": 1920})

    def portraits(self, total: int) -> None:
        """An anime image for each, and a cosplay image for every third."""
        for number, char in enumerate(self.ids[:total]):
            key = f"characters/{char}.png"
            state = self.drift(("there uri", 70), ("there path", 15), ("new path", 8), ("new uri", 3), ("there not", 4))
            if char == "mei_cosplay":
                # By its name the file could be the cosplay image of "mei" too: it fills no field.
                state = "there uri"
                self.findings.add(("ambiguous_character", key))
            elif number >= total - _ODD:
                state = "there uri"
            elif char == "ai_hoshino":
                state = "new path"
            self.asset((char, "primary", "anime_image"), key, state)
            if (number % 3 == 0 and number < total - _ODD) or char == "mei_cosplay":
                state = self.drift(("there uri", 50), ("there path", 20), ("new path", 15), ("new not", 15))
                self.asset((char, "primary", "cosplay_image"), f"characters/{char}_cosplay.png", state)

    def dances(self, total: int) -> None:
        """One each for the first of the characters; the bucket has some more from before."""
        suffixes = {"rem": "_20", "rem_2": "_2", "remi": "", "ai": "-hoshino"}
        for number, char in enumerate(self.ids[:total]):
            key = f"dances/dance_{char}{suffixes.get(char, f'_{number % 7:02}')}.mp4"
            self.belongs(key.removeprefix("dances/dance_").removesuffix(".mp4"), char)
            address = (char, "primary", "dance_video")
            if number == 0:
                self.asset(address, key, "new path", self.media(key, LARGE))
            elif number == total - 1:
                self.asset(address, key, "there uri")
                self.objects[key] = self.media(key + " as somebody replaced it")
                self.findings.add(("content_conflict", key))
            else:
                state = self.drift(("there uri", 60), ("there path", 18), ("new path", 12), ("new not", 10))
                self.asset(address, key, state)
        for number in range(6):
            orphan = f"dances/dance_{self.ids[total - 1]}_old_take_{number}.mp4"
            self.objects[orphan] = self.media(orphan)
            self.findings.add(("orphan_object", orphan))
        for title in ("backup", "backup 2"):
            key = f"dances/dance_{self.ids[total - 1]}_{title}.mp4"
            self.objects[key] = self.media(key)
            self.name((self.ids[total - 1], title, "dance_video"), key, self.uri(key))

    def remixes(self, total: int) -> None:
        """A folder each, and for some a second one, whose files then claim fields that are already settled."""
        doubles = self.ids[2 : 2 + max(2, total // 11)]
        for number, char in enumerate(self.ids[: total - len(doubles)]):
            self.folder(char, f"{char}_{STYLES[number % len(STYLES)]}", number, settled=char in doubles)
        for number, char in enumerate(doubles, total - len(doubles)):
            self.folder(char, f"{char}_encore", number, settled=False, second=True)
        # Both of this one's folders claim the field, and only the pipeline's database says which it is.
        undecided = doubles[-1]
        del self.entry(self.records[undecided], "primary")["deliverable"]
        del self.meant[undecided, "primary", "deliverable"]

    def folder(self, char: str, name: str, number: int, *, settled: bool, second: bool = False) -> None:
        """One remix folder: the video, variants, two soundtracks, watermark, music, icon."""
        self.belongs(name, char)
        base = f"remixes/{name}"
        for field_name, path, made in (
            ("deliverable", f"REMIX_{name}.mp4", True),
            ("kpop_video", f"result/[kpop]_{name}.mp4", True),
            ("orig_video", f"result/[orig]_{name}.mp4", True),
            ("watermarked", f"result/{name}_watermarked.mp4", number % 16 != 15),
            ("ai_music", "result/generated_kpop_music.mp3", number % 4 or settled),
            ("icon", f"result/icon_{char}.png", number % 16 != 14),
        ):
            if made:
                self.asset(
                    (char, "primary", field_name), f"{base}/{path}", self.folder_state(field_name, settled, second)
                )
        for variant in VARIANTS[: 3 if number % 8 == 0 else 2]:
            title = f"{variant} {name}"
            state = self.drift(("there uri", 45), ("there path", 20), ("new path", 10), ("new not", 25))
            self.asset((char, title, "dance_video"), f"{base}/variants/{title}.mp4", state)

    def folder_state(self, field_name: str, settled: bool, second: bool) -> str:
        if settled:
            return "there uri"
        if second:
            return self.drift(("there not", 50), ("new not", 50))
        if field_name == "deliverable":
            return self.drift(("there uri", 60), ("there path", 20), ("new path", 20))
        return self.drift(("there not", 60), ("new not", 40))

    def belongs(self, name: str, char: str) -> None:
        """The builder's own check that a name leads to the character it was made for."""
        assert owner(name, set(self.ids)) == char, (name, char)

    # --- what is odd ----------------------------------------------------------------------------------------------

    def oddities(self) -> None:
        """Each kind of record and file that a person must look at, or that must be left alone."""
        odd = iter(self.ids[-_ODD:])
        self.odd_records(odd)
        self.odd_values()
        self.odd_files()
        for char in odd:
            self.not_recorded(char, "new path" if char != self.ids[-1] else "there uri")
        char = self.ids[-1 - _NEW]
        del self.records[char], self.local_db[char], self.objects[f"characters/{char}.png"]
        self.forget(char)
        self.uploads.add(f"characters/{char}.png")
        self.findings.add(("missing_record", char))

    def odd_records(self, odd: Iterator[str]) -> None:
        empty, absent, other, malformed, foreign, _unknown = (next(odd) for _ in range(_ODD - _NEW))
        for char in (empty, absent, other):
            del self.meant[char, "primary", "anime_image"]
        self.records[empty]["assets"] = []
        del self.records[absent]["assets"]
        self.records[other]["assets"] = [{"title": "backstage", "notes": "no paths here"}]
        self.records[malformed]["assets"].append("stray text")
        self.findings.add(("malformed_record", f"{COLLECTION}/{malformed}"))
        self.name((foreign, "primary", "anime_image"), "", "gs://another-studio/characters/guest.png")
        self.findings.add(("foreign_uri", f"{COLLECTION}/{foreign}"))

    def odd_values(self) -> None:
        """Values beside the map's own fields, in the record of "mei", and an entry whose file is nowhere."""
        key = "characters/mei.png"
        primary = self.entry(self.records["mei"], "primary")
        primary["thumbnail"] = _windows(f"{PREVIOUS_ROOT}/{key}")
        self.meant["mei", "primary", "thumbnail"] = key
        primary["reference"] = r"C:\Users\mei\Desktop\sketch.png"
        primary["page"] = "https://example.com/mei"
        self.findings.add(("outside_root", f"{COLLECTION}/mei"))
        lost = self.entry(self.records["zero_two"], "lost take")
        lost["dance_video"] = _windows(f"{PREVIOUS_ROOT}/dances/dance_zero_two_lost.mp4")
        self.findings.add(("missing_asset", f"{COLLECTION}/zero_two"))

    def odd_files(self) -> None:
        """Files that no rule matches, that are ignored, or that are empty; nothing of them is to be uploaded."""
        base = f"remixes/ai_hoshino_{STYLES[0]}"
        for key in (f"{base}/result/name_ai_hoshino.png", f"{base}/notes.txt"):
            self.file(key, b"notes" if key.endswith("txt") else None)
            self.findings.add(("unclaimed_file", key))
        self.file(f"{base}/variants/unfinished.mp4", b"")
        self.findings.add(("empty_file", f"{base}/variants/unfinished.mp4"))
        for key in ("characters/Thumbs.db", f"{base}/REMIX_next.mp4.part", "dances/dance_ai_hoshino_new.mp4.tmp"):
            self.file(key, b"not for the bucket")

    def not_recorded(self, char: str, state: str) -> None:
        """A character that the pipeline registered and that no document knows yet."""
        key = f"characters/{char}.png"
        fields = self.local_db[char]
        primary = self.entry(fields, "primary")
        self.expected_new[char] = {**fields, "assets": [{**primary, "anime_image": self.uri(key)}]}
        primary["cosplay_image"] = _windows(f"{PREVIOUS_ROOT}/characters/{char}_cosplay.png")  # never made
        del self.records[char]
        self.forget(char)
        if state.startswith("new"):
            del self.objects[key]
            self.uploads.add(key)

    def forget(self, char: str) -> None:
        """Nothing is expected of a record that is not there."""
        for table in (self.meant, self.claims):
            for address in [address for address in table if address[0] == char]:
                del table[address]

    # --- what a right plan holds ----------------------------------------------------------------------------------

    def fields(self) -> Iterator[tuple[str, str, str, str]]:
        """Every field to set: named in other words than the URI, or not named and claimed by one file."""
        for (char, title, name), key in self.meant.items():
            held = self.entry(self.records[char], title)[name]
            if key and held != self.uri(key):
                yield f"{COLLECTION}/{char}", title, name, self.uri(key)
        for address, keys in self.claims.items():
            if address not in self.meant:
                char, title, name = address
                yield (
                    f"{COLLECTION}/{char}",
                    title,
                    name,
                    self.uri(keys[0] if len(keys) == 1 else self.decided(address)),
                )

    def decided(self, address: Address) -> str:
        """The one of several files that the pipeline's own database names."""
        char, title, name = address
        text: str = self.entry(self.local_db[char], title)[name]
        return text.removeprefix(PREVIOUS_ROOT + "\\").replace("\\", "/")

    def finish(self) -> Studio:
        database = self.root / LOCAL_DB
        database.parent.mkdir(parents=True, exist_ok=True)
        database.write_text(json.dumps(self.local_db, ensure_ascii=False, indent=2) + "\n", "utf-8")
        return Studio(
            root=self.root,
            output=self.output,
            bucket_uri=self.bucket_uri,
            files=self.files,
            objects=self.objects,
            records=self.records,
            local_db=self.local_db,
            expected_uploads=frozenset(self.uploads),
            expected_fields=frozenset(self.fields()),
            expected_new_records=self.expected_new,
            expected_findings=frozenset(self.findings),
        )


_NEW = 3
"""Characters at the end of the list that only the pipeline's database knows."""
_ODD = 6 + _NEW
"""Characters at the end of the list that have an anime image and nothing else."""


def _more(wanted: int) -> Iterator[tuple[str, str, str]]:
    """Further characters; many ids are others' beginnings."""
    series = -(-wanted // (len(FAMILY) * len(GIVEN)))
    names = product(("", *(f"s{number}" for number in range(2, series + 1))), FAMILY, GIVEN)
    for number, (part, family, given) in enumerate(islice(names, wanted)):
        char = "_".join(filter(None, (given, family, part)))
        yield char, f"{given.title()} {family.title()}".strip(), f"Anime № {number % 17}"

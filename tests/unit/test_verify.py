"""The proof: what counts as a reference, which bytes are meant, what is read to know it, and the certificate."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, BinaryIO

import msgspec
import pytest

from reconcile.adapters.workers import REFUSALS
from reconcile.commands.verify import GETS, Proof, verify
from reconcile.core.changes import Code
from reconcile.core.errors import AccessDenied, ExitCode, StoreMissing, StoreUnavailable, UsageError
from reconcile.core.events import Event, Warned
from reconcile.core.media import content_type
from reconcile.core.plan import Scope
from reconcile.core.proof import Against, Certificate, Mode, ProofMethod, Verification, certificate_name
from reconcile.core.rows import Agreed, FileProblem, LocalFile, Served
from tests.kit.fakes import digest
from tests.kit.world import World, rule, titled, windows

KEY = "characters/rem.png"
CLOUD = Mode(cloud_only=True)
DEEP = Mode(cloud_only=True, deep=True)
URLS = Mode(cloud_only=True, urls=True)


class NoFiles:
    """Files that nobody may look at."""

    def walk(self, prefixes: Sequence[str] = ("",)) -> Iterator[LocalFile]:
        raise AssertionError("the local root was walked")

    def names(self, prefixes: Sequence[str] = ("",)) -> Iterator[str]:
        raise AssertionError("local names were read")

    def lookup(self, paths: Iterable[str], *, before: Sequence[str] = (), anew: bool = False) -> Iterator[LocalFile]:
        raise AssertionError("a local file was looked up")

    def forget(self, path: str) -> None:
        raise AssertionError("a local file was forgotten")

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        raise AssertionError("a local file was opened")


class Web:
    """Signed URLs and what they serve: the objects, unless told otherwise."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.signed: list[str] = []
        self.limits: list[int | None] = []
        self.status: dict[str, int] = {}
        self.types: dict[str, str] = {}
        self.broken: dict[str, bytes] = {}
        self.unpacks = False
        self.refusal: Exception | None = None

    def sign(self, key: str, *, expires: float) -> str:
        if self.refusal is not None:
            raise self.refusal
        self.signed.append(key)
        return f"https://signed/{key}"

    @contextmanager
    def fetch(self, url: str, *, limit: int | None = None, encoded: bool = False) -> Iterator[Served]:
        key = url.removeprefix("https://signed/")
        self.limits.append(limit)
        data = self.broken.get(key, b"".join(self._world.objects.read(key)))
        if key in self.status:
            yield Served(self.status[key], "application/xml", iter([b"<Error/>"]))
        else:
            unpacked = encoded and self.unpacks
            body = io.BytesIO(gzip.decompress(data) if unpacked else data[:limit])
            encoding = "gzip" if encoded and not unpacked else ""
            yield Served(200, self.types.get(key, content_type(key)), iter(lambda: body.read(100), b""), encoding)


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


@pytest.fixture
def web(world: World) -> Web:
    made = Web(world)
    world.signer = world.url_reader = made
    return made


def prove(world: World, *char_ids: str, mode: Mode | None = None, types: tuple[str, ...] = ()) -> Verification:
    return verify(world, Scope(char_ids, types), mode=mode).verification


def codes(found: Verification) -> list[str]:
    return sorted(problem.code.value for problem in found.problems)


def only(proof: Proof) -> Certificate:
    (certificate,) = proof.certificates
    return certificate


# -- what is a reference --


def test_every_string_and_every_string_in_a_list_is_proved(world: World) -> None:
    uris = [world.object(f"characters/{name}.png") for name in ("a", "b", "c")]
    world.record("rem", titled(anime_image=uris[0], gallery=[uris[1], 7, None, uris[2]]), titled("other", x=uris[0]))
    found = prove(world)

    assert (found.checked, found.ok, found.objects, found.documents) == (4, 4, 3, 1)
    assert found.problems == ()
    assert found.exit_code is ExitCode.OK
    assert found.complete


def test_an_object_that_is_not_there_is_named_for_each_record_that_names_it(world: World) -> None:
    uri = world.uri(KEY)
    world.record("rem", titled(anime_image=uri))
    world.record("ram", titled(anime_image=uri, cosplay_image=world.object("x.png")))
    found = prove(world)

    assert (found.checked, found.ok) == (3, 1)
    assert [(each.code, each.char_id, each.subject) for each in found.problems] == [
        (Code.MISSING_ASSET, "ram", "characters/ram"),
        (Code.MISSING_ASSET, "rem", "characters/rem"),
    ]
    assert uri in found.problems[0].message
    assert found.exit_code is ExitCode.DIFFERENCES


@pytest.mark.parametrize(
    ("field", "text", "code"),
    [
        ("anime_image", windows(KEY), "local_path"),
        ("anime_image", "rem.png", "local_path"),
        ("anime_image", "ask Ken", "local_path"),
        ("thumbnail", windows(KEY), "local_path"),
        ("thumbnail", "output/characters/rem.png", "local_path"),
        ("thumbnail", "\ngs://my-bucket/anime_dance/characters/rem.png", "local_path"),
        ("thumbnail", r"C:\Users\mei\Desktop\sketch.png", "outside_root"),
        ("anime_image", "/etc/passwd", "outside_root"),
        ("thumbnail", "gs://another/characters/rem.png", "foreign_uri"),
        ("anime_image", "https://example.com/rem.png", "foreign_uri"),
    ],
)
def test_what_is_no_uri_of_ours_is_told(world: World, field: str, text: str, code: str) -> None:
    world.object(KEY)
    world.record("rem", titled(**{field: text}))
    found = prove(world)

    assert codes(found) == [code]
    harmless = code == "foreign_uri"
    assert found.exit_code is (ExitCode.OK if harmless else ExitCode.DIFFERENCES)
    assert (found.checked, found.ok) == ((0, 0) if harmless else (1, 0))


@pytest.mark.parametrize("text", ["neon city / rainy night, 16:9", "https://example.com/mei", "dances/dance_lost.mp4"])
def test_somebodys_words_are_none(world: World, text: str) -> None:
    world.record("rem", titled(prompt=text))

    assert (codes(prove(world)), prove(world).checked) == ([], 0)


def test_words_that_an_object_answers_to_are_a_path(world: World) -> None:
    world.object("dances/dance_rem.mp4")
    world.record("rem", titled(prompt="dances/dance_rem.mp4"))

    assert codes(prove(world)) == ["local_path"]


def test_a_record_that_cannot_be_read_as_one_is_not_proved(world: World) -> None:
    world.record("rem", "stray", titled(anime_image=world.object(KEY)))
    world.records.put("ram", {"assets": "none"})
    found = prove(world)

    assert codes(found) == ["malformed_record", "malformed_record"]
    assert (found.checked, found.ok) == (1, 1)
    assert found.exit_code is ExitCode.DIFFERENCES


def test_a_name_that_no_bucket_takes_is_not_asked_for(world: World) -> None:
    world.record("rem", titled(anime_image=world.uri("x" * 2000), cosplay_image=world.uri("a\nb")))

    assert codes(prove(world, "rem")) == ["missing_asset", "missing_asset"]
    assert world.objects.gets == []


def test_uris_put_into_the_local_database_are_proved_too() -> None:
    for rewrite, checked in ((True, 2), (False, 1)):
        with World(local_db=True, rewrite=rewrite) as world:
            uri = world.object(KEY)
            world.record("rem", titled(anime_image=uri))
            world.local("rem", titled(anime_image=uri))
            assert prove(world).checked == checked
            assert prove(world, mode=CLOUD).checked == 1


# -- which bytes are meant --


def test_the_local_file_says_which_bytes_are_meant(world: World) -> None:
    world.record("rem", titled(anime_image=world.both(KEY)))
    assert prove(world).ok == 1
    world.file(KEY, b"rendered again")
    found = prove(world)

    assert codes(found) == ["content_conflict"]
    assert digest(b"rendered again") in found.problems[0].message
    assert prove(world, mode=CLOUD).problems == ()


def test_without_the_file_it_is_the_last_agreed_state(world: World) -> None:
    world.record("rem", titled(anime_image=world.both(KEY)))
    world.plan()
    del world.files.files[KEY]
    assert only(verify(world)).references[0].against is Against.AGREED
    world.object(KEY, b"by somebody else")

    for mode in (None, CLOUD):
        found = prove(world, mode=mode)
        assert codes(found) == ["content_conflict"]
        assert "when file and object last agreed" in found.problems[0].message


def test_without_either_the_objects_own_checksum_must_do(world: World) -> None:
    world.record("rem", titled(anime_image=world.object(KEY)))
    assert only(verify(world)).references[0].against is Against.OBJECT
    world.objects.unhashed.add(KEY)

    assert codes(prove(world)) == ["unverifiable"]


def test_the_file_itself_goes_before_what_was_agreed(world: World) -> None:
    world.record("rem", titled(anime_image=world.both(KEY)))
    world.memory.remember([Agreed(KEY, 1, "AAAAAA==", 7)])

    assert only(verify(world)).references[0].against is Against.LOCAL


@pytest.mark.parametrize(
    ("problem", "code", "right"),
    [
        (FileProblem.UNREADABLE, ["unreadable_file"], False),
        (FileProblem.UNSETTLED, ["unsettled_file"], True),
        (FileProblem.SYMLINK, [], True),
        (FileProblem.EMPTY, [], True),
    ],
)
def test_a_file_that_cannot_be_compared_is_said(
    world: World, problem: FileProblem, code: list[str], right: bool
) -> None:
    world.record("rem", titled(anime_image=world.object(KEY)))
    world.file(KEY, b"x", problem=problem)
    found = prove(world)

    assert codes(found) == code
    assert (found.ok == 1) is right
    assert (found.exit_code is ExitCode.OK) is right


def test_keys_of_other_templates_are_held_against_their_files() -> None:
    rules = [rule("image", "characters/{char_id}.png", "anime_image", object_="img/{char_id}/image.png")]
    with World(rules) as world:
        world.file("characters/rem.png", b"one")
        world.record("rem", titled(anime_image=world.object("img/rem/image.png", b"two")))

        assert codes(prove(world)) == ["content_conflict"]


# -- without a local file --


@pytest.mark.parametrize("mode", [CLOUD, DEEP, URLS])
@pytest.mark.parametrize("ids", [(), ("rem",)])
def test_cloud_only_looks_at_no_local_file(world: World, web: Web, mode: Mode, ids: tuple[str, ...]) -> None:
    world.record("rem", titled(anime_image=world.object(KEY)))
    world.files = NoFiles()  # type: ignore[assignment]

    assert prove(world, *ids, mode=mode).ok == 1
    with pytest.raises(AssertionError, match="local"):
        prove(world, *ids)


def test_a_root_that_has_disappeared_is_said(world: World) -> None:
    world.record("rem", titled(anime_image=world.object(KEY)))
    world.root_is_gone = True
    heard: list[Event] = []
    verify(world, listener=heard.append)

    assert any(isinstance(event, Warned) and "disappeared" in event.message for event in heard)


# -- scope --


def test_a_scope_asks_for_what_it_needs(world: World) -> None:
    for name in ("rem", "rem_2"):
        world.record(name, titled(anime_image=world.both(f"characters/{name}.png"), kpop_video=world.uri(name)))
    found = prove(world, "rem")

    assert (found.checked, [each.char_id for each in found.problems]) == (2, ["rem"])
    assert sorted(world.objects.gets) == ["characters/rem.png", "rem"]
    assert world.objects.listed == []
    found = prove(world, types=("anime_image",))
    assert (found.checked, found.ok) == (2, 2)


@pytest.mark.parametrize("mode", [None, CLOUD])
def test_a_character_that_nobody_knows_is_refused(world: World, mode: Mode | None) -> None:
    world.record("rem")

    with pytest.raises(UsageError, match="nobody"):
        prove(world, "nobody", mode=mode)


def test_many_objects_are_listed_not_asked_for_one_by_one(world: World) -> None:
    uri = world.object(KEY)
    world.record("rem", titled(gallery=[*(world.uri(f"g/{number}.png") for number in range(GETS)), uri]))
    found = prove(world)

    assert (found.checked, found.ok) == (GETS + 1, 1)
    assert (world.objects.listed, world.objects.gets) == ([""], [])


# -- every byte --


def test_deep_reads_and_hashes_every_object_once(world: World) -> None:
    uri = world.object(KEY, b"x" * 700_000)
    world.record("rem", titled(anime_image=uri, cosplay_image=uri))
    proof = verify(world, mode=DEEP)

    assert proof.verification.bytes == 700_000
    assert proof.verification.ok == 2
    assert {each.checked for each in only(proof).references} == {(ProofMethod.METADATA, ProofMethod.DEEP)}


class Damaged:
    """A bucket whose bytes are not those of its checksums."""

    def __init__(self, world: World, read: Any) -> None:
        self._objects = world.objects
        self._read = read
        world.objects = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    def read(
        self, key: str, *, generation: int | None = None, offset: int = 0, encoded: bool = False
    ) -> Iterator[bytes]:
        return iter(self._read(key, generation))


def test_deep_finds_bytes_that_are_not_those_of_the_checksum(world: World) -> None:
    world.record("rem", titled(anime_image=world.object(KEY, b"right")))
    Damaged(world, lambda _key, _generation: [b"wro", b"ng"])

    proof = verify(world, mode=DEEP)
    assert codes(proof.verification) == ["damaged_object"]
    assert "`gcloud storage cp FILE URI`" in proof.verification.problems[0].hint
    assert (proof.verification.ok, only(proof).holds) == (0, False)
    assert codes(prove(world, mode=CLOUD)) == []


def test_deep_can_compare_what_has_no_checksum(world: World) -> None:
    world.record("rem", titled(anime_image=world.both(KEY)))
    world.objects.unhashed.add(KEY)

    assert codes(prove(world)) == ["unverifiable"]
    assert codes(prove(world, mode=Mode(deep=True))) == []
    assert codes(prove(world, mode=DEEP)) == ["unverifiable"]


def test_an_object_replaced_meanwhile_is_judged_as_it_is_now(world: World) -> None:
    world.record("rem", titled(anime_image=world.object(KEY, b"old")))
    inner = world.objects
    asked: list[int | None] = []

    def read(key: str, generation: int | None) -> Iterator[bytes]:
        asked.append(generation)
        if len(asked) == 1:
            inner.set(key, b"new bytes")
        return inner.read(key, generation=generation)

    Damaged(world, read)
    proof = verify(world, mode=DEEP)

    assert proof.verification.problems == ()
    assert only(proof).references[0].crc32c == digest(b"new bytes")


def test_what_a_store_does_not_give_is_not_proved(world: World) -> None:
    world.record("rem", titled(anime_image=world.object(KEY), cosplay_image=world.object("b.png")))
    inner = world.objects

    def read(key: str, generation: int | None) -> Iterator[bytes]:
        if key == KEY:
            raise StoreUnavailable("it hangs up")
        return inner.read(key, generation=generation)

    Damaged(world, read)
    found = prove(world, mode=DEEP)

    assert codes(found) == ["unreadable_object"]
    assert not found.complete
    assert (found.ok, found.exit_code) == (1, ExitCode.FAILED)


class Barred:
    """A bucket that refuses to tell of some objects."""

    def __init__(self, world: World, keys: Iterable[str], error: Exception) -> None:
        self._objects = world.objects
        self._keys = set(keys)
        self._error = error
        self.asked: list[str] = []
        world.objects = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    def get(self, key: str) -> Any:
        self.asked.append(key)
        if key in self._keys:
            raise self._error
        return self._objects.get(key)


def test_one_object_that_may_not_be_seen_is_told_and_the_others_are_proved(world: World) -> None:
    world.record("rem", titled(anime_image=world.object(KEY), cosplay_image=world.object("b.png")))
    Barred(world, [KEY], AccessDenied("you may not"))
    found = prove(world)

    assert (codes(found), found.ok, found.exit_code) == (["unreadable_object"], 1, ExitCode.FAILED)
    assert "you may not" in found.problems[0].message


def test_words_that_nobody_could_look_up_are_not_taken_for_words(world: World) -> None:
    world.record("rem", titled(prompt="dances/dance_rem.mp4"))
    Barred(world, ["dances/dance_rem.mp4"], AccessDenied("you may not"))

    assert (codes(prove(world)), prove(world).exit_code) == (["unreadable_object"], ExitCode.FAILED)


@pytest.mark.parametrize("error", [StoreMissing("no such bucket"), StoreUnavailable("down")])
def test_a_bucket_that_is_not_there_ends_the_proof(world: World, error: Exception) -> None:
    keys = [f"{number}.png" for number in range(50)]
    world.record("rem", titled(gallery=[world.object(key) for key in keys]))
    barred = Barred(world, keys, error)

    with pytest.raises(type(error)):
        prove(world)
    assert len(barred.asked) < 50


def test_a_store_that_gives_nothing_ends_the_proof(world: World) -> None:
    world.record("rem", titled(gallery=[world.object(f"{number}.png") for number in range(50)]))
    asked: list[str] = []

    def read(key: str, _generation: int | None) -> Iterator[bytes]:
        asked.append(key)
        raise AccessDenied("you may not")

    Damaged(world, read)
    with pytest.raises(AccessDenied):
        verify(world, mode=DEEP)
    assert len(asked) < 50
    assert REFUSALS < 50


# -- signed URLs --


def test_urls_are_signed_and_fetched(world: World, web: Web) -> None:
    world.record("rem", titled(anime_image=world.object(KEY, b"x" * 5000), cosplay_image=world.object("e.png", b"e")))
    proof = verify(world, mode=URLS)

    assert proof.verification.problems == ()
    assert set(web.signed[1:]) == {KEY, "e.png"}
    assert all(limit is None or limit < 5000 for limit in web.limits)
    assert proof.verification.bytes == 0
    assert only(proof).references[0].checked == (ProofMethod.METADATA, ProofMethod.URL)


def test_deep_urls_hash_what_the_url_gives(world: World, web: Web) -> None:
    world.record("rem", titled(anime_image=world.object(KEY, b"right")))
    mode = Mode(cloud_only=True, deep=True, urls=True)
    proof = verify(world, mode=mode)
    assert only(proof).references[0].checked == (ProofMethod.METADATA, ProofMethod.URL, ProofMethod.DEEP)
    web.broken[KEY] = b"wrong"

    assert codes(prove(world, mode=mode)) == ["damaged_object"]


@pytest.mark.parametrize("unpacks", [False, True])
@pytest.mark.parametrize("deep", [False, True])
def test_the_url_of_an_encoded_object_gives_its_content(world: World, web: Web, *, deep: bool, unpacks: bool) -> None:
    text = b"hello " * 3000
    world.record("rem", titled(anime_image=world.object(KEY, gzip.compress(text))))
    world.objects.say(KEY, contentEncoding="gzip")
    web.unpacks = unpacks
    mode = Mode(deep=deep, urls=True)
    assert codes(prove(world, mode=mode)) == (["encoded_object"] if deep and unpacks else [])
    world.file(KEY, text)
    assert codes(prove(world, mode=mode)) == ([] if deep else ["encoded_object"])
    web.broken[KEY] = gzip.compress(b"another")
    found = codes(prove(world, mode=Mode(deep=True, urls=True)))
    assert found == (["content_conflict"] if unpacks else ["damaged_object"])


def test_a_url_that_serves_too_little_is_found(world: World, web: Web) -> None:
    world.record("rem", titled(anime_image=world.object(KEY, b"right")))
    web.broken[KEY] = b"r"

    assert codes(prove(world, mode=URLS)) == ["damaged_object"]


@pytest.mark.parametrize(("served", "problems"), [("image/PNG; q=1", []), ("text/plain", ["wrong_content_type"])])
def test_the_content_type_is_held_against_the_name(world: World, web: Web, served: str, problems: list[str]) -> None:
    world.record("rem", titled(anime_image=world.object(KEY), other=world.object("x.unknown")))
    web.types = {KEY: served, "x.unknown": "chemical/x-pdb"}

    assert codes(prove(world, mode=URLS)) == problems


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_url_that_is_refused_is_found(world: World, web: Web, status: int) -> None:
    world.record("rem", titled(anime_image=world.object(KEY)))
    web.status[KEY] = status
    found = prove(world, mode=URLS)

    assert codes(found) == ["url_refused"]
    deep = verify(world, mode=Mode(cloud_only=True, deep=True, urls=True))
    assert only(deep).references[0].checked == (ProofMethod.METADATA, ProofMethod.URL)
    assert deep.verification.bytes == 0
    assert str(status) in found.problems[0].message
    assert "https://signed" not in json.dumps(msgspec.to_builtins(found))


def test_who_cannot_sign_is_told_before_anything_is_read(world: World, web: Web) -> None:
    web.refusal = AccessDenied("no key")
    with pytest.raises(AccessDenied):
        verify(world, mode=URLS)
    assert world.records.reads == []


# -- the certificate --


def test_a_certificate_says_what_was_proved_of_whom(world: World) -> None:
    uri = world.both(KEY)
    world.record("rem", titled(anime_image=uri, gallery=["x", world.uri("gone.png")]))
    world.record("ram")
    rem, ram = sorted(verify(world).certificates, key=lambda each: each.char_id, reverse=True)

    assert (rem.char_id, rem.document, rem.holds) == ("rem", "characters/rem", False)
    assert rem.update_time == world.records.all()["rem"][1]
    first, second = rem.references
    live = world.objects.all()[KEY]
    assert (first.entry, first.field, first.position, first.item) == ("primary", "anime_image", 0, None)
    assert (first.uri, first.size, first.crc32c, first.generation) == (uri, live.size, live.crc32c, live.generation)
    assert (first.ok, first.against, first.content_type) == (True, Against.LOCAL, "image/png")
    assert (second.item, second.ok, second.size, second.generation) == (1, False, None, None)
    assert [each.code for each in rem.problems] == [Code.MISSING_ASSET]
    assert (ram.holds, ram.references) == (True, ())


def test_of_some_asset_types_there_is_no_certificate(world: World) -> None:
    world.record("rem", titled(anime_image=world.object(KEY), kpop_video=world.uri("gone.mp4")))
    proof = verify(world, Scope(asset_types=("anime_image",)))

    assert (proof.verification.exit_code, proof.certificates) == (ExitCode.OK, ())
    assert not only(verify(world, Scope(("rem",)))).holds


def test_a_proof_names_its_stores_with_their_servers(world: World) -> None:
    world.record("rem", titled(anime_image=world.object(KEY)))
    endpoints = {"bucket_emulator": "http://127.0.0.1:4443", "records_emulator": "127.0.0.1:8080"}
    world.settings = msgspec.structs.replace(world.settings, **endpoints)
    proof = verify(world, mode=CLOUD)

    assert proof.verification.stores == only(proof).stores == world.stores
    assert proof.verification.stores.bucket_endpoint == "http://127.0.0.1:4443"
    assert proof.verification.stores.records_endpoint == "127.0.0.1:8080"
    moved = msgspec.structs.replace(only(proof), stores=msgspec.structs.replace(world.stores, bucket_endpoint=""))
    assert moved.sealed() != moved


def test_a_certificate_that_was_touched_is_told(world: World) -> None:
    world.record("rem", titled(anime_image=world.object(KEY)))
    sealed = only(verify(world))

    assert sealed.digest.startswith("sha256:")
    assert sealed.sealed() == sealed
    touched = msgspec.structs.replace(sealed, holds=False)
    assert touched.sealed() != touched
    back = msgspec.json.decode(msgspec.json.encode(sealed), type=Certificate)
    assert back.sealed() == sealed


@pytest.mark.parametrize(
    "char_id", ["rem", "Rem", "re/m", "..", "con", "a b", "星野", "x" * 1400, "[b]", "-", "r\x1bem", "rem~", "CON.png"]
)
def test_the_name_of_a_certificate_is_safe_everywhere(char_id: str) -> None:
    name = certificate_name(char_id, "2026-02-07T03:00:00Z")

    assert name.isascii()
    assert len(name) < 200
    assert name.endswith("-2026-02-07.json")
    assert not set(name) & set('/\\:*?"<>| \x1b')
    assert not name.startswith(".")
    others = [other for other in ("rem", "REM", "re_m", "__", "a_b") if other != char_id]
    assert name.lower() not in {certificate_name(other, "2026-02-07T").lower() for other in others}

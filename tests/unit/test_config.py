"""The rules file and the environment: what is read, and where from."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from reconcile import Project
from reconcile.config.environment import Overrides, find_project
from reconcile.config.settings import LocalDbSettings, Policy, RecordsUri, Settings, load, template
from reconcile.core.context import Replacing
from reconcile.core.errors import ConfigError, UsageError
from reconcile.core.names import BucketRoot
from reconcile.core.paths import Target, meaning
from reconcile.core.plan import ReplaceLimit
from reconcile.core.rules import Many
from tests.kit.rules_file import refusal, rules, settings, write

# -- what is read --


def test_everything_that_the_rules_say_is_read(tmp_path: Path) -> None:
    found = settings(tmp_path)
    assert (found.project, found.rules_path) == (tmp_path, tmp_path / "rules" / "asset_map.toml")
    assert (found.root, found.root_text) == (tmp_path / "output", "output")
    assert found.previous_roots == (r"C:\oo\bar\output",)
    assert (found.ignore, found.settle) == (("*.tmp",), 2.0)
    assert (found.bucket, found.bucket_endpoint) == (BucketRoot("my-bucket", "anime_dance"), "")
    assert (found.records, found.records_endpoint) == (RecordsUri("my-project", "(default)", "characters"), "")
    assert (found.entries.path, found.entries.key) == (("assets",), "title")
    assert found.local_db == LocalDbSettings(tmp_path / "data/characters.json", rewrite=False)
    assert found.policy == Policy(Replacing.SAFE, ReplaceLimit(10, percent=True), create_records=True)
    cosplay, image = found.asset_map.rules
    assert (cosplay.type, cosplay.label, cosplay.field, cosplay.many) == (
        "cosplay_image",
        "Cosplay Image",
        "cosplay_image",
        Many.NEWEST,
    )
    assert (image.path.source, image.many) == ("characters/{char_id}.png", Many.REPORT)


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    write(
        tmp_path,
        '[bucket]\nuri = "gs://b"\n[records]\nuri = "firestore://p/d/c"\n[[asset]]\ntype = "x"\npath = "x/*"\n',
    )
    found = load(tmp_path, None, {})
    assert (found.root, found.previous_roots, found.settle) == (tmp_path / "output", (), 2.0)
    assert found.ignore == ("*.tmp", "*.part", ".DS_Store", "Thumbs.db", "desktop.ini")
    assert (found.entries.path, found.entries.key, found.local_db) == (("assets",), "title", None)
    assert found.policy == Policy(Replacing.SAFE, ReplaceLimit(10, percent=True), create_records=True)
    [rule] = found.asset_map.rules
    assert (rule.label, rule.object, rule.field, rule.entry, rule.many) == ("x", None, None, None, Many.REPORT)


def test_a_rule_with_a_field_writes_to_the_primary_map_if_not_told_otherwise(tmp_path: Path) -> None:
    entry = settings(tmp_path, L31=None).asset_map.rules[0].entry
    assert entry is not None
    assert entry.source == "primary"


def test_the_rules_that_init_writes_are_read_without_complaint(tmp_path: Path) -> None:
    write(tmp_path, template())
    assert len(load(tmp_path, None, {}).asset_map.rules) == len(tomllib.loads(template())["asset"])


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    write(tmp_path, b"\xef\xbb\xbf" + rules().replace("\n", "\r\n").encode())
    assert load(tmp_path, None, {}).bucket.bucket == "my-bucket"


def test_paths_in_the_rules_are_relative_to_the_project(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    found = settings(tmp_path, L2=f"root = '{elsewhere}'", L9='endpoint = "file:store"', L18="path = '../db.json'")
    assert found.root == elsewhere
    assert found.bucket_endpoint == f"file:{tmp_path / 'store'}"
    assert found.local_db is not None
    assert found.local_db.path == tmp_path / "../db.json"


def test_the_rules_digest_changes_with_any_byte_of_the_file(tmp_path: Path) -> None:
    assert settings(tmp_path).rules_digest == settings(tmp_path).rules_digest
    assert settings(tmp_path, more="# a remark\n").rules_digest != settings(tmp_path).rules_digest


def test_a_count_may_be_written_as_a_number(tmp_path: Path) -> None:
    assert settings(tmp_path, L23="max_replace = 25").policy.max_replace == ReplaceLimit(25, percent=False)


def test_an_entry_may_name_the_character_of_a_path_that_does_not(tmp_path: Path) -> None:
    more = '[[asset]]\ntype = "x"\npath = "x/*.png"\nfield = "y"\nentry = "of {char_id}"\n'
    assert settings(tmp_path, more=more).asset_map.rules[2].entry is not None


# -- the environment and the command line --

VARIABLES = {
    "RECONCILE_BUCKET_URI": "gs://env/e",
    "RECONCILE_BUCKET_ENDPOINT": "http://127.0.0.1:1",
    "RECONCILE_RECORDS_URI": "firestore://env/e/e",
    "RECONCILE_RECORDS_ENDPOINT": "127.0.0.1:1",
    "RECONCILE_LOCAL_ROOT": "env",
}
FLAGS = Overrides(
    bucket_uri="gs://flag/f",
    bucket_endpoint="http://127.0.0.1:2",
    records_uri="firestore://flag/f/f",
    records_endpoint="127.0.0.1:2",
    local_root="flag",
)


def places(found: Settings) -> tuple[str, ...]:
    uris = str(found.bucket), found.bucket_endpoint, str(found.records), found.records_endpoint
    return (*uris, found.root_text, found.root.name)


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    found = places(settings(tmp_path, env=VARIABLES))
    assert found == ("gs://env/e", "http://127.0.0.1:1", "firestore://env/e/e", "127.0.0.1:1", "env", "env")


def test_a_flag_overrides_both(tmp_path: Path) -> None:
    found = places(settings(tmp_path, env=VARIABLES, over=FLAGS))
    assert found == ("gs://flag/f", "http://127.0.0.1:2", "firestore://flag/f/f", "127.0.0.1:2", "flag", "flag")
    assert places(settings(tmp_path, over=FLAGS)) == found


@pytest.mark.parametrize("variable", VARIABLES)
def test_an_empty_variable_says_nothing(tmp_path: Path, variable: str) -> None:
    assert places(settings(tmp_path, env={variable: ""})) == places(settings(tmp_path))


@pytest.mark.parametrize("variable", VARIABLES)
def test_each_variable_overrides_its_own_value_alone(tmp_path: Path, variable: str) -> None:
    plain, found = places(settings(tmp_path)), places(settings(tmp_path, env={variable: VARIABLES[variable]}))
    changed = [new for old, new in zip(plain, found, strict=True) if old != new]
    assert set(changed) == {VARIABLES[variable]}


BOTH_EMULATORS = {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:9", "FIRESTORE_EMULATOR_HOST": "127.0.0.1:9"}
BUCKET_HERE: dict[str, Any] = {"L9": 'endpoint = "file:store"'}
RECORDS_HERE: dict[str, Any] = {"L13": 'endpoint = "file:store"'}


def emulators(found: Settings) -> tuple[str, str]:
    return found.bucket_emulator, found.records_emulator


def test_the_emulators_that_googles_clients_honour_are_noted_where_endpoint_is_empty(tmp_path: Path) -> None:
    found = settings(tmp_path, env=BOTH_EMULATORS)
    assert emulators(found) == ("http://127.0.0.1:9", "127.0.0.1:9")
    assert (found.bucket_endpoint, found.records_endpoint) == ("", "")
    assert emulators(settings(tmp_path, env=dict.fromkeys(BOTH_EMULATORS, ""))) == ("", "")


def test_an_endpoint_goes_before_an_emulator(tmp_path: Path) -> None:
    assert emulators(settings(tmp_path, env=BOTH_EMULATORS, **BUCKET_HERE)) == ("", "127.0.0.1:9")
    assert emulators(settings(tmp_path, env=BOTH_EMULATORS, **RECORDS_HERE)) == ("http://127.0.0.1:9", "")
    assert emulators(settings(tmp_path, env=BOTH_EMULATORS, **BUCKET_HERE, **RECORDS_HERE)) == ("", "")


@pytest.mark.parametrize("variable", BOTH_EMULATORS)
def test_one_emulator_beside_one_real_service_is_refused(tmp_path: Path, variable: str) -> None:
    env = {variable: BOTH_EMULATORS[variable]}
    with pytest.raises(
        ConfigError, match=f"{variable} names an emulator, but the (records|bucket) would be the real"
    ) as caught:
        settings(tmp_path, env=env)
    assert f"unset {variable}" in caught.value.hint
    settings(tmp_path, env=env, **BUCKET_HERE, **RECORDS_HERE)


def test_a_flag_says_how_to_replace_in_this_run(tmp_path: Path) -> None:
    assert settings(tmp_path, over=Overrides(replace="never")).policy.replace is Replacing.NEVER
    with pytest.raises(UsageError, match="--replace 'always' is not one of safe, local, never"):
        settings(tmp_path, over=Overrides(replace="always"))


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("RECONCILE_BUCKET_URI", "my-bucket", "'my-bucket' is not gs://BUCKET/PREFIX"),
        ("RECONCILE_BUCKET_ENDPOINT", "127.0.0.1:4443", "the endpoint '127.0.0.1:4443' cannot be one"),
        ("RECONCILE_RECORDS_URI", "characters", "is not firestore://PROJECT/DATABASE/COLLECTION"),
        ("RECONCILE_RECORDS_ENDPOINT", "http://127.0.0.1:8080", "cannot be one"),
        ("RECONCILE_LOCAL_ROOT", " ", "the local root is empty"),
    ],
)
def test_a_wrong_value_is_blamed_on_the_variable_or_the_flag_that_gave_it(
    tmp_path: Path, variable: str, value: str, words: str
) -> None:
    found = refusal(tmp_path, rules(), {variable: value})
    assert found.message.startswith(f"the environment's {variable}: ")
    assert words in found.message
    field = variable.removeprefix("RECONCILE_").lower()
    flag: dict[str, Any] = {field: value}
    with pytest.raises(UsageError) as caught:
        settings(tmp_path, over=Overrides(**flag))
    assert caught.value.message.startswith(f"--{field.replace('_', '-')}: ")
    assert caught.value.hint


def test_another_rules_file_is_named_by_flag_or_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "this is never read")
    for name in ("flag", "env"):
        (tmp_path / f"{name}.toml").write_text(rules(L8=f'uri = "gs://{name}"'), encoding="utf-8")
    env = {"RECONCILE_RULES": str(tmp_path / "env.toml")}
    assert load(tmp_path, None, env).bucket.bucket == "env"
    assert load(tmp_path, Overrides(rules=tmp_path / "flag.toml"), env).bucket.bucket == "flag"
    monkeypatch.chdir(tmp_path)
    relative = load(tmp_path / "rules", Overrides(rules=Path("flag.toml")), {})
    assert (relative.bucket.bucket, relative.root) == ("flag", tmp_path / "rules" / "output")


# -- the project folder --


def test_the_project_is_the_nearest_folder_at_or_above_with_rules(tmp_path: Path) -> None:
    write(tmp_path, rules())
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert find_project(inner) == find_project(tmp_path) == tmp_path.resolve()
    write(tmp_path / "a", rules())
    assert find_project(inner) == (tmp_path / "a").resolve()


def test_the_project_is_the_current_folder_where_there_are_no_rules(tmp_path: Path) -> None:
    assert find_project(tmp_path) == tmp_path.resolve()
    (tmp_path / "rules" / "asset_map.toml").mkdir(parents=True)
    assert find_project(tmp_path / "rules") == (tmp_path / "rules").resolve()


def test_the_project_given_is_the_project(tmp_path: Path) -> None:
    write(tmp_path, rules())
    (tmp_path / "other").mkdir()
    assert find_project(tmp_path, tmp_path / "other") == (tmp_path / "other").resolve()


@pytest.mark.parametrize("name", ["missing", "file"])
def test_a_project_given_that_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is not there") as caught:
        find_project(tmp_path, tmp_path / name)
    assert "--project" in caught.value.hint


# -- endpoints --


@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:4443", "https://storage.example.org", "http://[::1]:4443"])
def test_an_endpoint_of_the_bucket_is_a_url(tmp_path: Path, endpoint: str) -> None:
    assert settings(tmp_path, L9=f'endpoint = "{endpoint}"').bucket_endpoint == endpoint


@pytest.mark.parametrize(
    "endpoint",
    ["127.0.0.1:4443", "localhost", "ftp://x", "http://", "http://x:port", "http://x:99999", "http:/x", "file:"],
)
def test_what_is_no_url_is_no_endpoint_of_the_bucket(tmp_path: Path, endpoint: str) -> None:
    found = refusal(tmp_path, rules(L9=f'endpoint = "{endpoint}"'))
    assert ":9: " in found.message
    assert "endpoint" in found.hint


@pytest.mark.parametrize("endpoint", ["", "127.0.0.1:8080", "localhost:8080", "[::1]:8080"])
def test_an_endpoint_of_the_records_is_a_host_and_a_port(tmp_path: Path, endpoint: str) -> None:
    assert settings(tmp_path, L13=f'endpoint = "{endpoint}"').records_endpoint == endpoint


@pytest.mark.parametrize(
    "endpoint",
    ["localhost", "http://127.0.0.1:8080", "x:port", ":8080", "me@x:1", "x:1/path", "x:1?q", "x:99999", "x:0", "file:"],
)
def test_what_is_no_host_and_port_is_no_endpoint_of_the_records(tmp_path: Path, endpoint: str) -> None:
    found = refusal(tmp_path, rules(L13=f'endpoint = "{endpoint}"'))
    assert ":13: " in found.message
    assert "endpoint" in found.hint


@pytest.mark.parametrize("line", [9, 13])
def test_an_embedded_store_is_a_folder_of_the_project(tmp_path: Path, line: int) -> None:
    here: dict[str, Any] = {f"L{line}": 'endpoint = "file:a store/x"'}
    there: dict[str, Any] = {f"L{line}": f"endpoint = 'file:{tmp_path}'"}
    relative, absolute = settings(tmp_path, **here), settings(tmp_path, **there)
    assert f"file:{tmp_path / 'a store' / 'x'}" in (relative.bucket_endpoint, relative.records_endpoint)
    assert f"file:{tmp_path}" in (absolute.bucket_endpoint, absolute.records_endpoint)


# -- rules that can match are taken --


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(
            "r/{folder}/{char_id}*.mp4", "r/{char_id}*/{name}.mp4", id="a known id beats an earlier unknown one"
        ),
        pytest.param("d/{variant}/{variant}.mp4", "d/{one}/{another}.mp4", id="a name that repeats takes less"),
        pytest.param("r/*/x.mp4", "r/**/x.mp4", id="** takes more than *"),
        pytest.param("r/a*.mp4", "r/*a.mp4", id="they overlap"),
        pytest.param("d/dance_{char_id}.mp4", "d/dance_{char_id}*.mp4", id="the wider one behind"),
    ],
)
def test_a_rule_that_can_match_behind_another_is_taken(tmp_path: Path, first: str, second: str) -> None:
    found = settings(tmp_path, L29=f'path = "{first}"', L37=f'path = "{second}"', L31=None, L39=None)
    assert [rule.path.source for rule in found.asset_map.rules] == [first, second]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("x/{a}_{b}.mp4", "y/{a}_{b}.mp4"),
        ("x/{a}_{b}.mp4", "y/{b}/{a}.mp4"),
        ("x/{char_id}*/**/*.mp4", "y/{char_id}*/z/**/*.mp4"),
        ("x/{a}/**/{b}.mp4", "y/**/{b}/{a}.mp4"),
        ("x/{a}/{a}.mp4", "y/{a}.mp4"),
    ],
)
def test_an_object_template_that_leads_back_is_taken(tmp_path: Path, path: str, key: str) -> None:
    more = f'[[asset]]\ntype = "x"\npath = "{path}"\nobject = "{key}"\n'
    assert settings(tmp_path, more=more).asset_map.rules[2].object is not None


# -- values --


@pytest.mark.parametrize("uri", ["firestore://p/(default)/c", "firestore://p/d/c/doc/sub"])
def test_a_records_uri_is_written_as_it_is_read(uri: str) -> None:
    assert str(RecordsUri.parse(uri)) == uri


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_the_root_is_also_known_by_the_name_that_the_project_was_given(tmp_path: Path) -> None:
    """As with a drive letter that stands for a share: records hold paths as the workflow saw them."""
    (tmp_path / "share" / "studio").mkdir(parents=True)
    write(tmp_path / "share" / "studio", rules())
    (tmp_path / "drive").symlink_to(tmp_path / "share")
    named = tmp_path / "drive" / "studio"
    settings = load(find_project(explicit=named), environ={})
    assert settings.root_given == str(named / "output")
    assert settings.root == (tmp_path / "share" / "studio" / "output").resolve()
    with Project(settings).opened() as project:
        value = str(named / "output" / "characters" / "rem.png")
        assert meaning(value, project.settings.roots).targets[0] == Target(
            "characters/rem.png", sure=True, windows=False
        )

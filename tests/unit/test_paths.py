"""What a path in a record means, on any machine."""

from __future__ import annotations

import unicodedata
from pathlib import PureWindowsPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.core.names import fold, nfc
from reconcile.core.paths import (
    MAX_TEXT,
    PathKind,
    PathMeaning,
    Target,
    bare,
    is_separated,
    looks_like_path,
    meaning,
    root_forms,
)
from tests.kit.strategies import ROOTS, TRAP_IDS, asset_paths, posix_spellings, windows_spellings

KNOWN_ROOTS = tuple(root_forms(root) for root in ROOTS)
KEY = "characters/a.png"


def read(text: str, *roots: str) -> PathMeaning:
    return meaning(text, tuple(root_forms(root) for root in roots) or KNOWN_ROOTS)


def sure(text: str, *roots: str) -> list[str]:
    return [target.path for target in read(text, *roots).targets if target.sure]


def guesses(text: str, *roots: str) -> list[str]:
    return [target.path for target in read(text, *roots).targets if not target.sure]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(r"C:\oo\bar\output\characters\a.png", id="windows"),
        pytest.param("C:/oo/bar/output/characters/a.png", id="forward slashes"),
        pytest.param(r"c:\OO\Bar\Output\characters\a.png", id="a windows path is read case-insensitively"),
        pytest.param(r"\\nas\share\output\characters\a.png", id="unc"),
        pytest.param("//nas/share/output/characters/a.png", id="unc with forward slashes"),
        pytest.param(r"\\NAS\Share\output\characters\a.png", id="unc in another case"),
        pytest.param("/mnt/media/output/characters/a.png", id="posix"),
        pytest.param("output/characters/a.png", id="relative"),
        pytest.param(r"output\characters\a.png", id="relative windows"),
        pytest.param(r"OUTPUT\characters\a.png", id="relative windows in another case"),
        pytest.param("./output/characters/a.png", id="relative with a dot"),
        pytest.param("file:///C:/oo/bar/output/characters/a.png", id="file uri"),
        pytest.param("FILE:///c:/oo/bar/output/characters/a.png", id="file uri in capitals"),
        pytest.param("file:///C:/oo/bar/output/characters%2Fa%2Epng", id="file uri, escaped"),
        pytest.param("file:///C:%5Coo%5Cbar%5Coutput%5Ccharacters%5Ca.png", id="file uri with escaped backslashes"),
        pytest.param("file://localhost/C:/oo/bar/output/characters/a.png", id="file uri, localhost"),
        pytest.param("file://LOCALHOST/mnt/media/output/characters/a.png", id="file uri, localhost, posix"),
        pytest.param("file:/mnt/media/output/characters/a.png", id="file uri, one slash"),
        pytest.param("file:///mnt/media/output/characters/a.png", id="file uri, posix"),
        pytest.param("file://nas/share/output/characters/a.png", id="file uri with a host is unc"),
        pytest.param(r"\\?\C:\oo\bar\output\characters\a.png", id="long path"),
        pytest.param("//?/C:/oo/bar/output/characters/a.png", id="long path with forward slashes"),
        pytest.param(r"\\?\UNC\nas\share\output\characters\a.png", id="long unc path"),
        pytest.param("/mnt/c/oo/bar/output/characters/a.png", id="a drive mounted in WSL"),
        pytest.param("/mnt/C/OO/bar/output/characters/a.png", id="a drive mounted in WSL, in capitals"),
        pytest.param("/cygdrive/c/oo/bar/output/characters/a.png", id="a drive mounted in cygwin"),
        pytest.param(r"C:\oo/bar\output/characters\a.png", id="mixed slashes"),
        pytest.param("C:\\\\oo\\\\bar\\\\output\\\\characters\\\\a.png", id="doubled backslashes"),
        pytest.param("C://oo//bar//output//characters//a.png", id="doubled slashes after a drive are no scheme"),
        pytest.param("/mnt//media///output/characters//a.png", id="doubled slashes"),
        pytest.param(r"C:\oo\.\bar\output\.\characters\a.png", id="dot parts"),
        pytest.param(r"C:\oo\bar\output\x\..\characters\a.png", id="a .. that stays below the root"),
        pytest.param(r"C:\oo\else\..\bar\output\characters\a.png", id="a .. before the root"),
        pytest.param(" C:\\oo\\bar\\output\\characters\\a.png\t", id="surrounding blanks"),
        pytest.param("\r\n/mnt/media/output/characters/a.png\n", id="surrounding line breaks"),
    ],
)
def test_every_spelling_below_a_known_root_is_the_key(text: str) -> None:
    assert sure(text)[0] == KEY
    assert all(target.sure for target in read(text).targets) or read(text).kind is PathKind.RELATIVE or "\n" in text


@given(st.data(), asset_paths())
def test_any_windows_spelling_of_any_key_is_the_key(data: st.DataObject, key: str) -> None:
    found = read(data.draw(windows_spellings(key)))
    assert found.kind is PathKind.ABSOLUTE
    assert found.targets[0] == Target(key, sure=True, windows=True)


@given(st.data(), asset_paths())
def test_any_posix_spelling_of_any_key_is_the_key(data: st.DataObject, key: str) -> None:
    found = read(data.draw(posix_spellings(key)))
    assert (found.targets[0].path, found.targets[0].sure) == (key, True)


@pytest.mark.parametrize("char_id", TRAP_IDS)
def test_a_name_comes_through_as_it_is_written(char_id: str) -> None:
    assert sure(rf"C:\oo\bar\output\characters\{char_id}.png") == [f"characters/{char_id}.png"]
    decomposed = unicodedata.normalize("NFD", char_id)
    assert sure(f"/mnt/media/output/characters/{decomposed}.png") == [f"characters/{decomposed}.png"]


@pytest.mark.parametrize(("one", "other"), [("Café", "Cafe\u0301"), ("Cafe\u0301", "Café")])
def test_a_root_is_found_in_another_unicode_form(one: str, other: str) -> None:
    assert sure(f"/mnt/{one}/output/a.png", f"/mnt/{other}/output") == ["a.png"]
    assert sure(rf"C:\{one}\a.png", rf"C:\{other}") == ["a.png"]


def test_a_posix_path_is_read_case_sensitively() -> None:
    assert sure("/mnt/media/OUTPUT/characters/a.png") == []
    assert sure("Output/characters/a.png") == []


def test_only_a_windows_path_may_be_meant_in_another_case() -> None:
    assert read(r"C:\oo\bar\output\characters\a.png").targets[0].windows
    assert not read("/mnt/media/output/characters/a.png").targets[0].windows
    assert not read("characters/a.png").targets[0].windows


@pytest.mark.parametrize(
    "root",
    [
        "C:\\oo\\bar\\output\\",
        "C:/oo/bar/output/",
        r"\\?\C:\oo\bar\output",
        "file:///C:/oo/bar/output",
        "/mnt/c/oo/bar/output",
    ],
    ids=["trailing backslash", "forward slashes", "long path", "file uri", "mounted drive"],
)
def test_a_root_may_be_written_in_each_form(root: str) -> None:
    assert sure(r"C:\OO\bar\output\characters\a.png", root) == [KEY]


@pytest.mark.parametrize("root", ["/mnt/x/output/", " /mnt/x/output ", "//mnt/x/./output", "/mnt/x/y/../output"])
def test_a_posix_root_may_be_written_untidily(root: str) -> None:
    assert sure("/mnt/x/output/characters/a.png", root) == [KEY]


def test_of_roots_that_nest_the_longest_counts() -> None:
    assert sure(r"C:\oo\bar\output\characters\a.png", r"C:\oo", r"C:\oo\bar\output", r"C:\oo\bar") == [KEY]


def test_a_folder_whose_name_begins_like_the_root_is_not_below_it() -> None:
    assert sure(r"C:\oo\bar\output2\characters\a.png") == []
    assert sure("/mnt/media/output.old/characters/a.png") == []


@pytest.mark.parametrize("text", [*ROOTS, "C:\\oo\\bar\\output\\", "/mnt/media/output/.", "output/"])
def test_the_root_itself_is_no_key(text: str) -> None:
    assert read(text).targets == ()


def test_the_innermost_of_roots_that_nest_is_no_key_either() -> None:
    assert read(r"C:\oo\bar\output", r"C:\oo", r"C:\oo\bar\output").targets == ()


def test_a_project_folder_as_root_takes_relative_paths_that_stay_below_it() -> None:
    assert sure("characters/a.png", ".") == [KEY]
    found = read("../secret.png", ".")
    assert (found.targets, found.climbs_out) == ((), True)


def test_a_root_above_the_project_is_known_by_its_own_name() -> None:
    assert sure("../output/characters/a.png", "../output") == [KEY]
    assert read("../else/characters/a.png", "../output") == PathMeaning(PathKind.RELATIVE, climbs_out=True)


# -- below no known root --


def test_without_a_root_every_tail_is_possible_the_longest_first() -> None:
    text = r"D:\backup\output\characters\a.png"
    assert guesses(text) == ["backup/output/characters/a.png", "output/characters/a.png", KEY, "a.png"]
    assert sure(text) == []


def test_a_key_as_it_is_is_possible() -> None:
    assert guesses("characters/a.png") == [KEY, "a.png"]


def test_a_relative_path_below_the_root_may_also_be_a_key_as_it_is() -> None:
    assert [target.path for target in read("output/output/a.png").targets] == [
        "output/a.png",
        "output/output/a.png",
        "a.png",
    ]


def test_a_path_relative_to_a_drives_folder_is_below_no_root() -> None:
    found = read(r"C:oo\bar\output\characters\a.png")
    assert found.kind is PathKind.ABSOLUTE
    assert sure(r"C:oo\bar\output\characters\a.png") == []
    assert KEY in guesses(r"C:oo\bar\output\characters\a.png")
    assert read(r"C:..\characters\a.png") == PathMeaning(PathKind.ABSOLUTE, climbs_out=True)


def test_a_backslash_may_be_part_of_a_posix_name() -> None:
    assert sure("/mnt/media/output/characters/a\\b.png")[0] == "characters/a\\b.png"


@pytest.mark.parametrize(
    "text",
    [
        r"C:\oo\bar\output\..\secret.png",
        r"C:\oo\bar\output\characters\..\..\secret\a.png",
        r"c:/OO/bar/output/../characters/a.png",
        r"\\nas\share\output\..\characters\a.png",
        "/mnt/media/output/../../characters/a.png",
        "output/../characters/a.png",
        "../characters/a.png",
        r"..\characters\a.png",
        r"characters\..\..\a.png",
        r"\\?\C:\oo\bar\output\..\characters\a.png",
        "/mnt/c/oo/bar/output/../characters/a.png",
        "C:\\oo\bar\\output\\..\\characters\\a.png",
    ],
)
def test_a_dotdot_that_climbs_out_of_the_root_leads_nowhere(text: str) -> None:
    found = read(text)
    assert (found.targets, found.climbs_out) == ((), True)


def test_an_escaped_dotdot_climbs_out_too_and_only_a_folder_of_that_very_name_does_not() -> None:
    found = read("file:///C:/oo/bar/output/%2e%2e/characters/a.png")
    assert found.climbs_out
    assert found.targets == (Target("%2e%2e/characters/a.png", sure=True, windows=True),)


@pytest.mark.parametrize(
    "text",
    [
        r"C:\oo\bar\output\nul",
        r"C:\oo\bar\output\characters\CON.png",
        r"C:\oo\bar\output\aux .txt\a.png",
        r"C:\oo\bar\output\com1.mp4",
        r"C:\oo\bar\output\LPT9",
        r"C:\oo\bar\output\com¹.txt",
        r"C:\oo\bar\output\CONIN$",
        r"C:\oo\bar\output\nul:",
        r"characters\prn.png",
        r"\\.\PhysicalDrive0",
        "//./COM1",
        r"\\?\C:\oo\bar\output\nul",
        "file:////./COM1",
        "/mnt/c/oo/bar/output/nul",
    ],
)
def test_a_device_name_is_no_path(text: str) -> None:
    assert read(text) == PathMeaning(PathKind.DEVICE)


@pytest.mark.parametrize(
    "text", [r"C:\oo\bar\output\console.png", r"C:\oo\bar\output\com10.png", "/mnt/media/output/con.png"]
)
def test_a_name_that_only_begins_like_a_device_is_a_name(text: str) -> None:
    assert sure(text) == [text.replace("\\", "/").rpartition("/")[2]]


@pytest.mark.parametrize(
    "text", ["gs://my-bucket/anime_dance/characters/a.png", " gs://other/a.png\n", "\ngs://other/characters/a.png"]
)
def test_a_bucket_uri_is_no_local_path(text: str) -> None:
    assert read(text) == PathMeaning(PathKind.GS)


@pytest.mark.parametrize(
    "text", ["https://x.org/characters/a.png", "HTTP://x", "s3://b/characters/a.png", "\thttps://x/characters/a.png"]
)
def test_a_url_is_no_local_path(text: str) -> None:
    assert read(text) == PathMeaning(PathKind.URL)


# -- damaged paths --


def damaged(text: str) -> list[str]:
    return [target.path for target in read(text).targets if target.damaged]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        pytest.param("C:\\oo\bar\\output\\characters\\a.png", KEY, id="backspace"),
        pytest.param("C:\\oo\bar\\output\\characters\x07i_hoshino.png", "characters/ai_hoshino.png", id="bell"),
        pytest.param("C:\\oo\bar\\output\remixes\x0boice\\x.mp4", "remixes/voice/x.mp4", id="return, vertical tab"),
        pytest.param("C:\\oo\bar\\output\\dances\neon.mp4", "dances/neon.mp4", id="line break"),
        pytest.param("C:\\oo\bar\\output\tests\x0cun.mp4", "tests/fun.mp4", id="tab, form feed"),
        pytest.param("C:\\oo\bar\\output\\dances\x02b.mp4", "dances/2b.mp4", id="octal"),
        pytest.param("C:\\oo\bar\\output\\dances\x08_a.mp4", "dances/10_a.mp4", id="octal of two digits"),
        pytest.param("C:\\oo\bar\\output\\d\x01.mp4", "d/001.mp4", id="octal of three digits"),
        pytest.param("C:\\oo\bar\\output\\d\x1f.mp4", "d/x1f.mp4", id="hexadecimal"),
        pytest.param("C:\\oo\bar\\output\\d\x84.mp4", "d/204.mp4", id="octal above 127"),
        pytest.param("output\x08.mp4", "b.mp4", id="relative"),
        pytest.param("  C:\\oo\bar\\output\\characters\\a.png\n", KEY, id="blanks around"),
        pytest.param("\\\\nas\\share\\output\new\\a.png", "new/a.png", id="unc"),
    ],
)
def test_escapes_turned_into_control_characters_are_read_back(text: str, key: str) -> None:
    assert key in damaged(text)


def test_a_path_read_back_below_a_known_root_goes_before_tails_as_they_are() -> None:
    found = read("C:\\oo\bar\\output\\characters\\a.png")
    assert found.targets[0] == Target(KEY, sure=True, windows=True, damaged=True)


def test_a_name_that_really_holds_a_control_character_goes_before_one_read_back() -> None:
    found = read("/mnt/media/output/a\bc.png")
    assert found.targets[0] == Target("a\bc.png", sure=True, windows=False)


def test_a_return_at_the_start_may_have_been_a_folders_first_letter() -> None:
    assert "remixes/a.mp4" in damaged("\remixes\\a.mp4")


def test_a_whole_path_is_not_damaged_by_the_line_break_behind_it() -> None:
    assert damaged("C:\\oo\\bar\\output\\characters\\a.png\r\n") == []


def test_a_text_full_of_control_characters_is_read_back_in_a_bounded_number_of_ways() -> None:
    assert len(damaged("C:\\" + "\b" * 200 + "\\a.png")) < 20_000


# -- any text at all --

_ROUTES = ["..", ".", "/", "\\", "//", "\\\\", "C:", "c:\\", "\\\\?\\", "//?/", "UNC\\", "file:", "file://", "gs://"]
_NAMES = ["%2e%2e", "%5c", "output", "oo", "bar", "mnt", "media", "c", "nas", "share", "nul", "a.png", "é", *ROOTS]
_BITS = [" ", "\b", "\n", "\x00", "\ud800", ". ", ":"]
_PIECES = st.sampled_from(_ROUTES) | st.sampled_from(_NAMES) | st.sampled_from(_BITS) | st.text(max_size=4)
_TEXTS = st.lists(_PIECES, max_size=12).map("".join) | st.text(max_size=40)


@settings(max_examples=500)
@given(_TEXTS, st.sampled_from((ROOTS, (".",), ("/",), ("../output",), ())))
def test_no_text_leads_out_of_the_root(text: str, roots: tuple[str, ...]) -> None:
    for target in meaning(text, [root_forms(root) for root in roots]).targets:
        parts = target.path.replace("\\", "/").split("/")
        assert not {"", ".", ".."} & set(parts)
        assert all(part.strip(" .") for part in parts)
        assert not PureWindowsPath(target.path).anchor
        assert "\x00" not in target.path
        assert target.path.encode("utf-8")


@given(_TEXTS)
def test_the_same_text_means_the_same_however_often_it_is_read(text: str) -> None:
    paths = [target.path for target in read(text).targets]
    assert read(text) == read(text)
    assert len(set(paths)) == len(paths)


@given(_TEXTS)
def test_sure_readings_go_before_guesses(text: str) -> None:
    order = [not target.sure for target in read(text).targets]
    assert order == sorted(order)


@pytest.mark.parametrize(
    "text",
    [
        "file:" * 3000 + "x/a.png",
        "file:%25" * 400,
        "\\\\?\\" * 3000 + "a.png",
        "a/" * 20_000 + "a.png",
        "x" * 1_000_000,
        "ab/" * 400_000,
        "\b/" * 10_000,
        "C:\\" + "\n\\" * 100_000,
    ],
    ids=lambda text: text[:8],
)
def test_very_long_and_very_odd_text_is_read_in_little_room(text: str) -> None:
    found = read(text)
    assert sum(len(target.path) for target in found.targets if not target.sure) < 20_000_000


def test_a_tail_that_is_too_long_for_the_bucket_is_none() -> None:
    assert max(map(len, guesses("D:/" + "abc/" * 2000 + "a.png"))) <= 1024


def test_a_text_longer_than_any_path_is_none() -> None:
    assert read("characters/" + "a" * MAX_TEXT).targets == ()


# -- which texts are looked at --


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"C:\x", True),
        ("c:/x", True),
        (r"\\nas\x", True),
        ("file:///x", True),
        ("gs://b/x", True),
        ("/mnt/x/a.png", True),
        (" /mnt/x/a.png", True),
        ("characters/a.png", False),
        ("/command", False),
        ("/with blanks/ and slashes", False),
        ("A: an aside", False),
        ("a plain text", False),
        ("https://x/y", False),
        ("", False),
        ("//", True),
    ],
)
def test_a_text_in_a_field_of_no_rule_is_a_path_by_its_form_alone(text: str, expected: bool) -> None:
    assert looks_like_path(text) is expected


def test_a_relative_path_has_a_separator() -> None:
    assert is_separated("a/b")
    assert is_separated("a\\b")
    assert not is_separated("a.png")


@given(asset_paths())
def test_another_unicode_form_or_case_of_a_windows_path_is_the_same_key_folded(key: str) -> None:
    text = unicodedata.normalize("NFD", rf"C:\oo\bar\output\{key}".swapcase())
    assert {fold(path) for path in sure(text)} == {fold(key)} or nfc(key.swapcase().swapcase()) != nfc(key)


# -- what people paste around a path --

PASTED = (
    *('"{}"', "'{}'", "`{}`", "<{}>", "\u201c{}\u201d", "\u201e{}\u201c", "\u2018{}\u2019", "\xab{}\xbb"),
    *("\u300c{}\u300d", "\u300e{}\u300f", "\uff02{}\uff02", '"{}",', "'{}';", "{},", '& "{}"', "&'{}'", 'r"{}"'),
    *("'\"{}\"'", ' "{}"\n', "\u202a{}", "\ufeff{}", "\xa0{}\xa0", '" {} "'),
)


@pytest.mark.parametrize("pasted", PASTED)
@pytest.mark.parametrize("path", [r"C:\oo\bar\output\characters\m.png", "file:///C:/oo/bar/output/characters/m.png"])
def test_what_is_pasted_around_a_path_is_no_part_of_it(pasted: str, path: str) -> None:
    text = pasted.format(path)
    assert "characters/m.png" in sure(text)
    assert looks_like_path(text)
    assert read(text).kind is PathKind.ABSOLUTE


def test_a_name_that_really_has_quotes_comes_first() -> None:
    paths = [each.path for each in read('"characters/m.png"').targets]
    assert paths[0] == '"characters/m.png"'
    assert "characters/m.png" in paths


@pytest.mark.parametrize("text", ['"', '""', "''", "<>", "& ", '"C:\\oo', "'x\"", ","])
def test_quotes_that_hold_nothing_or_do_not_match_are_read_as_they_are(text: str) -> None:
    assert not sure(text)


@pytest.mark.parametrize("text", ['"gs://other/x.png"', "<https://example.com/a.png>", '"..\\..\\x.png"', '"C:\\CON"'])
def test_what_is_no_path_is_none_in_quotes_either(text: str) -> None:
    assert not read(text).targets


@given(
    first=st.sampled_from("arRbufx7é語"),
    middle=st.text("rRbuf&\"'`<>(),; \\/\u200b\u201d:a", max_size=8),
    last=st.sampled_from("argRb7é"),
)
@settings(max_examples=500)
def test_a_text_between_two_letters_is_bare(first: str, middle: str, last: str) -> None:
    text = first + middle + last
    assert bare(text) == text
    for pasted in ('"{}"', " {}\u200b", "<{}>,"):
        assert bare(pasted.format(text)) == text  # so nothing is taken off the inner text

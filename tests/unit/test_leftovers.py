"""What systems and programs leave beside files, and which paths the rules reach all the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.leftovers import _FAMILIES, _holds, is_plain, leftover, no_leftover_with
from reconcile.core.pattern import PatternError, Template
from reconcile.core.reach import Reach, Selection
from reconcile.core.rules import AssetMap, AssetRule
from tests.kit.search import thoroughly

LEFT = """
._beach.mp4 .AppleDouble .DS_Store .Spotlight-V100 .Trashes .fseventsd .TemporaryItems .directory .nfs000000000001
.fuse_hidden0001 .goutputstream-X1Y2 .~lock.a.png# .a.png.swp .syncthing.a.png.tmp .stfolder .dropbox.cache .git
.a.png.AbC123 .a.mp4.icloud .trashed-1700000000-a.jpg .nomedia Thumbs.db THUMBS.DB ehthumbs.db desktop.ini Desktop.ini
$RECYCLE.BIN RECYCLER lost+found LOST.DIR FOUND.000 @eaDir @Recycle #recycle #snapshot ~snapshot ~$report.docx
a.mp4.crdownload a.mp4.partial a.mp4.part a.f137.mp4.part-Frag7 a.tmp a.mp4.download a.opdownload a.!ut a.bc! a.aria2
a.filepart a.png~ #a.png# a.swp __MACOSX IMG_0001.AAE a.png:Zone.Identifier a@SynoEAStream picasa.ini song.mp3.asd
AlbumArt_{12345678-ABCD-1234-ABCD-1234567890AB}_Large.jpg
"""
WITH_BLANKS = ["System Volume Information", "Icon\r", "Network Trash Folder", "Temporary Items"]

MEANT = """
beach.mp4 ~mika.png mika~2.png #1_dance.mp4 # ~ part.mp4 tmp_dance.mp4 lost+found.png found.000.png desktop.png
a.partial.mp4 A.TMP folder.jpg a.bak temp download mika.part1.rar albumart.jpg $money.png @home.png snapshot
"""


@pytest.mark.parametrize("name", [*LEFT.split(), *WITH_BLANKS])
def test_what_systems_and_programs_leave_beside_files_is_known_by_name(name: str) -> None:
    assert leftover(name) is not None


@pytest.mark.parametrize("name", MEANT.split())
def test_a_name_that_people_mean_is_no_leftover(name: str) -> None:
    assert leftover(name) is None


WORDS = sorted({text for each in _FAMILIES for text in (*each.names, *each.starts, *each.ends, each.mark)} - {""})
PIECES = [
    *WORDS,
    "AlbumArt_{A-1}_Large.jpg",
    "found.123",
    ".part-Frag7",
    "a",
    "A",
    "char_01",
    "_",
    " ",
    "(1)",
    "[",
    ".",
    "\u212a",
]
ENDINGS = ["", ".png", ".jpg", ".JPG", ".mp4", ".json", "~"]


@thoroughly(5)
@given(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=3),
    st.sampled_from(ENDINGS),
    st.sampled_from([str, str.upper]),
)
def test_the_quick_answer_for_usual_names_is_the_one_that_all_families_give(
    pieces: list[str], ending: str, spelt: Callable[[str], str]
) -> None:
    name = spelt("".join(pieces) + ending)
    low = name.lower()
    families = (each for each in _FAMILIES if _holds(each, name if each.exact else low))
    assert leftover(name) == next((each.origin for each in families), None)


@pytest.mark.parametrize(
    ("path", "reached"),
    [
        (".thumbs/mika.png", True),
        (".thumbs/._mika.png", False),
        ("a/b/mika.png", True),
        ("a/.b/mika.png", False),
        ("a/b/.mika.png", False),
        ("b/.mika.png", True),
        ("b/._mika.png", False),
        ("c/mika.part", True),
        ("c/.mika.part", False),
        ("c/mika.tmp", False),
    ],
)
def test_a_leftover_is_reached_only_by_a_rule_that_names_it(path: str, reached: bool) -> None:
    templates = [".thumbs/{char_id}.png", "a/**/{char_id}.png", "b/.{char_id}.png", "c/{char_id}.part", "c/{x}.*mp"]
    rules = tuple(AssetRule(f"rule{at}", "", Template(text)) for at, text in enumerate(templates))
    asset_map = AssetMap(rules)
    assert Reach([rule.path for rule in rules]).takes(path) is reached
    assert (asset_map.left_out(path) is None) is reached
    assert (asset_map.read(path, ()) is not None, asset_map.could_take(path)) == (reached, reached)


@pytest.mark.parametrize(
    ("folder", "entered"),
    [("a/", True), ("a/b/", True), ("a/b/c/", False), ("x/", False), ("d/", True), ("d/e/f/", True), ("d/.e/", False)],
)
def test_a_folder_is_entered_where_a_rule_can_take_something_below_it(folder: str, entered: bool) -> None:
    assert Reach([Template("a/{x}/*.png"), Template("d/**/*.png")]).enters(folder) is entered


@pytest.mark.parametrize(
    ("pattern", "path", "taken"),
    [
        ("drafts/", "drafts/a.png", True),
        ("drafts/", "drafts/b/a.png", True),
        ("drafts/", "characters/drafts/a.png", False),
        ("drafts/", "drafts", False),
        ("drafts", "characters/drafts/a.png", True),
        ("**/drafts/", "characters/drafts/a.png", True),
        ("characters/wip_*.png", "characters/wip_1.png", True),
        ("characters/wip_*.png", "characters/a/wip_1.png", False),
        ("characters/wip_*", "characters/wip_1/a.png", True),
        ("**/x/**", "a/b/x/c/d.png", True),
        ("**/x/**", "x/d.png", True),
        ("**/x/**", "a/x", False),
        ("x/**", "x/d.png", True),
        ("**/*.tmp", "a/b.tmp", True),
        ("*.tmp", "a/b.tmp", True),
        ("*.tmp", "a.tmp/b", True),
        ("[wip]*", "a/[wip] b.png", True),
        ("[wip]*", "a/w.png", False),
        ("a?.png", "ab.png", False),
        ("{name}_wip.png", "a/mika_wip.png", True),
        ("caf\u00e9/", "cafe\u0301/a.png", True),
    ],
)
def test_ignore_speaks_the_language_of_paths(pattern: str, path: str, taken: bool) -> None:
    assert Selection([pattern], [Template("**/*")]).ignores(path) is taken
    assert Selection([pattern], [Template("**/*")]).excludes(path) is taken


def test_on_windows_ignore_knows_no_case() -> None:
    for pattern in ("*.TMP", "Drafts/", "Drafts/*.tmp"):
        assert Selection([pattern], ignore_case=True).ignores("drafts/A.tmp")
        assert not Selection([pattern]).ignores("drafts/A.tmp")


@pytest.mark.parametrize(
    "pattern", ["/drafts/", "C:\\x", "C:/x", "..", "../x", "", "/", "a//b", "./a", "a**b", "*.{a,b}"]
)
def test_a_pattern_that_can_never_match_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        Selection([pattern])


def test_our_own_is_reached_by_no_rule() -> None:
    selection = Selection((), [Template(".reconcile/*"), Template("a/.*"), Template(".r-*")])
    assert [selection.excludes(path) for path in (".reconcile/state.db", "a/.r-1a2b3c4d", "a/.x")] == [
        True,
        True,
        False,
    ]


WORDS = st.text("aB9_ -.~#$", max_size=4) | st.sampled_from(
    ["recycle", "Recycler", "r", "thumbs", "thumbs.db", "x.", "tmp", ".tmp", "~$", "_x.png", ".part", ".aae", "/a", "é"]
)


@thoroughly(10)
@given(before=WORDS, word=WORDS, behind=WORDS)
def test_a_name_that_looks_usual_around_a_plain_word_is_no_leftover(before: str, word: str, behind: str) -> None:
    if no_leftover_with(before, behind) and is_plain(word):
        assert leftover(before + word + behind) is None


def test_a_plain_word_is_no_part_of_a_name_that_says_it_all() -> None:
    assert is_plain("ai_hoshino")
    assert not is_plain("recycle")
    assert not is_plain("a.b")
    assert no_leftover_with("dance_", "_01.mp4")
    assert not no_leftover_with("dance.", ".mp4")
    assert not no_leftover_with("dance_", ".tmp")

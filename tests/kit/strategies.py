"""Hypothesis strategies for the names of this world, with their traps: ids, paths, keys, templates, spellings."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import strategies as st

from reconcile.core.names import BucketRoot
from reconcile.core.pattern import Template

TRAP_IDS = (
    "rem",  # the beginning of the next three
    "rem_2",
    "rem-2",
    "remi",
    "mei",
    "mei_cosplay",  # ends like a file of mei's
    "ai",
    "ai_hoshino",
    "ai_hoshino_v1.5",  # a dot that is no file ending
    "zero two",
    "2b",
    "[kpop]",
    "REM",  # another character where case counts
    "José",  # composed
    "Jose\u0301",  # the same name, decomposed
    "初音ミク",
    "a",
)
BUCKET = BucketRoot("my-bucket", "anime_dance")
WINDOWS_ROOT = r"C:\oo\bar\output"
POSIX_ROOT = "/mnt/media/output"
UNC_ROOT = r"\\nas\share\output"
RELATIVE_ROOT = "output"
ROOTS = (WINDOWS_ROOT, POSIX_ROOT, UNC_ROOT, RELATIVE_ROOT)

_ID_CHARACTERS = "abremi2é ._-[]"
_NAME_CHARACTERS = "abREM12é語 ._-[]()#%?&+'!@,;="


def is_part(text: str) -> bool:
    """Whether a text can be one folder's or file's name in any of the worlds."""
    return bool(text) and text == text.strip(" .") and "/" not in text and "\\" not in text


def char_ids() -> st.SearchStrategy[str]:
    """Character ids: the traps, and others made of the same letters."""
    return st.sampled_from(TRAP_IDS) | st.text(_ID_CHARACTERS, min_size=1, max_size=8).filter(is_part)


def known_ids() -> st.SearchStrategy[frozenset[str]]:
    """Sets of known characters, often with prefixes of one another."""
    return st.frozensets(char_ids(), max_size=6)


def parts() -> st.SearchStrategy[str]:
    """One folder's or file's name."""
    return st.text(_NAME_CHARACTERS, min_size=1, max_size=10).filter(is_part)


def paths() -> st.SearchStrategy[str]:
    """Any paths below a root, with an ending."""
    return st.builds(
        lambda folders, name, ending: "/".join([*folders, name + ending]),
        st.lists(parts(), max_size=4),
        parts(),
        st.sampled_from((".png", ".mp4", ".mp3", ".MP4", "")),
    )


def asset_paths(ids: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[str]:
    """Paths such as the six workflows write, of known and unknown characters."""
    ids = char_ids() if ids is None else ids
    folder = st.builds("{}{}".format, ids, st.sampled_from(("", "_neon", "_2", "-night", " live", "x")))
    remix = st.builds(
        "remixes/{}/{}{}".format,
        folder,
        st.sampled_from(("", "v1/", "2026/take 2/")),
        st.sampled_from(
            (
                "REMIX_one.mp4",
                "variants/neon.mp4",
                "variants/neon_watermarked.mp4",
                "result/[kpop]_one.mp4",
                "result/[orig]_one.mp4",
                "result/[kpop]_one_watermarked.mp4",
                "result/generated_kpop_music.mp3",
                "result/icon_one.png",
                "result/notes.txt",
            )
        ),
    )
    image = st.builds("characters/{}{}.png".format, ids, st.sampled_from(("", "_cosplay", "_2")))
    dance = st.builds("dances/dance_{}{}.mp4".format, ids, st.sampled_from(("", "_01", "_cosplay", "x")))
    return image | dance | remix


@st.composite
def owned_paths(draw: st.DrawFn) -> tuple[str, frozenset[str]]:
    """A path that was made for a known character, and the known characters."""
    known = draw(st.frozensets(char_ids(), min_size=1, max_size=6))
    return draw(asset_paths(st.sampled_from(sorted(known)))), known


def keys() -> st.SearchStrategy[str]:
    """Keys: any paths, and those of assets."""
    return paths() | asset_paths()


def templates() -> st.SearchStrategy[str]:
    """Sources of valid templates: literals, captures (some of them twice), ``*`` and ``**``."""
    literal = st.text("ab_-.[]?#% (x)", min_size=1, max_size=5)
    capture = st.sampled_from(("{char_id}", "{a}", "{b}", "*"))
    part = st.lists(literal | capture, min_size=1, max_size=4).map("".join).filter(_is_template_part)
    folders = st.lists(st.just("**") | part, max_size=3)
    return st.builds(lambda above, name: "/".join([*above, name]), folders, part)


def _is_template_part(text: str) -> bool:
    return "**" not in text and text not in (".", "..")


def captures_of(template: Template) -> st.SearchStrategy[Mapping[str, str]]:
    """Values for the captures of a template: never empty for named ones, whole folders for ``**``."""
    named = st.text("abx_-.é2 ", min_size=1, max_size=5)
    folders = st.lists(named, max_size=2).map(lambda names: "".join(f"{name}/" for name in names))
    values = {
        name: folders if name.startswith("**") else st.just("") | named if name.startswith("*") else named
        for name in template.names
    }
    return st.fixed_dictionaries(values)


def spellings(key: str) -> st.SearchStrategy[str]:
    """The ways in which a record may write the local path of a key below one of ``ROOTS``."""
    return windows_spellings(key) | posix_spellings(key)


def windows_spellings(key: str) -> st.SearchStrategy[str]:
    """Windows and UNC paths of a key, with the slashes and the case of the root as people write them."""
    return st.builds(
        _written,
        st.sampled_from((WINDOWS_ROOT, WINDOWS_ROOT.lower(), r"c:\OO\Bar\Output", rf"\\?\{WINDOWS_ROOT}", UNC_ROOT)),
        st.sampled_from(("\\", "/", "\\\\", "\\.\\")),
        st.just(key),
        st.sampled_from(("", " ", "\n")),
    )


def posix_spellings(key: str) -> st.SearchStrategy[str]:
    """POSIX and relative paths of a key."""
    return st.builds(
        _written,
        st.sampled_from((POSIX_ROOT, "//mnt/media/./output", RELATIVE_ROOT, "./output", "/mnt/c/oo/bar/output")),
        st.sampled_from(("/", "//", "/./")),
        st.just(key),
        st.sampled_from(("", " ", "\t")),
    )


def _written(root: str, separator: str, key: str, blank: str) -> str:
    return blank + separator.join([root, *key.split("/")]) + blank

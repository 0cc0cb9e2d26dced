"""Names that systems and programs leave next to media files, and their origins."""

from __future__ import annotations

import re
from typing import NamedTuple


class _Family(NamedTuple):
    """Names of one origin, in lower case: whole names, beginnings, ends, and a pattern for the rest.

    Only names that contain ``mark`` can match the pattern. Case does not count unless ``exact``: files from Windows
    also appear on shares and drives of other systems.
    """

    origin: str
    names: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    pattern: str | None = None
    mark: str = ""
    exact: bool = False


_FAMILIES = (
    # AppleDouble (RFC 1740): resource forks and Finder data, on every drive and share that is not a Mac's own; Netatalk
    # keeps them in a folder, and archives made by Finder in another.
    _Family("macOS keeps a file's other data in it", (".appledouble", "__macosx"), starts=("._",)),
    # Spotlight, Trash, .DS_Store, KDE's .directory, .nfs000…, .fuse_hidden…, GNOME's .goutputstream-…, .~lock.x#,
    # .x.swp, rsync's .x.AbC123, Syncthing, Dropbox, iCloud's placeholders, .thumbnails, .nomedia, .trashed-…, .git.
    _Family("its name begins with a dot, as hidden files' names do", starts=(".",)),
    # Finder's and Time Machine's files at the top of a drive begin with a dot; these do not. Netatalk writes a leading
    # dot as ":2e".
    _Family(
        "macOS leaves it on drives and shares",
        ("icon\r", "network trash folder", "temporary items", "thevolumesettingsfolder", "thefindbycontentfolder"),
        starts=(":2e",),
    ),
    # Safari downloads into a folder with this ending. Chromium, Firefox and KDE, Opera, old Edge and rclone, WinSCP,
    # yt-dlp (also its fragments), aria2, uTorrent, BitComet, FlashGet, qBittorrent, Thunder, Resilio Sync, gcloud.
    _Family(
        "an unfinished download, copy or write",
        ends=(
            *(".download", ".crdownload", ".part", ".opdownload", ".partial", ".filepart", ".ytdl", ".aria2"),
            *(".!ut", ".bc!", ".jc!", ".!qB", ".td.cfg", ".xltd", ".!sync", ".gstmp", ".tmp", ".temp"),
        ),
        pattern=r".+\.part-Frag\d+",
        mark=".part-frag",
        exact=True,
    ),
    # Explorer's thumbnails and folder settings, Media Player's covers, the marks of downloads (streams that WSL and
    # copies to other drives turn into files), and what Windows keeps at the top of a drive.
    _Family(
        "Windows leaves it beside files",
        (
            *("thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini"),
            *("$recycle.bin", "recycler", "recycled", "system volume information", "albumartsmall.jpg"),
            *("pagefile.sys", "hiberfil.sys", "swapfile.sys"),
        ),
        ends=(":zone.identifier", ":smartscreen", ":com.dropbox.attributes", ":afp_afpinfo", ":afp_resource"),
        pattern=r"albumart_\{[0-9a-f-]+\}_(large|small)\.jpg",
        mark="albumart_{",
    ),
    # fsck of ext file systems, quotas, Android's check of a card, chkdsk.
    _Family(
        "a check of the file system leaves it",
        ("lost+found", "lost.dir", "aquota.user", "aquota.group"),
        pattern=r"found\.\d{3}",
        mark="found.",
    ),
    # Synology, QNAP, Buffalo, NetApp.
    _Family(
        "a NAS keeps it for itself",
        (
            *("@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@transcode"),
            *("trashbox", "~snapshot"),
        ),
        ends=("@synoeastream", "@synoresource"),
    ),
    # An iPhone's list of edits beside the photo.
    _Family("a phone keeps its edits of a picture in it", ends=(".aae",)),
    # Word's and Excel's owner files; LibreOffice's begin with a dot. Emacs, Vim, Kate and many others.
    _Family(
        "an editor's lock or safety copy", starts=("~$",), ends=("~", ".swp", ".swo", ".swn"), pattern="#.+#", mark="#"
    ),
    _Family("`reconcile restore --beside` writes it", pattern=r".+\.bucket(\.[^.]+)?", mark=".bucket"),
    # Picasa, Canon ZoomBrowser, Paint Shop Pro; Premiere, Vegas, Ableton Live, Reaper.
    _Family(
        "a media program's notes about files",
        ("picasa.ini", "zbthumbnail.info", "pspbrwse.jbf"),
        ends=(".pek", ".cfa", ".sfk", ".asd", ".reapeaks"),
    ),
)

_NAMES = frozenset(name for family in _FAMILIES for name in family.names)
_STARTS = tuple(start for family in _FAMILIES for start in family.starts)
_ENDS = tuple(end.lower() for family in _FAMILIES for end in family.ends)
_USUAL = re.compile(r"[\w ()\[\]-]+(?:\.(?:png|jpe?g|webp|gif|mp4|mov|webm|mkv|mp3|wav|flac|m4a|ogg|json|srt))?")
_PLAIN = re.compile(r"[A-Za-z0-9_ -]*")
_USUAL_LEFTOVERS = tuple(name for name in _NAMES if _USUAL.fullmatch(name))
_MARKS = tuple(family.mark for family in _FAMILIES if family.mark)


def leftover(name: str) -> str | None:
    """Returns who leaves a file or folder of this name, in words; None for every other name."""
    # Every walked name is checked here, so the usual answer has to be quick. Only leftovers known by their whole name
    # look usual: those known by a beginning, an end or a pattern have other characters.
    low = name.lower()
    if low not in _NAMES and _USUAL.fullmatch(name):
        return None
    if low in _NAMES or low.startswith(_STARTS) or low.endswith(_ENDS) or any(map(low.__contains__, _MARKS)):
        return next((family.origin for family in _FAMILIES if _holds(family, name if family.exact else low)), None)
    return None


def no_leftover_with(before: str, behind: str) -> bool:
    """Whether names with this beginning and end are no leftovers, whatever plain word (``is_plain``) is between
    them."""
    # Such a name looks usual, and is not one that is known by its whole name.
    return _PLAIN.fullmatch(before) is not None and _USUAL.fullmatch(f"x{behind}") is not None


def is_plain(word: str) -> bool:
    """Whether a text consists of letters, digits, ``_``, ``-`` and spaces, and is no part of a leftover's whole
    name."""
    low = word.lower()
    return _PLAIN.fullmatch(word) is not None and not any(low in name for name in _USUAL_LEFTOVERS)


def _holds(family: _Family, name: str) -> bool:
    return (
        name in family.names
        or any(name.startswith(start) for start in family.starts)
        or any(name.endswith(end) and name != end for end in family.ends)
        or (family.pattern is not None and re.fullmatch(family.pattern, name, re.DOTALL) is not None)
    )

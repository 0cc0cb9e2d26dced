"""The sentences of findings: what was found, where, and what to do about it."""

from __future__ import annotations

import shlex

from reconcile.core.changes import Code, Finding, Severity
from reconcile.core.rows import FileProblem, LocalFile

SEVERITIES = {
    Code.UNCLAIMED_FILE: Severity.INFO,
    Code.UNKNOWN_CHARACTER: Severity.WARNING,
    Code.AMBIGUOUS_CHARACTER: Severity.WARNING,
    Code.AMBIGUOUS_FIELD: Severity.WARNING,
    Code.MISSING_RECORD: Severity.WARNING,
    Code.MISSING_ASSET: Severity.ERROR,
    Code.CONTENT_CONFLICT: Severity.ERROR,
    Code.UNVERIFIABLE: Severity.WARNING,
    Code.ORPHAN_OBJECT: Severity.INFO,
    Code.OUTSIDE_ROOT: Severity.WARNING,
    Code.FOREIGN_URI: Severity.INFO,
    Code.UNSETTLED_FILE: Severity.INFO,
    Code.INCOMPLETE_FILE: Severity.WARNING,
    Code.ROOT_EMPTIED: Severity.ERROR,
    Code.UNREADABLE_FILE: Severity.ERROR,
    Code.SYMLINK_SKIPPED: Severity.INFO,
    Code.EMPTY_FILE: Severity.WARNING,
    Code.UNDECODABLE_NAME: Severity.WARNING,
    Code.TOO_LARGE: Severity.ERROR,
    Code.NAME_COLLISION: Severity.WARNING,
    Code.OTHER_SPELLING: Severity.INFO,
    Code.MALFORMED_RECORD: Severity.ERROR,
    Code.LOCAL_PATH: Severity.ERROR,
    Code.DAMAGED_OBJECT: Severity.ERROR,
    Code.UNREADABLE_OBJECT: Severity.ERROR,
    Code.WRONG_CONTENT_TYPE: Severity.ERROR,
    Code.URL_REFUSED: Severity.ERROR,
    Code.CHANGED_SINCE: Severity.WARNING,
    Code.RECORD_STAYS: Severity.INFO,
    Code.DATABASE_DIFFERS: Severity.INFO,
    Code.DATABASE_KEPT: Severity.WARNING,
    Code.LOCAL_PATH_ELSEWHERE: Severity.ERROR,
    Code.UNREADABLE_SCOPE: Severity.ERROR,
    Code.ENCODED_OBJECT: Severity.WARNING,
    Code.EMPTY_OBJECT: Severity.ERROR,
}

_FILE = {
    Code.UNCLAIMED_FILE: (
        "no rule takes this file, so it is not uploaded{why}",
        "add an [[asset]] rule for it, or an `ignore` pattern; `reconcile rules test PATH` tries them",
    ),
    Code.UNDECODABLE_NAME: (
        "the bucket cannot hold an object of this name{why}",
        "rename the file",
    ),
    Code.TOO_LARGE: (
        "is larger than an object can be{why}; the bucket takes at most 5 TiB",
        "make smaller files of it, or keep it elsewhere and name it in an `ignore` pattern",
    ),
    Code.NAME_COLLISION: (
        "would be the same file as {why} in the bucket, or on Windows, where case and Unicode form do not count",
        "rename one of the two",
    ),
    Code.UNVERIFIABLE: (
        "the object in the bucket has no crc32c, so it can be called neither equal nor different",
        "compare the two by hand, or rewrite the object so that it gets a checksum",
    ),
    Code.CONTENT_CONFLICT: (
        "the bucket holds other bytes under this name: {why}",
        "keep the local file with `reconcile apply --replace local`, or fetch the bucket's copy and keep that",
    ),
    Code.UNSETTLED_FILE: (
        "changed too recently, or while it was read; it may still be being written",
        "nothing to do: the next run takes it",
    ),
    Code.INCOMPLETE_FILE: (
        "surely is not whole{why}; it is not uploaded, and no record is pointed at it",
        'render it again; `incomplete = "take"` under [local] in the rules file takes such files as they are',
    ),
    Code.UNREADABLE_FILE: ("cannot be read{why}", "give the user who runs this permission to read it"),
    Code.SYMLINK_SKIPPED: (
        "is not taken{why}",
        "put the file itself below the root, or leave it",
    ),
    Code.EMPTY_FILE: ("has no bytes, and an empty file is never uploaded", "render it again, or remove it"),
    Code.ENCODED_OBJECT: (
        "is stored compressed: {why}",
        "nothing to do, if it is meant; to store a local file as it is: `reconcile apply --replace local`",
    ),
    Code.EMPTY_OBJECT: (
        "is an empty object (0 bytes), which is no asset: no record is pointed at it",
        "bring the file back or render it again, then run `reconcile apply --replace local`",
    ),
}


_WHOLE_WHY = (Code.CONTENT_CONFLICT, Code.NAME_COLLISION, Code.ENCODED_OBJECT)
_RANKS = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


def worst_first(finding: Finding) -> tuple[int, str, str, str]:
    """Sorts findings for people: the worst first, those of one code together."""
    return (_RANKS[finding.severity], finding.code.value, finding.subject, finding.message)


def about_file(code: Code, subject: str, char_id: str | None, why: str = "") -> Finding:
    """A finding about one local file or its object."""
    message, hint = _FILE[code]
    detail = why if code in _WHOLE_WHY else f": {why}" if why else ""
    return Finding(code, SEVERITIES[code], subject, char_id, message.format(why=detail), hint)


def unclaimed_folder(subject: str, why: str) -> Finding:
    """A folder that cannot be read, and in which no rule could take anything."""
    _, hint = _FILE[Code.UNCLAIMED_FILE]
    message = f"no rule takes anything in this folder, so nothing depends on it: {why}"
    return _found(Code.UNCLAIMED_FILE, subject, None, message, hint)


def about_unread(folder: LocalFile) -> Finding:
    """A folder that was not read."""
    problem = folder.problem or FileProblem.UNREADABLE
    if problem is FileProblem.UNCLAIMED:
        return unclaimed_folder(folder.path, folder.detail)
    return about_file(Code(problem.value), folder.path, None, folder.detail)


def _found(code: Code, subject: str, char_id: str | None, message: str, hint: str) -> Finding:
    return Finding(code, SEVERITIES[code], subject, char_id, message, hint)


def root_emptied(root: str, held: int, *, is_gone: bool) -> Finding:
    """The local root held files, and holds none."""
    found = "is gone" if is_gone else "is there and holds no file"
    files = "1 file" if held == 1 else f"{held:,} files"
    return _found(
        Code.ROOT_EMPTIED,
        root,
        None,
        f"{found}; when it was last seen it held {files}, so such a run is not a good one",
        "mount its drive, or bring its files back with `reconcile restore`; --allow-empty says that it is meant",
    )


def unknown_character(subject: str, guess: str | None) -> Finding:
    """No known character's id is in the path, and no record names the file."""
    who = f"{guess!r} is no known character" if guess else "its path names no character, and no record names the file"
    return _found(
        Code.UNKNOWN_CHARACTER,
        subject,
        None,
        f"{who}; it is uploaded, but no record is touched",
        "register the character, or name the file in its record",
    )


def other_spelling(path: str, uri: str, char_id: str | None) -> Finding:
    """A file whose object has the same name in another Unicode form."""
    return _found(
        Code.OTHER_SPELLING,
        path,
        char_id,
        f"and {uri} are one asset: their names differ only in how accents are encoded (composed or decomposed)",
        "nothing to do: the object keeps its name, and records use it",
    )


def ambiguous_character(subject: str, characters: tuple[str, ...]) -> Finding:
    """Two known characters could own the path."""
    return _found(
        Code.AMBIGUOUS_CHARACTER,
        subject,
        None,
        f"could belong to {' or '.join(characters)}; no field is filled with it",
        "rename it; or name it in the right record yourself, which is then kept right",
    )


def orphan_object(uri: str, char_id: str | None) -> Finding:
    """In the bucket, without a local file, wanted by no record and no field."""
    return _found(
        Code.ORPHAN_OBJECT,
        uri,
        char_id,
        "is in the bucket only, and no record names it",
        "nothing is deleted; name it in a record if it is wanted",
    )


def ambiguous_field(document: str, char_id: str, place: str, keys: tuple[str, ...]) -> Finding:
    """Several files could fill one field and nothing chooses."""
    return _found(
        Code.AMBIGUOUS_FIELD,
        document,
        char_id,
        f"{place} is empty and {len(keys)} files claim it: {', '.join(keys)}",
        'name one in the record, or set `many = "newest"` or `many = "list"` in the rule',
    )


def missing_record(document: str, char_id: str, why: str) -> Finding:
    """A character has assets, but no record."""
    return _found(
        Code.MISSING_RECORD,
        document,
        char_id,
        f"there is no such record; {why}",
        "register the character; its assets are uploaded meanwhile",
    )


def missing_asset(document: str, char_id: str, place: str, text: str) -> Finding:
    """A record names a file that is nowhere."""
    return _found(
        Code.MISSING_ASSET,
        document,
        char_id,
        f'{place} names "{text}", which is neither below the local root nor in the bucket',
        "bring the file back or render it again; the field is left as it is",
    )


def never_looked_at(document: str, char_id: str, place: str, text: str, origin: str) -> Finding:
    """A record names what a system or a program leaves beside files."""
    return _found(
        Code.MISSING_ASSET,
        document,
        char_id,
        f'{place} names "{text}", which is no media and never looked at: {origin}',
        "name the media file itself, or take the field out of the record; it is left as it is",
    )


def never_uploaded(document: str, char_id: str, place: str, text: str) -> Finding:
    """A record names a file that is there, but that is not uploaded, and the bucket does not have it."""
    return _found(
        Code.MISSING_ASSET,
        document,
        char_id,
        f'{place} names "{text}", which is not in the bucket, and whose file is not uploaded',
        "see what is found about the file itself; the field is left as it is",
    )


def left_out(document: str, char_id: str, text: str) -> Finding:
    """A new record is made without a local path that the local database holds outside the fields of its maps."""
    return _found(
        Code.MISSING_ASSET,
        document,
        char_id,
        f'the local database names "{text}", for which no asset field gives a URI; the new record is made without it',
        "name the file in an asset's field, or add it to the record by hand",
    )


def outside_root(document: str, char_id: str, place: str, text: str) -> Finding:
    """A record names a path that no known root holds."""
    return _found(
        Code.OUTSIDE_ROOT,
        document,
        char_id,
        f'{place} names "{text}", which is below no known root; it is never read and never uploaded',
        "if it is an old place of the output folder, add it to `previous_roots`",
    )


def foreign_uri(document: str, char_id: str, place: str, text: str) -> Finding:
    """A record names something in a place that is not ours."""
    return _found(
        Code.FOREIGN_URI,
        document,
        char_id,
        f'{place} names "{text}", which is not below this bucket and prefix; it is left alone',
        "nothing to do, if it is meant",
    )


def malformed_record(document: str, char_id: str, why: str) -> Finding:
    """A record is not shaped like one."""
    return _found(
        Code.MALFORMED_RECORD,
        document,
        char_id,
        f"{why}; paths in what is sound are still put right, nothing is added",
        "mend the record by hand",
    )


def database_differs(document: str, char_id: str, place: str, key: str, theirs: str) -> Finding:
    """The local database names another file than the record for the same field."""
    return _found(
        Code.DATABASE_DIFFERS,
        document,
        char_id,
        f"{place} names {key}, and the local database names {theirs} for it; the record counts",
        "nothing to do, if it is meant; else write the right one into the record",
    )


def database_kept(path: str, database: str) -> Finding:
    """A version of the local database that somebody wrote while it was being rewritten."""
    return _found(
        Code.DATABASE_KEPT,
        path,
        None,
        f"somebody wrote this version of {database} while a run rewrote that file, and wrote another one after it",
        "compare the two, carry over what is missing, and remove this one",
    )


def unreadable_scope(subject: str, char_id: str | None, why: str) -> Finding:
    """A part of the bucket, or a record, that these credentials may not read."""
    return _found(
        Code.UNREADABLE_SCOPE,
        subject,
        char_id,
        f"may not be read, so what it holds is unknown, and nothing that depends on it is planned: {why}",
        "give the account that runs this permission to read it, then plan again",
    )


def changed_since(document: str, char_id: str, place: str) -> Finding:
    """Somebody changed a field after the run that is to be undone."""
    return _found(
        Code.CHANGED_SINCE,
        document,
        char_id,
        f"{place} was changed since that run; it is left as it is",
        "put it back by hand, if that is meant; `reconcile history --run ID` has the value before",
    )


def record_stays(document: str) -> Finding:
    """A record that the run to be undone had made is not deleted."""
    return _found(
        Code.RECORD_STAYS,
        document,
        document.rpartition("/")[2],
        "that run made this record; nothing is ever deleted, so it stays",
        "delete it by hand, if that is meant",
    )


def local_path(document: str, char_id: str, place: str, text: str) -> Finding:
    """A record still holds what only this machine, or no machine, can read."""
    return _found(
        Code.LOCAL_PATH,
        document,
        char_id,
        f'{place} holds "{text}", which is no URI that can be read from the cloud',
        "`reconcile apply` puts the URI there, if its file is somewhere; `reconcile plan` says what it found",
    )


def local_path_elsewhere(document: str, char_id: str, place: str, text: str) -> Finding:
    """A record holds a local path of ours as a name: of a field, or of one of its maps."""
    return _found(
        Code.LOCAL_PATH_ELSEWHERE,
        document,
        char_id,
        f'{place} has the local path "{text}" for its name, which cannot be put right here',
        "rename it by hand, or have the workflow that writes it use another name",
    )


def lost_object(document: str, char_id: str, place: str, uri: str) -> Finding:
    """A record names an object that is not in the bucket."""
    return _found(
        Code.MISSING_ASSET,
        document,
        char_id,
        f'{place} names "{uri}", which is not in the bucket',
        "`reconcile apply` uploads it where the file is there; else bring the file back or render it again",
    )


def other_bytes(document: str, char_id: str, place: str, uri: str, why: str, hint: str) -> Finding:
    """A record names an object whose bytes are not those that are meant."""
    return _found(
        Code.CONTENT_CONFLICT, document, char_id, f'{place} names "{uri}", which holds other bytes: {why}', hint
    )


def unverified(document: str, char_id: str, place: str, uri: str) -> Finding:
    """A record names an object without a checksum to compare."""
    return _found(
        Code.UNVERIFIABLE,
        document,
        char_id,
        f'{place} names "{uri}", which has no crc32c, so nothing says which bytes it should hold',
        "rewrite the object so that it gets a checksum",
    )


def uncompared(document: str, char_id: str, place: str, uri: str, code: Code, detail: str) -> Finding:
    """A record names an object whose local file cannot be compared with it now."""
    why = f": {detail}" if detail else ""
    return _found(
        code,
        document,
        char_id,
        f'{place} names "{uri}", whose local file was not compared{why}',
        "prove it again once the file can be read; --cloud-only does without it",
    )


def damaged_object(document: str, char_id: str, place: str, uri: str, why: str) -> Finding:
    """The bytes that came from the bucket are not those of the object's own checksum."""
    return _found(
        Code.DAMAGED_OBJECT,
        document,
        char_id,
        f'{place} names "{uri}", whose bytes as they were read are not those of its checksum: {why}',
        "run it again; if it stays so, write the object anew with `gcloud storage cp FILE URI`",
    )


def unreadable_object(document: str, char_id: str, place: str, uri: str, why: str) -> Finding:
    """The store did not give an object, so nothing is known about it."""
    return _found(
        Code.UNREADABLE_OBJECT,
        document,
        char_id,
        f'{place} names "{uri}", which could not be read: {why}',
        "mend the cause and prove it again",
    )


def encoded_object(document: str, char_id: str, place: str, uri: str, why: str) -> Finding:
    """A record names an object that is stored compressed, and its content is not proved."""
    return _found(
        Code.ENCODED_OBJECT,
        document,
        char_id,
        f'{place} names "{uri}", which is stored compressed: {why}',
        "prove it again with --deep, which unpacks it; `reconcile apply --replace local` stores the file as it is",
    )


def empty_object(document: str, char_id: str, place: str, uri: str) -> Finding:
    """A record names an object that holds nothing."""
    return _found(
        Code.EMPTY_OBJECT,
        document,
        char_id,
        f'{place} names "{uri}", which holds nothing',
        "bring the file back or render it again, then run `reconcile apply --replace local`",
    )


def wrong_content_type(document: str, char_id: str, place: str, uri: str, found: str, right: str) -> Finding:
    """A signed URL serves an object as something else than it is."""
    return _found(
        Code.WRONG_CONTENT_TYPE,
        document,
        char_id,
        f'{place} names "{uri}", which is served as "{found}" and should be "{right}"',
        f"gcloud storage objects update URI --content-type={right}",
    )


def url_refused(document: str, char_id: str, place: str, uri: str, why: str) -> Finding:
    """A signed URL of an object does not answer with its bytes."""
    return _found(
        Code.URL_REFUSED,
        document,
        char_id,
        f'{place} names "{uri}", whose signed URL does not give it: {why}',
        "check that the signing account may read the bucket (roles/storage.objectViewer)",
    )


def left_alone(file: LocalFile, char_id: str | None, size: int) -> Finding:
    """A local file stands where an object of other bytes would be brought back to."""
    code = Code.CONTENT_CONFLICT if file.problem in (None, FileProblem.EMPTY) else Code(file.problem.value)
    why = f"it has {file.size} bytes" if code is Code.CONTENT_CONFLICT else file.detail
    return _found(
        code,
        file.path,
        char_id,
        f"stands where the bucket has other bytes or may have them ({size} bytes there): {why}; it was left alone",
        "to have the bucket's copy, move the file away and restore again",
    )


def no_place(uri: str, char_id: str | None, why: str) -> Finding:
    """An object cannot be a file on this system."""
    return _found(
        Code.UNDECODABLE_NAME,
        uri,
        char_id,
        f"cannot be made a file here: {why}",
        "restore it on another system, or fetch it by hand under another name",
    )


def place_taken(uri: str, char_id: str | None, path: str, other: str) -> Finding:
    """An object cannot be a file here beside what is there, or beside one that is wanted more."""
    return _found(
        Code.NAME_COLLISION,
        uri,
        char_id,
        f"its file would be {path}, which cannot stand beside {other}; it was not restored",
        f"fetch it by hand under another name: gcloud storage cp {shlex.quote(uri)} FILE",
    )


def hidden_place(uri: str, char_id: str | None, path: str, folder: str) -> Finding:
    """An object's local place is below a folder that was not read, so whether its file is there is unknown."""
    return _found(
        Code.UNREADABLE_FILE,
        uri,
        char_id,
        f"its file would be {path}, below {folder}, which was not read; it was not restored",
        "put a folder that can be read in the place of the link or of the folder that cannot, then restore again",
    )


def record_gone(document: str, char_id: str) -> Finding:
    """Somebody deleted a record after the run that is to be undone."""
    return _found(
        Code.CHANGED_SINCE,
        document,
        char_id,
        "the record is gone since that run; it is not made again",
        "nothing to do, if it was meant",
    )


def lost_since(document: str, char_id: str, place: str, text: str) -> Finding:
    """What a field held before the run that is to be undone is not in the bucket any more."""
    return _found(
        Code.MISSING_ASSET,
        document,
        char_id,
        f'{place} held "{text}", which is not in the bucket any more, or is empty there; the field is left as it is',
        "put the object back first, or set the field by hand",
    )

"""The table of findings: one row for each code, from which findings are made and docs/findings.md is written."""

from __future__ import annotations

from typing import NamedTuple

from reconcile.core.changes import Code, Finding, Severity


class Kind(NamedTuple):
    """A row of the table. ``title`` is the heading for several such findings. ``message`` and ``hint`` are templates
    with values in braces; ``why`` is appended to a message that does not place it. In the documentation, ``more``
    continues the title."""

    severity: Severity
    title: str
    message: str
    hint: str
    more: str = ""


class Form(NamedTuple):
    """Another message for a code, and another hint if the row's does not fit either."""

    code: Code
    message: str
    hint: str | None = None


FINDINGS: dict[Code, Kind] = {
    Code.UNCLAIMED_FILE: Kind(
        Severity.INFO,
        "files that no rule matches",
        "no rule matches this file, so it is not uploaded",
        "add an [[asset]] rule for it, or an `ignore` pattern; `reconcile rules test PATH` tries them",
        ", and folders that cannot be read, in which no rule could match anything",
    ),
    Code.UNKNOWN_CHARACTER: Kind(
        Severity.WARNING,
        "files of an unknown character",
        "its path names no character, and no record names the file; it is uploaded, but no record is touched",
        "register the character, or name the file in its record",
        "; they are uploaded, and no record is touched",
    ),
    Code.AMBIGUOUS_CHARACTER: Kind(
        Severity.WARNING,
        "files that could belong to several characters",
        "could belong to {characters}; no field is filled with it",
        "rename it, or name it in the right record yourself, which is then kept up to date",
        "; no field is filled with them",
    ),
    Code.AMBIGUOUS_FIELD: Kind(
        Severity.WARNING,
        "fields that several files claim",
        "{place} is empty and {count} files claim it: {keys}",
        'name one in the record, or set `many = "newest"` or `many = "list"` in the rule',
    ),
    Code.MISSING_RECORD: Kind(
        Severity.WARNING,
        "characters without a record",
        "there is no such record; {why}",
        "register the character; its assets are uploaded meanwhile",
        ", and the local database cannot provide one: it has no entry, or an id or fields that the store would refuse",
    ),
    Code.MISSING_ASSET: Kind(
        Severity.ERROR,
        "assets that a record names and that are nowhere",
        '{place} names "{text}", which is neither below the local root nor in the bucket',
        "bring the file back or render it again; the field is left as it is",
        ", anywhere in it, or whose file is never uploaded (no rule, empty); or a new record is made without its path",
    ),
    Code.CONTENT_CONFLICT: Kind(
        Severity.ERROR,
        "files that differ from the bucket",
        "the bucket holds an object of this name with different content",
        "`reconcile explain PATH` shows both sides, and the commands that keep one or the other",
    ),
    Code.ENCODED_OBJECT: Kind(
        Severity.WARNING,
        "objects that are stored compressed",
        "is stored compressed",
        "nothing to do if this is intended; to store a local file as it is: `reconcile apply --replace local`",
        " (`contentEncoding`): size and checksum are those of the packed bytes, so a listing cannot tell whether the"
        " object holds the local file; `verify --deep` compares the content",
    ),
    Code.EMPTY_OBJECT: Kind(
        Severity.ERROR,
        "objects that are empty",
        "is an empty object (0 bytes), which is not an asset: no record is pointed at it",
        "bring the file back or render it again, then run `reconcile apply --replace local`",
        " (0 bytes) although a record or a rule expects an asset; they are not in step, not restored, and not proved",
    ),
    Code.UNVERIFIABLE: Kind(
        Severity.WARNING,
        "objects that cannot be compared",
        "the object in the bucket has no crc32c, so it can be called neither equal nor different",
        "compare the two by hand, or rewrite the object so that it gets a checksum",
        ": they have no crc32c",
    ),
    Code.ORPHAN_OBJECT: Kind(
        Severity.INFO,
        "objects that no record names",
        "is in the bucket only, and no record names it",
        "nothing is deleted; name it in a record if it is wanted",
        ", and that have no local file",
    ),
    Code.OUTSIDE_ROOT: Kind(
        Severity.WARNING,
        "paths outside every known root",
        '{place} names "{text}", which is below no known root; it is never read and never uploaded',
        "if the output folder used to be there, add that folder to `previous_roots`",
        " that a record names; they are never read and never uploaded",
    ),
    Code.FOREIGN_URI: Kind(
        Severity.INFO,
        "addresses that are not ours",
        '{place} names "{text}", which is not below this bucket and prefix; it is left alone',
        "nothing to do if it is intended",
        ": another bucket, another prefix or a web address in a record; it is left alone",
    ),
    Code.UNSETTLED_FILE: Kind(
        Severity.INFO,
        "files that are still changing",
        "changed too recently, or while it was read; it may still be being written",
        "nothing to do: the next run takes it",
        ": they have not looked the same (size, times, file id) for `settle` seconds of this program's own clock, or"
        " changed while they were read; on Windows also if a program has them open for writing",
    ),
    Code.INCOMPLETE_FILE: Kind(
        Severity.WARNING,
        "incomplete media",
        "is certainly incomplete, so it is not uploaded, and no record is pointed at it",
        'render it again; `incomplete = "take"` under [local] in the rules file takes such files as they are',
        ": an MP4 without `moov`, a PNG without `IEND`, fewer bytes than the header declares ([what each format"
        " shows](watching.md#when-a-file-is-taken)); such a run does not count as a good one",
    ),
    Code.ROOT_EMPTIED: Kind(
        Severity.ERROR,
        "a local root that lost its files",
        "exists but has no file that a rule matches; when it was last seen it had {held:,}, so this run does not"
        " count as a good one",
        "mount its drive, or bring its files back with `reconcile restore`; or confirm it with --allow-empty",
        ": it is gone, or holds no file that a rule matches; a drive may be missing. Nothing is deleted, but the run"
        " does not count as a good one, and `restore` makes no file in an empty root. `--allow-empty` (`plan`, `apply`,"
        " `run`, `watch`, `restore`) confirms that this is intended; after an `apply` it is not reported again",
    ),
    Code.UNREADABLE_FILE: Kind(
        Severity.ERROR,
        "files that cannot be read",
        "cannot be read",
        "give the user who runs this permission to read it; move what is not an ordinary file out of the local root",
        ", and folders; what depends on them is neither planned nor called in step",
    ),
    Code.UNREADABLE_SCOPE: Kind(
        Severity.ERROR,
        "parts of a store that may not be read",
        "may not be read, so what it holds is unknown, and nothing that depends on it is planned",
        "give the account that runs this permission to read it, then plan again",
        ": a part of the bucket, or a record; what depends on it is neither planned nor called in step, and the message"
        " names the role to grant",
    ),
    Code.SYMLINK_SKIPPED: Kind(
        Severity.INFO,
        "symbolic links, which are not followed",
        "is not uploaded",
        "put the file itself below the root, or leave it",
    ),
    Code.EMPTY_FILE: Kind(
        Severity.WARNING,
        "empty files",
        "has no bytes, and an empty file is never uploaded",
        "render it again, or remove it",
        "; they are never uploaded",
    ),
    Code.TOO_LARGE: Kind(
        Severity.ERROR,
        "files that are too large for the bucket",
        "is larger than the 5 TiB that an object can have",
        "split it into smaller files, or keep it elsewhere and name it in an `ignore` pattern",
        " (5 TiB at most); they are not hashed",
    ),
    Code.UNDECODABLE_NAME: Kind(
        Severity.WARNING,
        "names that the bucket cannot hold",
        "the bucket cannot hold an object of this name",
        "rename the file",
        " or that are not valid text; `restore`: an object whose name cannot be a file here",
    ),
    Code.NAME_COLLISION: Kind(
        Severity.WARNING,
        "names that are the same on Windows or in the bucket",
        "would be the same file as {why} in the bucket, or on Windows, where case and Unicode form do not count",
        "rename one of the two",
        ": they differ only in case or Unicode form; neither is uploaded anew, and `restore` makes a file of only one",
    ),
    Code.OTHER_SPELLING: Kind(
        Severity.INFO,
        "files whose object spells the same name in another Unicode form",
        "and {uri} are one asset: their names differ only in how accents are encoded (composed or decomposed)",
        "nothing to do: the object keeps its name, and records use it",
        "; a Mac decomposes accents; they are one asset",
    ),
    Code.MALFORMED_RECORD: Kind(
        Severity.ERROR,
        "malformed records",
        "{why}; paths in its sound parts are still corrected, but nothing is added",
        "correct the record by hand",
        ", or ones with values that no record can hold (NaN, an integer of more than 64 bits); also an entry of the"
        " local database that would become one",
    ),
    Code.DATABASE_KEPT: Kind(
        Severity.WARNING,
        "versions of the local database that were kept beside it",
        "somebody wrote this version of {database} while a run rewrote that file, and wrote another one after it",
        "compare the two, carry over what is missing, and remove this one",
    ),
    Code.LOCAL_PATH_ELSEWHERE: Kind(
        Severity.ERROR,
        "local paths that cannot be corrected automatically",
        '{place} has the local path "{text}" as its name, which cannot be corrected automatically',
        "rename it by hand, or have the workflow that writes it use another name",
        ": as the name of a field or the key of a map, in a longer text (a sentence, JSON, several paths), encoded, or"
        " as the root folder itself; such a text is never rewritten, no proof holds with it, and no new record gets it",
    ),
    Code.DATABASE_DIFFERS: Kind(
        Severity.INFO,
        "fields for which the local database names another file",
        "{place} names {key}, and the local database names {theirs} for it; the record takes precedence",
        "nothing to do if it is intended; else write the right one into the record",
    ),
    Code.FOREIGN_INDEX: Kind(
        Severity.WARNING,
        "records whose index has values that are not asset types",
        "{place} has values that are not asset types of the rules, so it is left alone",
        "give `index` in [records] the name of a field that nobody else uses, or take the field out of the record",
    ),
    Code.CHANGED_SINCE: Kind(
        Severity.WARNING,
        "fields that were changed since",
        "{place} was changed since that run; it is left as it is",
        "put it back by hand if that is intended; `reconcile history --run ID` has the value before",
        " the run that `undo` undoes",
    ),
    Code.RECORD_STAYS: Kind(
        Severity.INFO,
        "records that stay",
        "that run created this record; nothing is ever deleted, so it stays",
        "delete it by hand if that is intended",
        ": made by the run that `undo` undoes, and nothing is deleted",
    ),
    Code.OBJECTS_STAY: Kind(
        Severity.INFO,
        "objects that stay",
        "that run wrote {what}; undo puts back record fields alone, so the bucket stays as it is",
        "`reconcile history --run ID` lists the objects with the generations before, which a bucket with object"
        " versioning still has",
        ": what the run that `undo` undoes wrote in the bucket",
    ),
    Code.LOCAL_PATH: Kind(
        Severity.ERROR,
        "references that no service in the cloud can read",
        '{place} holds "{text}", which is not a URI that can be read from the cloud',
        "`reconcile apply` puts the URI there if its file exists somewhere; `reconcile plan` says what it found",
        " (`verify`): local paths",
    ),
    Code.DAMAGED_OBJECT: Kind(
        Severity.ERROR,
        "objects whose content does not match their checksum",
        '{place} names "{uri}", whose content as it was read does not match its checksum',
        "run it again; if it stays so, write the object anew with `gcloud storage cp FILE URI`",
        " (`verify --deep`, `verify --urls`)",
    ),
    Code.UNREADABLE_OBJECT: Kind(
        Severity.ERROR,
        "objects that could not be read",
        '{place} names "{uri}", which could not be read',
        "remove the cause and verify again",
        " (`verify`); nothing is known about them",
    ),
    Code.WRONG_CONTENT_TYPE: Kind(
        Severity.ERROR,
        "objects that are served as another type",
        '{place} names "{uri}", which is served as "{found}" and should be "{right}"',
        "set it with `gcloud storage objects update URI --content-type={right}`",
        " than their file name says (`plan`, `verify --urls`); a generic type, or none, is corrected",
    ),
    Code.URL_REFUSED: Kind(
        Severity.ERROR,
        "objects whose signed URL does not answer",
        '{place} names "{uri}", whose signed URL does not return it',
        "check that the signing account may read the bucket (roles/storage.objectViewer)",
        " (`verify --urls`)",
    ),
    Code.WAIVER_EXPIRED: Kind(
        Severity.WARNING,
        "expired waivers",
        "the waiver of its `{code}` expired after {until}",
        "correct what it accepted, or give it another day (`until`) in the rules file, or remove it",
    ),
}

UNCLAIMED_FOLDER = Form(Code.UNCLAIMED_FILE, "no rule can match anything in this folder, so nothing depends on it")
UNKNOWN_NAME = Form(
    Code.UNKNOWN_CHARACTER, "{guess!r} is not a known character; it is uploaded, but no record is touched"
)
ROOT_GONE = Form(
    Code.ROOT_EMPTIED,
    "is gone; when it was last seen it had {held:,} files, so this run does not count as a good one",
)
NEVER_LOOKED_AT = Form(
    Code.MISSING_ASSET,
    '{place} names "{text}", which is not media and is never considered',
    "name the media file itself, or take the field out of the record; it is left as it is",
)
NEVER_UPLOADED = Form(
    Code.MISSING_ASSET,
    '{place} names "{text}", which is not in the bucket, and whose file is not uploaded',
    "see the findings about the file itself; the field is left as it is",
)
BAD_ID = Form(
    Code.MISSING_RECORD,
    FINDINGS[Code.MISSING_RECORD].message,
    "give the character another id in the local database; its assets are uploaded meanwhile",
)
LEFT_OUT = Form(
    Code.MISSING_ASSET,
    'the local database names "{text}", for which no asset field provides a URI; the new record is made without it',
    "name the file in an asset's field, or add it to the record by hand",
)
PATH_WITHIN = Form(
    Code.LOCAL_PATH_ELSEWHERE,
    '{place} holds {held}: "{text}"; nothing in the cloud can read it, and such a text is never rewritten',
    "write the gs:// URI there yourself or take the path out, and have the workflow that writes it do the same",
)
LEFT_OUT_WITHIN = Form(
    Code.LOCAL_PATH_ELSEWHERE,
    'the local database holds {held}: "{text}"; the new record is made without this text',
    "write the text without the path into the local database or the record, and change the workflow that writes it",
)
LOST_OBJECT = Form(
    Code.MISSING_ASSET,
    '{place} names "{uri}", which is not in the bucket',
    "`reconcile apply` uploads it if the file is there; else bring the file back or render it again",
)
LOST_SINCE = Form(
    Code.MISSING_ASSET,
    '{place} held "{text}", which is not in the bucket any more, or is empty there; the field is left as it is',
    "put the object back first, or set the field by hand",
)
UNLISTED_SINCE = Form(
    Code.MISSING_ASSET,
    '{place} held "{text}", and the record names no object of that type any more that is in the bucket',
    "`reconcile apply` puts the type there once an object of it is named",
)
RECORD_GONE = Form(
    Code.CHANGED_SINCE, "the record is gone since that run; it is not made again", "nothing to do, if that was intended"
)
WRONG_TYPE = Form(Code.WRONG_CONTENT_TYPE, 'has the content type "{found}" and should have "{right}"')
OTHER_THAN_LOCAL = Form(
    Code.CONTENT_CONFLICT,
    '{place} names "{uri}", which holds different content',
    "`reconcile plan` says what is done about it",
)
OTHER_THAN_AGREED = Form(
    Code.CONTENT_CONFLICT,
    '{place} names "{uri}", which holds different content',
    "somebody else wrote it; if that is intended, `reconcile restore` fetches it, and it counts as right from then on",
)
WITHOUT_CHECKSUM = Form(
    Code.UNVERIFIABLE,
    '{place} names "{uri}", which has no crc32c, so nothing says which content it should have',
    "rewrite the object so that it gets a checksum",
)
UNCOMPARED = Form(
    Code.UNREADABLE_FILE,
    '{place} names "{uri}", whose local file was not compared',
    "verify again once the file can be read; --cloud-only does without it",
)
NAMED_ENCODED = Form(
    Code.ENCODED_OBJECT,
    '{place} names "{uri}", which is stored compressed',
    "verify again with --deep, which unpacks it; `reconcile apply --replace local` stores the file as it is",
)
NAMED_EMPTY = Form(Code.EMPTY_OBJECT, '{place} names "{uri}", which is empty')


def make(what: Code | Form, subject: str, char_id: str | None, /, *, why: str = "", **values: object) -> Finding:
    """Returns the finding of a row about a path, a URI or a document. Values are inserted into the templates literally:
    nothing in them is read as a template."""
    form = what if isinstance(what, Form) else Form(what, FINDINGS[what].message)
    row, message = FINDINGS[form.code], form.message
    template = message if "{why}" in message or not why else f"{message}: {{why}}"
    said, hint = (each.format(why=why, **values) for each in (template, form.hint or row.hint))
    return Finding(form.code, row.severity, subject, char_id, said, hint)


def worst_first(finding: Finding) -> tuple[int, str, str, str]:
    """Returns the sort key of findings for people: the most severe first, those of one code together."""
    return (finding.severity.rank, finding.code.value, finding.subject, finding.message)

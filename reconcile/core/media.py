"""Content types by file extension: a fixed table, because machines' registries differ and publishing depends on
them."""

from __future__ import annotations

DEFAULT = "application/octet-stream"

_ENDINGS = {  # types with their endings; "*" stands for the ending
    # images
    "image/*": "apng emf gif heic jxl ktx ktx2 png qoi webp wmf",
    "image/avif": "avif avifs",
    "image/bmp": "bmp dib",
    "image/heif": "heif hif",
    "image/jp2": "jp2 jpg2",
    "image/jpeg": "jpg jpeg jpe jfif jif pjpeg pjp",
    "image/jpx": "jpf jpx",
    "image/openraster": "ora",
    "image/svg+xml": "svg",
    "image/tiff": "tif tiff",
    "image/vnd-ms.dds": "dds",
    "image/vnd.adobe.photoshop": "psd psb",
    "image/vnd.djvu": "djvu djv",
    "image/vnd.microsoft.icon": "ico cur",
    "image/vnd.radiance": "hdr hdri rgbe",
    "image/x-adobe-dng": "dng",
    "image/x-canon-*": "cr2 cr3",
    "image/x-*": "dpx exr pcx tga xcf",
    "image/x-fuji-raf": "raf",
    "image/x-nikon-nef": "nef",
    "image/x-olympus-orf": "orf",
    "image/x-panasonic-rw2": "rw2",
    "image/x-portable-anymap": "pnm pam",
    "image/x-portable-bitmap": "pbm",
    "image/x-portable-floatmap": "pfm",
    "image/x-portable-graymap": "pgm",
    "image/x-portable-pixmap": "ppm",
    "image/x-sony-arw": "arw",
    "image/x-xbitmap": "xbm",
    "image/x-xpixmap": "xpm",
    # audio
    "audio/aac": "aac adts",
    "audio/*": "ac3 amr flac",
    "audio/aiff": "aiff aif aifc",
    "audio/basic": "au snd",
    "audio/eac3": "eac3 ec3",
    "audio/midi": "mid midi kar rmi",
    "audio/mp4": "m4a m4b m4p m4r",
    "audio/mpeg": "mp3 mp2 mp1 mpga m2a m3a",
    "audio/mpegurl": "m3u",
    "audio/ogg": "ogg oga opus spx",
    "audio/vnd.dts": "dts",
    "audio/vnd.rn-realaudio": "ra",
    "audio/wav": "wav wave bwf",
    "audio/webm": "weba",
    "audio/x-*": "ape caf dsf",
    "audio/x-matroska": "mka",
    "audio/x-ms-wma": "wma",
    "audio/x-scpls": "pls",
    "audio/x-wavpack": "wv",
    # video
    "application/dash+xml": "mpd",
    "application/mxf": "mxf",
    "application/ogg": "ogx",
    "application/vnd.apple.mpegurl": "m3u8",
    "application/vnd.rn-realmedia": "rm rmvb",
    "video/3gpp": "3gp 3gpp",
    "video/3gpp2": "3g2 3gp2",
    "video/iso.segment": "m4s",
    "video/mp2t": "ts m2ts m2t mts",
    "video/mp4": "mp4 m4v mp4v mpg4 f4v",
    "video/mpeg": "mpg mpeg mpe m1v m2v mpv vob",
    "video/ogg": "ogv ogm",
    "video/quicktime": "mov qt",
    "video/webm": "webm",
    "video/x-*": "dv flv mng",
    "video/x-matroska": "mkv mk3d mks",
    "video/x-motion-jpeg": "mjpeg mjpg",
    "video/x-ms-asf": "asf",
    "video/x-ms-wmv": "wmv",
    "video/x-msvideo": "avi",
    # subtitles and lyrics
    "application/ttml+xml": "ttml dfxp",
    "application/x-sami": "smi sami",
    "application/x-subrip": "srt",
    "text/vtt": "vtt",
    "text/x-scc": "scc",
    "text/x-ssa": "ass ssa",
    # 3D: the model types are IANA's (https://www.iana.org/assignments/media-types). Three formats have none there: .usd
    # and .usdc get WebKit's name for OpenUSD, .fbx the one in the web's mime-type lists, and .3ds that of freedesktop's
    # shared-mime-info, which is also the source for .exr, .blend and .hdr.
    "application/vnd.autodesk.fbx": "fbx",
    "image/x-3ds": "3ds",
    "model/usd": "usd usdc",
    "model/vrml": "wrl vrml",
    "model/x3d-vrml": "x3dv",
    "model/*": "3mf mtl obj ply stl",
    "model/gltf+json": "gltf",
    "model/gltf-binary": "glb vrm",
    "model/step": "step stp",
    "model/vnd.collada+xml": "dae",
    "model/vnd.usda": "usda",
    "model/vnd.usdz+zip": "usdz",
    "model/x3d+xml": "x3d",
    # fonts
    "application/vnd.ms-fontobject": "eot",
    "font/collection": "ttc otc",
    "font/*": "otf ttf woff woff2",
    # documents, pages and data
    "application/epub+zip": "epub",
    "application/geo+json": "geojson",
    "application/json": "json map otio",
    "application/*": "jsonl pdf rtf toml wasm",
    "application/manifest+json": "webmanifest",
    "application/msword": "doc dot",
    "application/postscript": "ps eps ai",
    "application/rdf+xml": "xmp rdf",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt pps",
    "application/vnd.oasis.opendocument.graphics": "odg",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.sqlite3": "sqlite sqlite3",
    "application/x-ndjson": "ndjson",
    "application/xhtml+xml": "xhtml xht",
    "application/xml": "xml xsl fcpxml mlt kdenlive",
    "application/yaml": "yaml yml",
    "text/calendar": "ics",
    "text/css; charset=utf-8": "css",
    "text/csv": "csv",
    "text/html; charset=utf-8": "html htm",
    "text/javascript; charset=utf-8": "js mjs",
    "text/markdown; charset=utf-8": "md markdown mkd",
    "text/plain; charset=utf-8": "txt text log lrc sbv edl cube ini conf rst bvh atlas",
    "text/tab-separated-values": "tsv",
    "text/vcard": "vcf",
    # projects of programs
    "application/vnd.adobe.aftereffects.project": "aep",
    "application/x-blender": "blend",
    "application/x-indesign": "indd",
    "application/x-krita": "kra krz",
    # archives
    "application/gzip": "gz tgz svgz als",
    "application/vnd.comicbook+zip": "cbz",
    "application/vnd.comicbook-rar": "cbr",
    "application/vnd.rar": "rar",
    "application/x-7z-compressed": "7z",
    "application/x-bzip2": "bz2 tbz2",
    "application/x-tar": "tar",
    "application/x-xz": "xz txz",
    "application/zip": "zip",
    "application/zip+dotlottie": "lottie",
    "application/zstd": "zst",
}
_TYPES = {ending: type_.replace("*", ending) for type_, endings in _ENDINGS.items() for ending in endings.split()}
_GENERIC = frozenset(("", "text/plain", DEFAULT, "binary/octet-stream"))
_DOMAINS = frozenset(("ai", "md", "ps"))


def content_type(key: str) -> str:
    return _TYPES.get(_ending(key), DEFAULT)


def wrong_type(key: str, found: str | None) -> str | None:
    """Returns the type that the object of this key should have, if it is known and ``found`` differs.

    Parameters do not count, nor does an ``x-`` that a type had before it was registered.
    """
    right = content_type(key)
    return None if right in (found, DEFAULT) or _essence(found) == _essence(right) else right


def is_generic(found: str | None) -> bool:
    """Whether a content type says nothing about the content: the default of a store or program that knows no better."""
    return _essence(found) in _GENERIC


def _essence(type_: str | None) -> str:
    return (type_ or "").partition(";")[0].strip().lower().replace("/x-", "/")


def names_a_file(text: str) -> bool:
    """Whether a text ends like a media file, and not like an address such as ``character.ai``."""
    return _ending(text) in _TYPES.keys() - _DOMAINS


def _ending(key: str) -> str:
    name = key.rpartition("/")[2]
    return name.rpartition(".")[2].lower() if "." in name else ""

"""What Firestore refuses, and how documents are cut, measured and looked up."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.cloud.firestore_v1.types import document as document_types
from google.cloud.firestore_v1.types import query as query_types
from google.protobuf.timestamp_pb2 import Timestamp

Doc = document_types.Document.pb()
Value = document_types.Value.pb()
Operator = query_types.StructuredQuery.FieldFilter.Operator

MAX_DOCUMENT = 1_048_576
MAX_VALUE = 1_048_487
MAX_PATH = 1_500
MAX_REQUEST = 10 * 1024 * 1024
RESERVED = re.compile(r"__.*__", re.DOTALL)


class Status(Exception):
    """A refusal, answered as a gRPC status; ``retry`` is the ``google.rpc.RetryInfo`` beside it, in seconds, ``reason``
    that of the ``google.rpc.ErrorInfo``."""

    def __init__(self, code: grpc.StatusCode, details: str, retry: float | None = None, reason: str = "") -> None:
        super().__init__(details)
        self.code = code
        self.details = details
        self.retry = retry
        self.reason = reason


def invalid(details: str) -> Status:
    return Status(grpc.StatusCode.INVALID_ARGUMENT, details)


@dataclass
class Stored:
    """A document as it stands; times in microseconds."""

    message: Any
    created: int
    updated: int


# -- rules ------------------------------------------------------------------------------------------------------


def check_name(name: str) -> None:
    path = name.split("/documents/", 1)[-1].split("/")
    if len(path) % 2 or not all(path):
        raise invalid(f"Document name {name!r} has an invalid number of segments.")
    for part in path:
        if part in {".", ".."} or RESERVED.fullmatch(part) or len(part.encode()) > 1500:
            raise invalid(f"Resource id {part[:40]!r} is invalid.")


def check_precondition(write: Any, old: Stored | None, name: str) -> None:
    kind = write.current_document.WhichOneof("condition_type")
    if kind == "update_time":
        wanted = write.current_document.update_time
        if wanted.nanos % 1000:
            raise invalid("update_time must be microsecond aligned.")
        if old is None or stamp(old.updated) != wanted:
            stored = old.updated if old else 0
            raise Status(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"the stored version ({stored}) does not match the required base version ({wanted.ToMicroseconds()})",
            )
    elif kind == "exists" and write.current_document.exists and old is None:
        raise Status(grpc.StatusCode.NOT_FOUND, f'no entity to update: app: "dev" path {name}')
    elif kind == "exists" and not write.current_document.exists and old is not None:
        raise Status(grpc.StatusCode.ALREADY_EXISTS, f"entity already exists: {name}")


def written(write: Any, old: Stored | None, now: int) -> Stored:
    """The document after the write; one that changes nothing keeps its update time."""
    message = Doc(name=write.update.name)
    if write.update_transforms:
        raise Status(grpc.StatusCode.UNIMPLEMENTED, "transforms")
    if write.HasField("update_mask"):
        if old is not None:
            message.CopyFrom(old.message)
        for path in write.update_mask.field_paths:
            put_path(message.fields, parts(path), pick(write.update.fields, parts(path)))
    else:
        message.CopyFrom(write.update)
    check_fields(message.fields)
    check_size(message)
    for clock in ("create_time", "update_time"):
        message.ClearField(clock)
    if old is not None and same(old.message, message):
        return old
    return Stored(message, old.created if old else now, now)


def same(one: Any, other: Any) -> bool:
    return bool(one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True))


def check_fields(fields: Any, above: int = 0) -> None:
    """``above`` is the length of the path to these fields, which has a limit as a whole."""
    for name, value in fields.items():
        length = above + len(name.encode())
        if not name or length > MAX_PATH:
            raise invalid(f"field name {name[:40]!r} is empty or too long")
        if RESERVED.fullmatch(name) and name != "__type__":
            raise invalid(f"field name {name!r} is reserved")
        check_value(value, length + 1, in_array=False)


def check_value(value: Any, above: int, *, in_array: bool) -> None:
    kind = value.WhichOneof("value_type")
    if kind is None:
        raise invalid("a value has no type")
    if kind in {"string_value", "bytes_value"} and size_of(value) > MAX_VALUE + (kind == "string_value"):
        raise invalid(f"The value of a property is longer than {MAX_VALUE} bytes.")
    if kind == "array_value":
        if in_array:
            raise invalid("Cannot convert an array value in an array value.")
        for each in value.array_value.values:
            check_value(each, above, in_array=True)
    elif kind == "map_value":
        check_fields(value.map_value.fields, above)


def check_size(message: Any) -> None:
    path = message.name.split("/documents/", 1)[1].split("/")
    total = 48 + sum(len(part.encode()) + 1 for part in path) + size_of_fields(message.fields)
    if total > MAX_DOCUMENT:
        raise invalid(f"Document cannot be written because its size ({total:,} bytes) exceeds the maximum allowed size")


def size_of_fields(fields: Any) -> int:
    return sum(len(name.encode()) + 1 + size_of(value) for name, value in fields.items())


def size_of(value: Any) -> int:
    """Bytes that the service's own accounting gives a value."""
    match value.WhichOneof("value_type"):
        case "string_value":
            return len(value.string_value.encode()) + 1
        case "reference_value":
            return len(value.reference_value.encode()) + 1
        case "bytes_value":
            return len(value.bytes_value)
        case "array_value":
            return sum(size_of(each) for each in value.array_value.values)
        case "map_value":
            return size_of_fields(value.map_value.fields)
        case "null_value" | "boolean_value":
            return 1
        case "geo_point_value":
            return 16
        case _:
            return 8


# -- field paths and masks --------------------------------------------------------------------------------------

PART = re.compile(r"`((?:[^`\\]|\\.)*)`|([^.`]+)", re.DOTALL)


def parts(path: str) -> list[str]:
    """The names in a field path, quoted or not."""
    found = []
    position = 0
    while position <= len(path):
        match = PART.match(path, position)
        if match is None:
            raise invalid(f"Invalid property path {path!r}.")
        quoted, plain = match.groups()
        found.append(plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL))
        position = match.end() + 1
        if position <= len(path) and path[match.end()] != ".":
            raise invalid(f"Invalid property path {path!r}.")
    return found


def pick(fields: Any, path: list[str]) -> Any | None:
    """The value at a path, or None."""
    for name in path[:-1]:
        if name not in fields:
            return None
        fields = fields[name].map_value.fields
    return fields.get(path[-1])


def put_path(fields: Any, path: list[str], value: Any | None) -> None:
    """Sets or clears the value at a path; whatever is no map on the way becomes one, an array too."""
    for name in path[:-1]:
        if name not in fields or fields[name].WhichOneof("value_type") != "map_value":
            fields[name].CopyFrom(Value(map_value=document_types.MapValue.pb()()))
        fields = fields[name].map_value.fields
    if value is None:
        fields.pop(path[-1], None)
    else:
        fields[path[-1]].CopyFrom(value)


def shown(stored: Stored, mask: Iterable[str] | None) -> Any:
    """The document as answered: all fields, or those of the mask."""
    answer = Doc(name=stored.message.name, create_time=stamp(stored.created), update_time=stamp(stored.updated))
    if mask is None:
        answer.MergeFrom(stored.message)
        return answer
    for path in mask:
        value = None if path == "__name__" else pick(stored.message.fields, parts(path))
        if value is not None:
            put_path(answer.fields, parts(path), value)
    return answer


def stamp(micros: int) -> Timestamp:
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)


# -- queries ----------------------------------------------------------------------------------------------------


def order_key(name: str) -> list[bytes]:
    return [part.encode() for part in name.split("/")]


COMPARE: dict[int, Callable[[Any, Any], bool]] = {
    Operator.EQUAL: lambda a, b: bool(a == b),
    Operator.GREATER_THAN_OR_EQUAL: lambda a, b: bool(a >= b),
    Operator.GREATER_THAN: lambda a, b: bool(a > b),
    Operator.LESS_THAN: lambda a, b: bool(a < b),
    Operator.LESS_THAN_OR_EQUAL: lambda a, b: bool(a <= b),
}


def filters(where: Any) -> Iterator[Callable[[Any], bool]]:
    """The tests of a filter tree of ANDs: ranges on the name, equality on fields."""
    todo = deque([where])
    while todo:
        node = todo.popleft()
        kind = node.WhichOneof("filter_type")
        if kind == "composite_filter":
            todo.extend(node.composite_filter.filters)
        elif kind == "field_filter":
            yield field_test(node.field_filter)
        elif kind is not None:
            raise Status(grpc.StatusCode.UNIMPLEMENTED, kind)


def field_test(node: Any) -> Callable[[Any], bool]:
    path, compare, value = node.field.field_path, COMPARE.get(node.op), node.value
    if path == "__name__" and compare is not None:
        wanted = order_key(value.reference_value)
        return lambda message: compare(order_key(message.name), wanted)
    if node.op != Operator.EQUAL:
        raise Status(grpc.StatusCode.UNIMPLEMENTED, "only equality on fields")
    return lambda message: pick(message.fields, parts(path)) == value


def within(name: str, query: Any, descending: bool) -> bool:
    """Whether a name lies between the cursors; ``before`` says on which side of its own value a cursor stands."""
    return (not query.HasField("start_at") or not ahead(name, query.start_at, descending)) and (
        not query.HasField("end_at") or ahead(name, query.end_at, descending)
    )


def ahead(name: str, cursor: Any, descending: bool) -> bool:
    """Whether a name comes before the point that the cursor marks."""
    check_name(cursor.values[0].reference_value)
    mine, its = order_key(name), order_key(cursor.values[0].reference_value)
    if mine == its:
        return not cursor.before
    return mine > its if descending else mine < its

"""The in-process GCS server keeps GCS's rules, asked by Google's own client and by plain requests."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from google.api_core.exceptions import (
    BadRequest,
    Forbidden,
    GoogleAPIError,
    NotFound,
    PreconditionFailed,
    RequestRangeNotSatisfiable,
)
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from tests.servers.faults import FOREVER, Fault
from tests.servers.gcs import GcsServer, apply_mask
from tests.servers.gcs_world import QUANTUM, crc32c_of, md5_of


@pytest.fixture
def bucket(server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    # Otherwise the client asks for the bucket in the background, in the middle of the next test's log.
    monkeypatch.setenv("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
    client = storage.Client(project="p", credentials=credentials, client_options={"api_endpoint": server.url})
    yield client.bucket("b")
    client.close()


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def upload(bucket: Any, name: str, data: bytes, **options: Any) -> Any:
    blob = bucket.blob(name)
    blob.upload_from_string(data, retry=None, **options)
    return blob


# --- preconditions


def test_create_only(bucket: Any) -> None:
    upload(bucket, "a", b"1", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        upload(bucket, "a", b"2", if_generation_match=0)
    assert bucket.blob("a").download_as_bytes(retry=None) == b"1"


@pytest.mark.parametrize("size", [10, 3 * QUANTUM])
def test_replace_of_a_generation(bucket: Any, size: int) -> None:
    options = {"chunk_size": QUANTUM} if size > 10 else {}
    first = upload(bucket, "a", b"1")
    blob = bucket.blob("a", **options)
    blob.upload_from_string(b"2" * size, if_generation_match=first.generation, retry=None)
    assert blob.generation > first.generation
    with pytest.raises(PreconditionFailed):
        bucket.blob("a", **options).upload_from_string(b"3", if_generation_match=first.generation, retry=None)


def test_preconditions_of_reads_patches_and_deletes(bucket: Any) -> None:
    blob = upload(bucket, "a", b"1")
    other = bucket.blob("a")
    calls: list[Callable[[], object]] = [
        lambda: other.reload(if_generation_match=1, retry=None),
        lambda: other.reload(if_metageneration_match=9, retry=None),
        lambda: other.download_as_bytes(if_generation_match=1, retry=None),
        lambda: other.patch(if_metageneration_match=9, retry=None),
        lambda: other.delete(if_generation_match=1, retry=None),
    ]
    for call in calls:
        with pytest.raises(PreconditionFailed):
            call()
    blob.delete(if_generation_match=blob.generation, retry=None)
    with pytest.raises(NotFound):
        other.reload(retry=None)


def test_a_read_of_what_is_excluded_is_not_modified(server: GcsServer, bucket: Any, http: requests.Session) -> None:
    blob = upload(bucket, "a", b"1")
    url = f"{server.url}/storage/v1/b/b/o/a?ifGenerationNotMatch={blob.generation}"
    assert http.get(url).status_code == 304
    assert http.get(f"{server.url}/storage/v1/b/b/o/a?ifGenerationNotMatch=1").status_code == 200


def test_a_patch_keeps_the_generation(bucket: Any) -> None:
    blob = upload(bucket, "a", b"1")
    generation = blob.generation
    blob.metadata = {"k": "v"}
    blob.patch(if_metageneration_match=1, retry=None)
    assert (blob.generation, blob.metageneration, blob.metadata) == (generation, 2, {"k": "v"})


def test_a_held_object_stays(bucket: Any) -> None:
    blob = upload(bucket, "a", b"1")
    blob.temporary_hold = True
    blob.patch(retry=None)
    with pytest.raises(Forbidden):
        upload(bucket, "a", b"2")
    with pytest.raises(Forbidden):
        blob.delete(retry=None)
    blob.temporary_hold = False
    blob.patch(retry=None)
    blob.delete(retry=None)


def test_an_old_generation_is_gone(bucket: Any) -> None:
    first = upload(bucket, "a", b"1").generation
    upload(bucket, "a", b"2")
    with pytest.raises(NotFound):
        bucket.blob("a", generation=first).download_as_bytes(retry=None)


# --- checksums and names


@pytest.mark.parametrize(("field", "of"), [("crc32c", crc32c_of), ("md5_hash", md5_of)])
@pytest.mark.parametrize("size", [10, 3 * QUANTUM])
def test_wrong_bytes_are_a_bad_request(bucket: Any, field: str, of: Any, size: int) -> None:
    for data, right in ((b"x" * size, True), (b"y" * size, False)):
        blob = bucket.blob("a", **({"chunk_size": QUANTUM} if size > 10 else {}))
        setattr(blob, field, of(b"x" * size))
        if right:
            blob.upload_from_string(data, checksum=None, retry=None)
        else:
            with pytest.raises(BadRequest):
                blob.upload_from_string(data, checksum=None, retry=None)
    assert bucket.blob("a").download_as_bytes(retry=None) == b"x" * size


def test_a_wrong_hash_header_is_a_bad_request(server: GcsServer, http: requests.Session) -> None:
    url = f"{server.url}/upload/storage/v1/b/b/o?uploadType=media&name=a"
    assert http.post(url, b"1", headers={"x-goog-hash": f"crc32c={crc32c_of(b'2')}"}).status_code == 400
    assert http.post(url, b"1", headers={"x-goog-hash": f"md5={md5_of(b'1')}"}).status_code == 200
    assert [call.key for call in server.script.calls()] == ["a", "a"]


@pytest.mark.parametrize("name", [".", "..", "a\nb", "a\rb", "x" * 1025, "é" * 513, ".well-known/acme-challenge/x"])
def test_bad_names_are_a_bad_request(bucket: Any, name: str) -> None:
    with pytest.raises(BadRequest):
        upload(bucket, name, b"1")


def test_a_name_of_1024_bytes_is_taken(bucket: Any) -> None:
    assert upload(bucket, "é" * 512, b"1").name == "é" * 512


def test_a_name_that_is_not_utf_8_is_a_bad_request(server: GcsServer, http: requests.Session) -> None:
    assert http.get(f"{server.url}/storage/v1/b/b/o/%FF").status_code == 400
    assert http.get(f"{server.url}/storage/v1/b/b/o/%EF%BF%BD").status_code == 404


def test_what_is_stored_with_the_bytes(bucket: Any) -> None:
    blob = bucket.blob("a")
    blob.metadata = {"k": "é"}
    blob.upload_from_string(b"1", content_type="image/png", retry=None)
    found = bucket.get_blob("a", retry=None)
    assert (found.content_type, found.metadata, found.size) == ("image/png", {"k": "é"}, 1)
    assert (found.crc32c, found.md5_hash) == (crc32c_of(b"1"), md5_of(b"1"))


# --- listings and masks


def names(bucket: Any, **options: Any) -> list[str]:
    return [blob.name for blob in bucket.list_blobs(retry=None, **options)]


def test_pages(server: GcsServer, bucket: Any) -> None:
    for number in range(25):
        upload(bucket, f"{number:02}", b"")
    server.script.clear()
    assert names(bucket, page_size=10) == [f"{number:02}" for number in range(25)]
    assert len(server.script.calls()) == 3
    assert names(bucket, max_results=5) == ["00", "01", "02", "03", "04"]
    assert names(bucket, start_offset="05", end_offset="07") == ["05", "06"]
    assert names(bucket, start_offset="05", end_offset="15", prefix="1", page_size=2) == ["10", "11", "12", "13", "14"]


def test_a_mask_without_the_token_ends_a_listing_early(server: GcsServer, bucket: Any) -> None:
    server.world.page_limit = 10
    for number in range(25):
        upload(bucket, f"{number:02}", b"")
    assert len(names(bucket, fields="items(name)")) == 10
    assert len(names(bucket, fields="nextPageToken,items(name)")) == 25


def test_folders(bucket: Any) -> None:
    for name in ("a", "a/b", "a/c/d", "b/e", "b/", "c"):
        upload(bucket, name, b"")
    iterator = bucket.list_blobs(delimiter="/", page_size=1, retry=None)
    assert [blob.name for blob in iterator] == ["a", "c"]
    assert set(iterator.prefixes) == {"a/", "b/"}
    iterator = bucket.list_blobs(prefix="b/", delimiter="/", retry=None)
    assert [blob.name for blob in iterator] == ["b/", "b/e"]


def test_the_order_is_that_of_code_points(bucket: Any) -> None:
    odd = ["\U0001f600", "\uff5e", "é", "e\u0301", "Z", "a", "a/b"]
    for name in odd:
        upload(bucket, name, b"")
    assert names(bucket) == sorted(odd)


@pytest.mark.parametrize("token", ["x", base64.urlsafe_b64encode(b"before:a").decode(), "%FF"])
def test_a_bad_token_is_a_bad_request(server: GcsServer, http: requests.Session, token: str) -> None:
    answer = http.get(f"{server.url}/storage/v1/b/b/o?pageToken={token}")
    assert answer.status_code == 400
    assert answer.json()["error"]["errors"][0]["reason"] == "invalid"


@pytest.mark.parametrize(
    ("mask", "kept"),
    [
        ("a", {"a": 1}),
        ("a,b/c", {"a": 1, "b": [{"c": 2}, {"c": 4}]}),
        ("b(c,d)", {"b": [{"c": 2, "d": {"e": 3}}, {"c": 4}]}),
        ("b(d/e)", {"b": [{"d": {"e": 3}}, {}]}),
        ("*", {"a": 1, "b": [{"c": 2, "d": {"e": 3}}, {"c": 4}]}),
        ("none", {}),
    ],
)
def test_masks(mask: str, kept: dict[str, Any]) -> None:
    assert apply_mask({"a": 1, "b": [{"c": 2, "d": {"e": 3}}, {"c": 4}]}, mask) == kept


# --- buckets, ranges, errors


def test_buckets(server: GcsServer, http: requests.Session) -> None:
    assert http.get(f"{server.url}/storage/v1/b/b").json()["name"] == "b"
    for path in ("b/none", "b/none/o", "b/none/o/a"):
        answer = http.get(f"{server.url}/storage/v1/{path}")
        assert (answer.status_code, answer.json()["error"]["message"]) == (404, "The specified bucket does not exist.")


def test_ranges(bucket: Any) -> None:
    upload(bucket, "a", b"0123456789")
    blob = bucket.blob("a")
    assert blob.download_as_bytes(start=3, end=5, retry=None, checksum=None) == b"345"
    assert blob.download_as_bytes(start=8, retry=None, checksum=None) == b"89"
    assert blob.download_as_bytes(start=-2, retry=None, checksum=None) == b"89"
    with pytest.raises(RequestRangeNotSatisfiable):
        blob.download_as_bytes(start=10, retry=None, checksum=None)


def test_unknown_ways(server: GcsServer, http: requests.Session) -> None:
    assert http.get(f"{server.url}/elsewhere").status_code == 404
    assert http.put(f"{server.url}/storage/v1/b/b/o/a", b"").status_code == 405
    assert http.post(f"{server.url}/upload/storage/v1/b/b/o?uploadType=odd&name=a", b"").status_code == 400


# --- resumable uploads


def begin(server: GcsServer, http: requests.Session, name: str = "a", query: str = "") -> str:
    url = f"{server.url}/upload/storage/v1/b/b/o?uploadType=resumable{query}"
    answer = http.post(url, json={"name": name, "contentType": "video/mp4"})
    assert answer.status_code == 200
    return answer.headers["Location"]


def send(http: requests.Session, uri: str, span: str, data: bytes = b"", **headers: str) -> requests.Response:
    return http.put(uri, data, headers={"Content-Range": f"bytes {span}", **headers})


CONTENT = bytes(range(256)) * 3072


def test_chunks_and_questions(server: GcsServer, http: requests.Session) -> None:
    uri, total = begin(server, http), len(CONTENT)
    asked = send(http, uri, f"*/{total}")
    assert (asked.status_code, "Range" in asked.headers) == (308, False)
    first = send(http, uri, f"0-{QUANTUM - 1}/{total}", CONTENT[:QUANTUM])
    assert (first.status_code, first.headers["Range"]) == (308, f"bytes=0-{QUANTUM - 1}")
    assert send(http, uri, f"*/{total}").headers["Range"] == f"bytes=0-{QUANTUM - 1}"
    assert server.world.objects("b") == {}
    last = send(http, uri, f"{QUANTUM}-{total - 1}/{total}", CONTENT[QUANTUM:])
    assert (last.status_code, last.json()["size"]) == (200, str(total))
    assert send(http, uri, f"*/{total}").json() == last.json()
    assert server.world.objects("b")["a"].data == CONTENT


def test_an_overlap_is_skipped_and_a_gap_refused(server: GcsServer, http: requests.Session) -> None:
    uri, total = begin(server, http), len(CONTENT)
    send(http, uri, f"0-{2 * QUANTUM - 1}/{total}", CONTENT[: 2 * QUANTUM])
    assert send(http, uri, f"{QUANTUM}-{total - 1}/{total}", CONTENT[QUANTUM:]).status_code == 200
    assert server.world.objects("b")["a"].data == CONTENT
    uri = begin(server, http, "b")
    assert send(http, uri, f"{QUANTUM}-{total - 1}/{total}", CONTENT[QUANTUM:]).status_code == 503


def test_a_chunk_is_a_multiple_of_256_kib(server: GcsServer, http: requests.Session) -> None:
    uri = begin(server, http)
    assert send(http, uri, f"0-99/{len(CONTENT)}", CONTENT[:100]).status_code == 400
    assert send(http, uri, "0-99/100", CONTENT[:99]).status_code == 400
    assert send(http, uri, "nonsense").status_code == 400
    assert send(http, uri, "0-99/100", CONTENT[:100]).status_code == 200


def test_the_precondition_of_a_session_counts_at_its_end(server: GcsServer, http: requests.Session) -> None:
    uri = begin(server, http, query="&ifGenerationMatch=0")
    server.world.insert("b", "a", b"theirs", {})
    assert send(http, uri, "0-99/100", CONTENT[:100]).status_code == 412
    assert server.world.objects("b")["a"].data == b"theirs"
    assert send(http, uri, "*/100").status_code == 404


def test_a_wrong_hash_at_the_end_of_a_session(server: GcsServer, http: requests.Session) -> None:
    uri = begin(server, http)
    refused = send(http, uri, "0-99/100", CONTENT[:100], **{"x-goog-hash": f"crc32c={crc32c_of(b'')}"})
    assert refused.status_code == 400
    assert server.world.objects("b") == {}


def test_a_session_that_is_cancelled_is_gone(server: GcsServer, http: requests.Session) -> None:
    uri = begin(server, http)
    assert http.delete(uri).status_code == 499
    assert send(http, uri, "0-99/100", CONTENT[:100]).status_code == 404
    assert http.delete(uri).status_code == 404


# --- faults


def test_a_fault_hits_what_it_matches_and_no_more(server: GcsServer, bucket: Any) -> None:
    fault = server.script.add(Fault(method="GET", key="a", skip=1, times=2, status=503, headers={"Retry-After": "1"}))
    upload(bucket, "a", b"1")
    upload(bucket, "b", b"1")
    seen = []
    for name in ("a", "b", "a", "a", "a"):
        try:
            seen.append(bucket.blob(name).exists(retry=None))
        except GoogleAPIError as error:
            seen.append(getattr(error, "code", None))
    assert seen == [True, True, 503, 503, True]
    assert fault.hits == 2


def test_a_write_can_take_effect_without_an_answer(server: GcsServer, bucket: Any) -> None:
    server.script.add(Fault(method="POST", lost=True))
    server.script.add(Fault(method="POST", reset=True))
    for _ in range(2):
        with pytest.raises(requests.exceptions.ConnectionError):
            upload(bucket, "a", b"1")
    assert len(server.world.generations("a")) == 1
    assert [call.key for call in server.script.calls("POST")] == ["a", "a"]


def test_an_answer_can_be_cut_and_a_body_spoilt(server: GcsServer, bucket: Any, http: requests.Session) -> None:
    upload(bucket, "a", b"0123456789")
    server.script.add(Fault(path="/download", cut=4))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        http.get(f"{server.url}/download/storage/v1/b/b/o/a")
    server.script.add(Fault(method="POST", corrupt=True, times=FOREVER))
    url = f"{server.url}/upload/storage/v1/b/b/o?uploadType=media&name=c"
    assert http.post(url, b"0123").status_code == 200
    assert server.world.objects("b")["c"].data == b"1123"


def test_errors_are_written_as_google_writes_them(server: GcsServer, http: requests.Session) -> None:
    server.script.add(Fault(status=429, reason="rateLimitExceeded", headers={"Retry-After": "3"}))
    answer = http.get(f"{server.url}/storage/v1/b/b/o")
    assert answer.headers["Retry-After"] == "3"
    error = json.loads(answer.content)["error"]
    assert error["code"] == 429
    assert error["errors"] == [{"message": "injected", "domain": "global", "reason": "rateLimitExceeded"}]

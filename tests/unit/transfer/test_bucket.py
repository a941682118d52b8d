"""A place in a bucket, against a store on loopback; and what is said of a store that refuses."""

import os
import threading
import time
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import S3Store

from support.batch_process import free_port
from support.object_store import BUCKET, ObjectStore, answering, asked, certificate
from vllm_operator.transfer import bucket
from vllm_operator.transfer.bucket import BucketError, MissingError, Place

NO_RETRIES: Any = {"max_retries": 0, "retry_timeout": timedelta(seconds=1)}


@pytest.fixture
def place(store: ObjectStore) -> Place:
    """A folder of the bucket."""
    return Place("output", f"s3://{BUCKET}/team/out", store.endpoint)


def told(endpoint: str, uri: str = f"s3://{BUCKET}/out") -> BucketError:
    """What is said of reading there."""
    with pytest.raises(BucketError) as error:
        Place("output", uri, endpoint).read("a")
    return error.value


def without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a pod whose batch names no Secret."""
    monkeypatch.setattr(bucket, "RETRIES", 0)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(f"OUTPUT_{name}")


def test_files_of_a_folder_and_those_below_it(store: ObjectStore, place: Place) -> None:
    for key in ("team/out/a.jsonl", "team/out/x/y/b", "team/outer", "other"):
        store.put(key, b"12")
    assert list(place.files()) == [("a.jsonl", 2)]
    assert sorted(place.files(below=True)) == [("a.jsonl", 2), ("x/y/b", 2)]
    assert list(place.files("x", below=True)) == [("x/y/b", 2)]
    whole = Place("output", f"s3://{BUCKET}", store.endpoint)
    assert [one.key for one in whole.files()] == ["other"]
    assert len(list(whole.files(below=True))) == 4


@pytest.mark.parametrize("size", [0, 1, 4096, 3 * 4096 + 1])
def test_a_file_comes_and_goes_in_parts(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(bucket, "_RANGE", 4096)
    content = bytes(number % 251 for number in range(size))
    (tmp_path / "a").write_bytes(content)
    with (tmp_path / "a").open("rb") as file:
        place.upload(file, "a")
    with (tmp_path / "b").open("wb") as file:
        place.download("a", file)
    assert (tmp_path / "b").read_bytes() == place.read("a") == content


def test_a_name_with_spaces_and_letters_of_all_kinds_is_kept(store: ObjectStore, place: Place, tmp_path: Path) -> None:
    store.put("team/out/Fragen für heute.jsonl", b"{}")
    assert [one.key for one in place.files()] == ["Fragen für heute.jsonl"]
    with (tmp_path / "a").open("wb") as file:
        place.download("Fragen für heute.jsonl", file)
    assert (tmp_path / "a").read_bytes() == b"{}"


def test_of_many_who_make_an_object_one_decides(place: Place) -> None:
    barrier = threading.Barrier(8)

    def make(number: int) -> None:
        barrier.wait()
        place.write_new("fence", f"{number}".encode() * 100)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    decided = place.read("fence")
    place.write_new("fence", b"later")
    assert place.read("fence") == decided


def test_a_store_without_conditions_still_keeps_what_is_there(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    put = obstore.put

    def of_an_older_store(store: S3Store, key: str, content: bytes, **options: Any) -> object:
        if options.get("mode") != "create":
            return put(store, key, content, **options)
        with answering(501, "NotImplemented") as endpoint:
            older = S3Store(
                "b",
                endpoint=endpoint,
                access_key_id="a",
                secret_access_key="b",
                client_options={"allow_http": True},
                retry_config=NO_RETRIES,
            )
            return put(older, key, content, **options)

    monkeypatch.setattr(obstore, "put", of_an_older_store)
    place.write_new("parts/fence", b"first")
    place.write_new("parts/fence", b"second")
    assert place.read("parts/fence") == b"first"


def test_removing_what_is_gone_is_no_error(place: Place) -> None:
    place.write("a", b"1")
    place.remove(["a", "b"])
    place.remove([])
    assert list(place.files()) == []


def test_what_is_not_there_is_told_with_the_field_to_correct(store: ObjectStore, place: Place, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=rf"no object s3://{BUCKET}/team/out/a at .*: correct output.uri") as error:
        place.download("a", BytesIO())
    assert not error.value.passes
    missing = told(store.endpoint, "s3://nobody/x")
    assert "there is no bucket nobody at" in str(missing)
    assert not missing.passes
    with pytest.raises(BucketError, match="there is no bucket nobody"):
        list(Place("input", "s3://nobody/x/", store.endpoint).files())
    with pytest.raises(BucketError, match="there is no bucket nobody"):
        Place("output", "s3://nobody/x", store.endpoint).write("a", b"")


@pytest.mark.parametrize(
    ("status", "code", "said", "passes"),
    [
        (403, "AccessDenied", "keys of output.objectStore.credentialsSecretName may not do that (AccessDenied)", False),
        (403, "InvalidAccessKeyId", "the keys of output.objectStore.credentialsSecretName are not valid", False),
        (403, "SignatureDoesNotMatch", "the keys of output.objectStore.credentialsSecretName are not valid", False),
        (400, "ExpiredToken", "the keys of output.objectStore.credentialsSecretName are not valid", False),
        (301, "PermanentRedirect", "is in another region: set output.objectStore.region", False),
        (412, "PreconditionFailed", "was changed while it was copied", True),
        (400, "Strange", "does not answer for s3://team-data/out/a: status 400, Strange", True),
    ],
)
def test_what_a_store_refuses_is_one_sentence(
    store: ObjectStore, status: int, code: str, said: str, *, passes: bool
) -> None:
    with answering(status, code) as endpoint:
        error = told(endpoint)
    assert said in str(error)
    assert "\n" not in str(error)
    assert error.passes == passes


def test_a_store_that_is_away_may_come_back(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "RETRIES", 0)
    endpoint = f"http://127.0.0.1:{free_port()}"
    error = told(endpoint)
    assert error.passes
    assert str(error) == f"{endpoint} does not answer for s3://{BUCKET}/out/a: error sending request"


def test_the_words_of_an_error_are_the_same_each_time(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "RETRIES", 0)
    with answering(500, "InternalError") as endpoint:
        assert str(told(endpoint)) == str(told(endpoint))


def test_a_pod_without_keys_asks_as_its_service_account(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the webhook of a cloud sets in pods is enough: they ask the cloud's token service, by HTTPS."""
    without_keys(monkeypatch)
    (tmp_path / "token").write_text("a token of the cluster")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/batches")
    own = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(own))
    with answering(403, "AccessDenied", own) as security:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", security)
        error = told(store.endpoint)
    assert "the pod's service account may not do that (AccessDenied)" in str(error)


def test_the_certificates_that_the_settings_name_are_trusted_and_no_others(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bucket, "RETRIES", 0)
    own = certificate(tmp_path)
    with answering(403, "AccessDenied", own) as endpoint:
        assert "error sending request" in str(told(endpoint))
        monkeypatch.setenv("SSL_CERT_FILE", str(own))
        assert "may not do that (AccessDenied)" in str(told(endpoint))


def test_a_pod_that_has_no_credentials_at_all_is_told_what_to_set_and_gets_none_of_the_node(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_keys(monkeypatch)
    with asked() as (metadata, requests):
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", metadata)
        error = told(store.endpoint)
    assert requests == []
    assert "there are no credentials for s3://team-data/out" in str(error)
    assert "set output.objectStore.credentialsSecretName, or pod.serviceAccountName" in str(error)
    assert not error.passes


def test_keys_are_taken_without_the_line_end_that_files_have(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"OUTPUT_{name}", f"{os.environ[f'OUTPUT_{name}']}\n")
    place = Place("output", f"s3://{BUCKET}/out", store.endpoint)
    place.write("a", b"1")
    assert place.read("a") == b"1"


@pytest.mark.parametrize(
    ("key", "endpoint", "says"),
    [
        ("a\nb", "", "AWS_ACCESS_KEY_ID in the Secret of output.objectStore.credentialsSecretName has characters"),
        ("schl\u00fcssel", "", "has characters that no key has: write it anew"),
        ("a", "http://minio:70000", "output.objectStore.endpoint http://minio:70000 has a port that is none"),
    ],
)
def test_what_the_client_would_panic_at_is_a_sentence(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, key: str, endpoint: str, says: str
) -> None:
    monkeypatch.setenv("OUTPUT_AWS_ACCESS_KEY_ID", key)
    error = told(endpoint or store.endpoint)
    assert says in str(error)
    assert not error.passes


def test_a_panic_of_the_client_is_told_all_the_same(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Place, "_check", lambda _: None)
    monkeypatch.setenv("OUTPUT_AWS_ACCESS_KEY_ID", "a\nb")
    error = told(store.endpoint)
    assert "the client of http://127.0.0.1:" in str(error)
    assert not error.passes


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"OUTPUT_AWS_SESSION_TOKEN": "token"}, "AWS_ACCESS_KEY_ID in the Secret of output.objectStore.credentials"),
        ({"OUTPUT_AWS_ACCESS_KEY_ID": "key", "OUTPUT_AWS_SECRET_ACCESS_KEY": " \n"}, "AWS_SECRET_ACCESS_KEY in the"),
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/dev/null"}, "there are no credentials for"),
        ({"AWS_ROLE_ARN": "arn:aws:iam::1:role/a"}, "there are no credentials for"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/"}, "there are no credentials for"),
    ],
)
def test_credentials_that_are_not_whole_do_not_lead_to_those_of_the_node(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], says: str
) -> None:
    without_keys(monkeypatch)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with asked() as (metadata, requests):
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", metadata)
        error = told(store.endpoint)
    assert requests == []
    assert says in str(error)
    assert not error.passes


def test_an_identity_that_is_whole_is_asked_and_not_the_node(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_keys(monkeypatch)
    (tmp_path / "token").write_text("token")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    with asked() as (metadata, of_node), asked() as (agent, requests):
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", metadata)
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{agent}/v1/credentials")
        told(store.endpoint)
    assert requests
    assert of_node == []


def test_why_is_told_where_an_answer_to_head_does_not_say_it(place: Place) -> None:
    with answering(400, "ExpiredToken") as endpoint, pytest.raises(BucketError) as error:
        Place("output", f"s3://{BUCKET}/out", endpoint).download("a", BytesIO())
    assert str(error.value).endswith("are not valid (ExpiredToken)")
    assert not error.value.passes


def test_what_has_not_begun_is_left_when_something_fails_while_the_first_still_works() -> None:
    begun: list[int] = []

    def fail() -> None:
        begun.append(1)
        time.sleep(0.02)  # as a store that is away: else all are over before the first word of it
        raise BucketError("away", passes=True)

    with pytest.raises(BucketError, match="away"):
        bucket.together([lambda: time.sleep(0.5), *[fail] * 900])
    assert len(begun) < 450


def test_all_is_written_where_the_system_takes_less_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, some, start: whole(file, some[:3], start))
    with (tmp_path / "a").open("wb") as file:
        bucket.write_at(file.fileno(), b"0123456789", 2)
    assert (tmp_path / "a").read_bytes() == b"\0\0" + b"0123456789"

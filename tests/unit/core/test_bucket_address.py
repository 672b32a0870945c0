"""The address of an archive in a bucket."""

from __future__ import annotations

import pytest

from holdfast_host.core.bucket_address import BucketAddress, is_bucket, read_bucket
from holdfast_host.core.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("s3://backups", BucketAddress("backups", "")),
        ("s3://backups/", BucketAddress("backups", "")),
        ("s3://backups/hosts/a/", BucketAddress("backups", "hosts/a")),
        ("s3://my.backups/a?region=eu-central-1", BucketAddress("my.backups", "a", region="eu-central-1")),
        (
            "s3://backups/a?endpoint=http://127.0.0.1:9000/",
            BucketAddress("backups", "a", endpoint="http://127.0.0.1:9000"),
        ),
        (
            "s3://backups?endpoint=https%3A%2F%2F%5B%3A%3A1%5D%3A9000",
            BucketAddress("backups", "", "https://[::1]:9000"),
        ),
    ],
)
def test_an_address_names_bucket_prefix_and_service(text: str, address: BucketAddress) -> None:
    assert read_bucket(text) == address
    assert read_bucket(str(address)) == address


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("s3://", "'s3://' names no bucket: write s3://BUCKET/PREFIX"),
        ("s3:/backups/a", "names no bucket"),
        ("S3://backups/a", "names no bucket"),
        ("s3://Backups/a", "names no bucket"),
        ("s3://b:9000/a", "names no bucket"),
        ("s3:backups", "names no bucket: write s3://BUCKET/PREFIX"),
        ("S3:backups/a", "names no bucket: write s3://BUCKET/PREFIX"),
        ("s3://backups/a#b", "names no bucket"),
        ("s3://backups/../b", "has the prefix '../b'"),
        ("s3://backups/a//b", "has the prefix 'a//b'"),
        ("s3://backups/a%0ab", "has the prefix"),
        (f"s3://backups/{'a/' * 300}", "a prefix of 599 bytes exceeds the limit of 512 bytes"),
        ("s3://backups/a?endpont=http://x", "asks for 'endpont': there are endpoint and region"),
        ("s3://backups/a?endpoint", "the address of a bucket cannot be read"),
        ("s3://backups/a?endpoint=minio:9000", "the endpoint of a bucket is no address of a service"),
        ("s3://backups/a?endpoint=http://x:y", "the endpoint of a bucket is no address of a service"),
        ("s3://backups/a?endpoint=http://x/path", "the endpoint of a bucket is no address of a service"),
        ("s3://backups/a?region=EU!", "the region 'EU!' is none"),
        ("s3://[/a", "the address of a bucket cannot be read"),
    ],
)
def test_what_is_no_address_is_refused_with_what_is_wrong(text: str, sentence: str) -> None:
    assert is_bucket(text)
    with pytest.raises(ConfigurationError) as refused:
        read_bucket(text)

    assert sentence in refused.value.message


@pytest.mark.parametrize("text", ["s3://key:secret@backups/a", "s3://backups/a?endpoint=http://key:secret@x"])
def test_credentials_have_no_place_in_it_and_are_not_repeated(text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_bucket(text)

    assert "secret" not in refused.value.message

"""Inputs and results of object stores and web servers, on loopback."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from avel_tf.cli.main import main
from avel_tf.cluster.inputs import blocks_of, find_cluster_inputs, read_manifest
from avel_tf.cluster.remote_files import DownloadedInputs, DownloadError, download, stamp_of
from avel_tf.cluster.result_store import ResultStore
from avel_tf.cluster.settings import ClusterSettings
from avel_tf.events.result_shards import read_all_results
from avel_tf.inference.run_journal import RunJournalError
from avel_tf.utils.storage import StorageError, open_storage
from tests.cluster.test_result_store import line

pytest.importorskip("fsspec")
VIDEO = bytes(range(256)) * 400
QUICK = ClusterSettings(download_attempts=2, download_seconds=2.0)


class Handler(http.server.BaseHTTPRequestHandler):
    """`/ok`, `/flaky` (fails once), `/truncated`, `/slow`, `/error`; others do not exist."""

    seen: Counter[str] = Counter()

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        kind = self.path.strip("/").partition(".")[0]
        if body:
            self.seen[kind] += 1
        if kind == "error" or (kind == "flaky" and body and self.seen[kind] == 1):
            return self.send_error(503)
        if kind not in ("ok", "flaky", "truncated", "slow"):
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(VIDEO)))
        self.send_header("ETag", '"one"')
        self.end_headers()
        if not body:
            return None
        if kind == "slow":
            for start in range(0, len(VIDEO), 1000):
                try:
                    self.wfile.write(VIDEO[start : start + 1000])
                    self.wfile.flush()
                except OSError:
                    return None
                time.sleep(0.2)
            return None
        self.wfile.write(VIDEO[: len(VIDEO) // 2] if kind == "truncated" else VIDEO)
        return None

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    Handler.seen = Counter()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


OBJECTS = ("a/1.mp4", "a/b/2.mp4", "a/notes.txt", "a/._1.mp4")


@contextlib.contextmanager
def s3_bucket() -> Iterator[str]:
    """A bucket of moto's S3 server."""
    moto = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()
        system = s3fs.S3FileSystem()
        system.mkdir("clips")
        for name in OBJECTS:
            system.pipe_file(f"clips/{name}", VIDEO)
        yield "s3://clips"
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@contextlib.contextmanager
def gs_bucket() -> Iterator[str]:
    """A bucket of an emulator of Google Cloud Storage."""
    emulator = pytest.importorskip("gcp_storage_emulator.server")
    from gcp_storage_emulator.handlers import objects

    with pytest.MonkeyPatch.context() as patch:
        # It would ask for credentials to find out the kind of the bucket.
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        gcsfs = pytest.importorskip("gcsfs")
        patch.setattr(objects, "_multipart_upload", _with_precondition(objects._multipart_upload))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="clips")
        server.start()
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        gcsfs.GCSFileSystem.clear_instance_cache()
        for name in OBJECTS:
            gcsfs.GCSFileSystem().pipe_file(f"clips/{name}", VIDEO)
        yield "gs://clips"
        gcsfs.GCSFileSystem.clear_instance_cache()
        server.stop()


def _with_precondition(upload: Callable) -> Callable:
    """Upload that fails if an object must not exist and does; the emulator ignores this parameter.

    Reference: https://cloud.google.com/storage/docs/request-preconditions
    """
    from gcp_storage_emulator.exceptions import NotFound

    def checked(request, response, storage) -> None:
        if request.query.get("ifGenerationMatch") == ["0"]:
            name = request.data["meta"]["name"]
            with contextlib.suppress(NotFound):
                storage.get_file_obj(request.params["bucket_name"], name)
                response.status = http.HTTPStatus.PRECONDITION_FAILED
                return response.json({"error": {"code": 412, "message": "conditionNotMet"}})
        return upload(request, response, storage)

    return checked


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Address of a bucket of S3 with `OBJECTS`."""
    with s3_bucket() as address:
        yield address


@pytest.fixture(scope="module", params=[s3_bucket, gs_bucket], ids=["s3", "gs"])
def bucket(request) -> Iterator[str]:
    """Address of a bucket with `OBJECTS`."""
    with request.param() as address:
        yield address


def got(address: str, folder: Path, settings: ClusterSettings = QUICK, most: int = 10**9):
    path = folder / "video.mp4"
    stamp = download(address, path, settings=settings, most_bytes=most)
    return path.read_bytes(), stamp


def test_an_object_of_the_web_is_downloaded(web, tmp_path):
    content, stamp = got(f"{web}/ok.mp4", tmp_path)
    assert content == VIDEO and stamp == [len(VIDEO), '"one"']
    assert stamp_of(f"{web}/ok.mp4") == stamp


def test_a_failing_server_is_asked_again(web, tmp_path):
    assert got(f"{web}/flaky.mp4", tmp_path)[0] == VIDEO
    assert Handler.seen["flaky"] == 2


@pytest.mark.parametrize(
    ("name", "reason", "requests"),
    [
        ("missing", "no such object", 0),
        ("truncated", "", 2),
        pytest.param("slow", "longer than cluster.download_seconds", 2, marks=pytest.mark.slow),
        ("error", "503", 2),
    ],
)
def test_what_cannot_be_downloaded_has_a_reason(web, tmp_path, name, reason, requests):
    settings = ClusterSettings(download_attempts=2, download_seconds=0.7)
    with pytest.raises(DownloadError, match=f"cannot be downloaded: .*{reason}"):
        got(f"{web}/{name}.mp4", tmp_path, settings)
    assert not list(tmp_path.iterdir())
    assert Handler.seen[name] >= requests


def test_an_object_above_the_limit_is_not_downloaded(web, tmp_path):
    with pytest.raises(DownloadError, match="max_file_bytes"):
        got(f"{web}/ok.mp4", tmp_path, most=1000)
    assert Handler.seen["ok"] == 0


def test_remote_inputs_are_downloaded_when_they_are_read(web, tmp_path, caplog):
    names = [f"{web}/ok.mp4", "/local.mp4", f"{web}/missing.mp4", f"{web}/flaky.mp4"]
    inputs = DownloadedInputs(names, str(tmp_path), settings=QUICK, most_bytes=10**9)
    assert Path(inputs[0]).read_bytes() == Path(inputs[0]).read_bytes() == VIDEO
    assert inputs[1:2] == ["/local.mp4"] and not Path(inputs[2]).exists()
    assert f"{web}/missing.mp4" in caplog.text
    assert len(inputs) == 4 and (Handler.seen["ok"], Handler.seen["flaky"]) == (1, 0)


def test_a_prefix_of_a_bucket_names_its_videos(bucket, tmp_path):
    inputs = find_cluster_inputs([f"{bucket}/a"])
    assert inputs.names == [f"{bucket}/a/1.mp4", f"{bucket}/a/b/2.mp4"]
    assert set(inputs.sizes.values()) == {len(VIDEO)}
    assert got(inputs.names[0], tmp_path)[0] == VIDEO
    with pytest.raises(DownloadError, match="no such object"):
        got(f"{bucket}/a/none.mp4", tmp_path)
    with pytest.raises(ValueError, match="no video files below"):
        find_cluster_inputs([f"{bucket}/empty"])


def test_an_object_is_created_once(bucket):
    storage = open_storage(f"{bucket}/once")
    assert storage.names("locks") == []
    assert storage.create("locks/1", b"first")
    assert not storage.create("locks/1", b"second")
    assert storage.read("locks/1") == b"first"
    storage.write("locks/1", VIDEO * 100)  # larger than one request of gcsfs
    assert storage.read("locks/1") == VIDEO * 100 and storage.names("locks") == ["1"]
    storage.remove("locks/1")
    assert storage.create("locks/1", b"third")


def test_results_in_a_bucket_have_one_writer(bucket):
    out = f"{bucket}/results"
    first, second = ResultStore(open_storage(out)), ResultStore(open_storage(out))
    first.begin({"model": "demo/1"})
    first.commit([line("a.mp4")])
    second.begin({"model": "demo/1"})
    with pytest.raises(RunJournalError, match="Another run"):
        first.commit([line("b.mp4")])
    second.commit([line("c.mp4")])
    assert [result.video for result in read_all_results(out)] == ["a.mp4", "c.mp4"]


def test_results_in_a_bucket_have_a_report(bucket, tmp_path, capsys):
    paths = [f"{bucket}/reported/{name}" for name in "ab"]
    for path in paths:
        store = ResultStore(open_storage(path))
        store.begin({"model": "demo/1"})
        store.commit([line(f"{bucket}/a/1.mp4"), line("https://host/b/2.mp4")])
    page = tmp_path / "pages" / "index.html"
    assert main(["report", paths[0], "--out", str(page.parent)]) == 0
    text = page.read_text()
    assert "1.mp4" in text and f"{bucket}/a" in text and "2.mp4" in text
    assert str(Path.cwd()) not in text and text.count('"url":null') == 2
    assert main(["report", paths[0], "--compare", paths[1], "--out", str(page.parent)]) == 0
    assert "reported/" not in text and page.with_name("comparison.html").is_file()
    capsys.readouterr()
    assert main(["report", paths[0]]) == 1
    assert "is a bucket" in (said := capsys.readouterr().err) and "--out" in said
    assert main(["report", f"{bucket}/nowhere", "--out", str(page.parent)]) == 1
    assert f"{bucket}/nowhere" in capsys.readouterr().err


def test_lists_of_inputs_are_text_or_parquet(tmp_path):
    import pyarrow
    from pyarrow import parquet

    text, table = tmp_path / "list.txt", tmp_path / "list.parquet"
    text.write_bytes(b"a.mp4\n\n/b/c.mp4\r\ns3://clips/a/1.mp4\nodd\xff.mp4\n")
    expected = [f"{tmp_path}/a.mp4", "/b/c.mp4", "s3://clips/a/1.mp4", f"{tmp_path}/odd\udcff.mp4"]
    assert read_manifest(str(text)) == expected
    parquet.write_table(pyarrow.table({"video": ["a.mp4", "/b/c.mp4"], "n": [1, 2]}), table)
    assert read_manifest(str(table)) == expected[:2]
    parquet.write_table(pyarrow.table({"path": ["a.mp4"]}), table)
    with pytest.raises(ValueError, match="must have a column 'video'.*path"):
        read_manifest(str(table))
    text.write_text("\n")
    with pytest.raises(ValueError, match="names no inputs"):
        read_manifest(str(text))


def test_blocks_are_limited_in_number_and_size(tmp_path):
    names = [str(tmp_path / f"{number}.mp4") for number in range(7)]
    for number, name in enumerate(names):
        Path(name).write_bytes(bytes(3_000_000 if number == 3 else 100_000))
    settings = ClusterSettings(block_files=2, block_megabytes=2)
    inputs = find_cluster_inputs(names)
    blocks = blocks_of(inputs, range(7), inputs.names, settings)
    assert blocks == [[0, 1], [2], [3], [4, 5], [6]]


@pytest.mark.parametrize("address", ["ftp://host/x.mp4", "http://host/results"])
def test_other_addresses_are_refused_with_a_sentence(address):
    with pytest.raises(StorageError, match="Received"):
        ResultStore(open_storage(address))

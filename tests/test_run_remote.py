"""Photos and results at URLs, against a real S3-compatible server on loopback."""

from __future__ import annotations

import contextlib
import datetime
import io
import ipaddress
import json
import os
import ssl
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import folder_of_photos, photo, settings, tree

from unetfast import imaging
from unetfast.errors import ConfigError, ImageError, MissingDependencyError
from unetfast.pipeline import remote
from unetfast.pipeline.remote import RemoteFile, find_remote, is_url
from unetfast.pipeline.run import run
from unetfast.pipeline.sources import Found, Item

pytestmark = pytest.mark.filterwarnings("ignore")  # boto's and flask's own


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """Start a server of its own process and return a file system on its bucket."""
    pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    code = (
        "import contextlib, sys\nfrom moto.server import ThreadedMotoServer\n"
        "server = ThreadedMotoServer(ip_address='127.0.0.1', port=0)\n"
        "with contextlib.redirect_stdout(sys.stderr): server.start()\n"
        "print(server.get_host_and_port()[1], flush=True)\nsys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        ) as process,
        pytest.MonkeyPatch.context() as patch,
    ):
        assert process.stdout is not None
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{process.stdout.readline().strip()}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()
        try:
            files = s3fs.S3FileSystem()
            files.mkdir("bucket")
            yield files
        finally:
            s3fs.S3FileSystem.clear_instance_cache()
            process.kill()


def fetched(files: Any, root: str) -> dict[str, bytes]:
    files.invalidate_cache()
    names = [path[len(root) + 1 :] for path in files.find(root)]
    return {name: files.cat_file(f"{root}/{name}") for name in names if not name.startswith("results")}


def test_from_s3_to_s3_the_same_bytes_as_on_disk_and_resumed(s3: Any, tmp_path: Path, model: Path) -> None:
    photos = folder_of_photos(tmp_path / "in", 3)
    (photos / "sub").mkdir()
    imaging.write(photos / "sub" / "p0.png", imaging.Picture(photo(9), "png"))
    (photos / "bad.jpg").write_text("text")
    s3.put(str(photos), "bucket/photos", recursive=True)
    s3.pipe_file("bucket/photos/.hidden.jpg", b"x")
    run([str(photos)], tmp_path / "out", settings(recursive=True), model=model)
    chosen = settings(recursive=True)
    first = run(["s3://bucket/photos"], "s3://bucket/out", chosen, model=model)
    assert (first.done, first.failed, first.found.hidden) == (4, 1, 1)
    assert fetched(s3, "bucket/out") == tree(tmp_path / "out")
    lines = [json.loads(line) for line in s3.cat_file("bucket/out/results.jsonl").splitlines()]
    reasons = {line["input"]: line.get("reason", "") for line in lines}
    assert reasons["bad.jpg"].startswith("s3://bucket/photos/bad.jpg: ")
    assert b"sub/p0.png,done" in s3.cat_file("bucket/out/results.csv")
    s3.rm_file("bucket/out/p1.png")
    s3.invalidate_cache()
    again = run(["s3://bucket/photos"], "s3://bucket/out", chosen, model=model)
    assert (again.done, again.unchanged, again.failed) == (1, 3, 1)
    assert fetched(s3, "bucket/out") == tree(tmp_path / "out")


def test_a_missing_bucket_is_one_clear_line(s3: Any, tmp_path: Path, model: Path) -> None:
    with pytest.raises(ImageError, match=r"s3://nowhere/photos: "):
        run(["s3://nowhere/photos"], tmp_path / "out", settings(), model=model)


def test_from_a_zip(tmp_path: Path, model: Path) -> None:
    pytest.importorskip("fsspec")
    photos = folder_of_photos(tmp_path / "in", 2)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in photos.iterdir():
            archive.write(path, f"deep/{path.name}")
    run([str(photos)], tmp_path / "wanted", settings(), model=model)
    summary = run([f"zip://deep::{tmp_path / 'a.zip'}"], tmp_path / "out", settings(), model=model)
    assert summary.done == 2
    assert tree(tmp_path / "out") == tree(tmp_path / "wanted")
    (tmp_path / "out" / "p0.png").unlink()
    (tmp_path / "a.zip").write_bytes((tmp_path / "a.zip").read_bytes().replace(b"IDAT", b"IDOT"))
    damaged = run([f"zip://deep::{tmp_path / 'a.zip'}"], tmp_path / "bad", settings(), model=model)
    assert damaged.failed == 2
    assert f"zip://deep/p0.png::{tmp_path / 'a.zip'}: " in (tmp_path / "bad" / "results.jsonl").read_text()


def _pack(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write a .zip or .tar archive; names may be odd, and come twice."""
    with zipfile.ZipFile(path, "w") if path.suffix == ".zip" else tarfile.open(path, "w") as archive:
        for name, data in members:
            if isinstance(archive, zipfile.ZipFile):
                archive.writestr(name, data)
            else:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("scheme", ["zip", "tar", "dir://deep::tar"])
def test_threads_read_members_of_one_archive_whole(scheme: str, tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    members = {f"{number:02}.png": bytes([number]) * 300_000 for number in range(60)}
    path = tmp_path / f"a.{scheme[-3:]}"
    inside = "deep/" if "deep" in scheme else ""
    _pack(path, [(inside + name, data) for name, data in members.items()])
    files = [
        (item.relative, item.path)
        for item in find_remote(f"{scheme}://::{path}", Found(), recursive=False)
        if isinstance(item, Item) and isinstance(item.path, RemoteFile)
    ]
    assert [name for name, _ in files] == list(members)
    with ThreadPoolExecutor(8) as threads:
        read = threads.map(lambda file: file[1].read_bytes(), files * 5)
        wrong = [name for (name, _), data in zip(files * 5, read, strict=True) if members[name] != data]
    assert not wrong


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_odd_members_of_an_archive_are_read_or_named(kind: str, tmp_path: Path, model: Path) -> None:
    pytest.importorskip("fsspec")
    photos = folder_of_photos(tmp_path / "in", 6)
    names = ["./p0.png", "./sub/p1.png", "/p2.png", "twice.png", "./twice.png", "../p5.png"]
    path = tmp_path / f"a.{kind}"
    _pack(path, [(name, (photos / f"p{number}.png").read_bytes()) for number, name in enumerate(names)])
    summary = run([f"{kind}://::{path}"], tmp_path / "out", settings(recursive=True), model=model)
    lines = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    states = {line["input"]: (line["status"], line.get("reason", "")) for line in lines}
    assert states.keys() == {"p0.png", "sub/p1.png", "p2.png", "twice.png", "../p5.png"}
    assert states["twice.png"][1].startswith(f"{kind}://twice.png::{path}: the archive holds several")
    assert states["../p5.png"] == ("skipped", "its path leads out of the archive")
    assert (summary.done, summary.failed, summary.skipped, summary.found.hidden) == (2, 2, 1, 0)
    assert states["p2.png"][1].endswith(f"p2.png::{path}: its path in the archive is absolute; unpack it")
    for name, number in (("p0.png", 0), ("sub/p1.png", 1)):
        mask = imaging.read_mask(tmp_path / "out" / "masks" / name).values.astype(bool)
        before = imaging.read(photos / f"p{number}.png").pixels
        assert np.array_equal(imaging.read(tmp_path / "out" / name).pixels[~mask], before[~mask])


def test_a_file_url_is_the_folder_it_names(
    tmp_path: Path, model: Path, unetfast_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    photos = folder_of_photos(tmp_path / "my photos", 1)
    escaped = str(photos).replace(" ", "%20")
    assert run([f"file://{escaped}"], f"file://{tmp_path}/out", settings(), model=model).done == 1
    assert run([str(photos)], tmp_path / "out", settings(), model=model).unchanged == 1
    assert (tmp_path / "out" / "masks" / "p0.png").is_file()
    done = unetfast_command(
        "run", f"file://localhost{escaped}", "-o", f"file://{tmp_path}/out2", "-m", model, "--dry-run"
    )
    assert (done.returncode, f"{photos}/p0.png -> {tmp_path}/out2/masks/p0.png" in done.stdout) == (0, True)
    with pytest.raises(ConfigError, match="file:///photos"):
        run([str(photos)], "file://server/share", settings(), model=model)


@pytest.fixture
def gs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Start an emulator of Google's store in a process of its own and return a file system on it."""
    # Or each call asks Google's own servers first what kind of bucket it is, for a minute.
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    gcsfs = pytest.importorskip("gcsfs")
    pytest.importorskip("gcp_storage_emulator")
    code = (
        "import sys\nfrom gcp_storage_emulator.server import create_server\n"
        "server = create_server('127.0.0.1', 0, in_memory=True, default_bucket='bucket')\nserver.start()\n"
        "print(server._api._httpd.server_address[1], flush=True)\nsys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        gcsfs.GCSFileSystem.clear_instance_cache()
        try:
            yield gcsfs.GCSFileSystem()
        finally:
            gcsfs.GCSFileSystem.clear_instance_cache()
            process.kill()


def test_from_gs_to_gs_the_same_bytes_as_on_disk_and_resumed(gs: Any, tmp_path: Path, model: Path) -> None:
    photos = folder_of_photos(tmp_path / "in", 2)
    for path in photos.iterdir():
        gs.pipe_file(f"bucket/photos/{path.name}", path.read_bytes())
    run([str(photos)], tmp_path / "out", settings(), model=model)
    assert run(["gs://bucket/photos"], "gs://bucket/out", settings(), model=model).done == 2
    assert fetched(gs, "bucket/out") == tree(tmp_path / "out")
    gs.rm_file("bucket/out/p1.png")
    gs.invalidate_cache()
    again = run(["gs://bucket/photos"], "gs://bucket/out", settings(), model=model)
    assert (again.done, again.unchanged) == (1, 1)
    assert fetched(gs, "bucket/out") == tree(tmp_path / "out")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@contextlib.contextmanager
def serving(root: Path, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve a folder on loopback, with the listings that web servers make; yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root))) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def website(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Serve a folder by HTTP."""
    pytest.importorskip("aiohttp")
    root = tmp_path / "www"
    root.mkdir()
    with serving(root) as url:
        yield root, url


def self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Make a certificate for 127.0.0.1; return what a server needs and the certificate's file."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now)
    builder = builder.not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, *plain))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return tls, folder / "cert.pem"


def test_from_https_only_with_a_certificate_that_is_trusted(
    tmp_path: Path, model: Path, unetfast_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    pytest.importorskip("aiohttp")
    tls, certificate = self_signed(tmp_path)
    photos = folder_of_photos(tmp_path / "www" / "photos", 2)
    run([str(photos)], tmp_path / "wanted", settings(), model=model)
    trusting = {**os.environ, "SSL_CERT_FILE": str(certificate)}
    with serving(tmp_path / "www", tls) as url:
        command = ("run", f"{url}/photos/", "--inpaint", "--save-masks", "-m", model, "-o")
        refused = unetfast_command(*command, tmp_path / "refused")
        done = unetfast_command(*command, tmp_path / "out", env=trusting)
    assert refused.returncode == 1
    assert f"{url}/photos/: cannot be listed: " in refused.stderr
    assert "certificate" in refused.stderr.lower()
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "refused").exists()
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "out") == tree(tmp_path / "wanted")


def test_from_a_web_server(website: tuple[Path, str], tmp_path: Path, model: Path) -> None:
    root, url = website
    photos = folder_of_photos(root / "photos", 2)
    (photos / "sub").mkdir()
    imaging.write(photos / "sub" / "a b%ü.png", imaging.Picture(photo(9), "png"))
    (photos / "bad.jpg").write_text("text")
    run([str(photos)], tmp_path / "wanted", settings(recursive=True), model=model)
    summary = run([f"{url}/photos/"], tmp_path / "out", settings(recursive=True), model=model)
    assert (summary.done, summary.failed) == (3, 1)
    assert tree(tmp_path / "out") == tree(tmp_path / "wanted")
    text = (tmp_path / "out" / "results.jsonl").read_text()
    assert f"{url}/photos/bad.jpg: not an image" in text
    assert run([f"{url}/photos/p0.png"], tmp_path / "one", settings(), model=model).done == 1
    signed = f"{url}/photos/p0.png?X-Signature=a/b.c"
    assert run([signed], tmp_path / "signed", settings(), model=model).done == 1
    assert tree(tmp_path / "signed") == tree(tmp_path / "one")
    assert run([f"{url}/photos/"], tmp_path / "out", settings(), model=model).unchanged == 2
    with pytest.raises(ImageError, match="/nothing/: cannot be listed"):
        run([f"{url}/nothing/"], tmp_path / "none", settings(), model=model)


def test_links_of_a_web_page_are_read_as_browsers_do(
    website: tuple[Path, str], tmp_path: Path, model: Path
) -> None:
    root, url = website
    photos = folder_of_photos(root / "photos", 3)
    (photos / "p0.png").rename(photos / "a&b.png")
    links = ("a&amp;b.png", "./p1.png", "p1.png", "p2&#46;png")
    (photos / "index.html").write_text("".join(f'<a href="{link}">x</a>' for link in links))
    summary = run([f"{url}/photos/"], tmp_path / "out", settings(), model=model)
    assert (summary.done, summary.failed) == (3, 0)
    assert {path.name for path in (tmp_path / "out" / "masks").iterdir()} == {"a&b.png", "p1.png", "p2.png"}


def _answering(replies: dict[str, list[bytes | None]]) -> type[SimpleHTTPRequestHandler]:
    """Return a handler that answers a path's requests one by one: bytes as they go out, None with silence."""

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            reply = replies[self.path].pop(0)
            if reply is None:
                self.connection.recv(1)  # until the client gives up
            else:
                self.wfile.write(reply)
            self.close_connection = True

        def log_message(self, *_: object) -> None: ...

    return Handler


def test_a_web_server_that_breaks_off_is_asked_again_a_silent_one_is_not(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(remote, "SILENCE_S", 1.0)
    monkeypatch.setattr(remote, "PAUSES_S", (0.1, 0.1))
    data = (folder_of_photos(tmp_path / "in", 1) / "p0.png").read_bytes()
    whole = b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data)
    busy = b"HTTP/1.0 503 Busy\r\nContent-Length: 0\r\n\r\n"
    gone = b"HTTP/1.0 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    page = b"".join(b'<a href="%s.png">x</a>' % name for name in (b"late", b"cut", b"mute", b"shut"))
    listing = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + page
    replies: dict[str, list[bytes | None]] = {
        "/": [listing] * 3,
        "/late.png": [busy, whole],
        "/cut.png": [whole[:-9]] * 3,
        "/mute.png": [None, whole],
        "/shut.png": [gone, whole],
    }
    with ThreadingHTTPServer(("127.0.0.1", 0), _answering(replies)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        summary = run([f"{url}/"], tmp_path / "out", settings(), model=model)
        server.shutdown()
        thread.join()
    assert (summary.done, summary.failed) == (1, 3)
    lines = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    reasons = {line["input"]: line.get("reason") for line in lines}
    assert reasons["late.png"] is None
    assert reasons["mute.png"] == f"{url}/mute.png: cannot be read: no answer for 1 s"
    assert reasons["shut.png"].startswith(f"{url}/shut.png: cannot be read: 403")
    assert reasons["cut.png"].startswith(f"{url}/cut.png: cannot be read: ")
    assert [len(left) for left in replies.values()] == [1, 0, 0, 1, 1]
    assert f"{url}/late.png: 503" in caplog.text
    assert caplog.text.count("asking again in 0 s") == 3


def test_links_of_a_web_page_that_lead_elsewhere_are_not_followed(
    website: tuple[Path, str], tmp_path: Path, model: Path
) -> None:
    root, url = website
    folder_of_photos(root / "photos", 1)
    folder_of_photos(root / "secret", 1)
    links = ("p0.png", "/secret/p0.png", "../secret/p0.png", "http://example.com/x.png", "%2e%2e/x.png")
    page = "".join(f'<a href="{link}">x</a>' for link in links)
    (root / "photos" / "index.html").write_text(page)
    summary = run([f"{url}/photos/"], tmp_path / "out", settings(recursive=True), model=model)
    assert (summary.done, summary.failed) == (1, 0)


def test_urls_are_told_from_paths() -> None:
    assert is_url("s3://bucket/x")
    assert not is_url("C:/photos")
    assert is_url("folder://x")
    assert not is_url("://x")
    assert not is_url("a b://c")
    with pytest.raises(ConfigError, match="only input"):
        run(["s3://a", "s3://b"], "out", settings())


def test_without_fsspec_the_pip_line_is_given(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingDependencyError, match=r"unetfast\[remote\]"):
        run(["s3://bucket/photos"], tmp_path / "out", settings(), model=model)


def test_photos_are_read_as_they_are(tmp_path: Path, model: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    imaging.write(tmp_path / "a.png", imaging.Picture(photo(), "png"))
    memory.pipe_file("/photos/a.png", (tmp_path / "a.png").read_bytes())
    assert run(["memory://photos"], "memory://out", settings(), model=model).done == 1
    cleaned = imaging.read(memory.cat_file("/out/a.png")).pixels
    mask = imaging.read_mask(memory.cat_file("/out/masks/a.png")).values.astype(bool)
    assert np.array_equal(cleaned[~mask], photo()[~mask])


def test_results_at_a_url_are_neither_another_photo_s_nor_out_of_date(tmp_path: Path, model: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")

    def put(url: str, seed: int) -> None:
        imaging.write(tmp_path / "a.png", imaging.Picture(photo(seed), "png"))
        memory.pipe_file(f"/{url}/a.png", (tmp_path / "a.png").read_bytes())

    put("site1", 1)
    put("site2", 2)
    run(["memory://site1"], "memory://results", settings(), model=model)
    before = memory.cat_file("/results/a.png")
    with pytest.raises(
        ConfigError, match=r"memory://site2/a.png: .* another photo of that name, memory://site1"
    ):
        run(["memory://site2"], "memory://results", settings(), model=model)
    assert memory.cat_file("/results/a.png") == before
    put("site1", 3)
    assert run(["memory://site1"], "memory://results", settings(save_masks=False), model=model).done == 1
    assert memory.cat_file("/results/a.png") != before
    assert not memory.exists("/results/masks/a.png")
    with pytest.raises(ConfigError, match="is the input folder"):
        run(["memory://site1"], "memory://site1", settings(), model=model)

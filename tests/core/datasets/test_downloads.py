"""Downloads against an HTTP server on this machine: nothing here needs a network."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import re
import threading
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pydantic
import pytest
from typer.testing import CliRunner

from ffpt_core import datasets
from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import KCAL_PER_MOL
from ffpt_core.cli.data import data as app
from ffpt_core.cli.main import main
from ffpt_core.datasets import RECORDS, DatasetWarning, fetch, fetch_dataset
from ffpt_core.datasets.records.combustion import REACTIONS, SOURCES
from ffpt_core.datasets.records.combustion_files import file_record
from ffpt_core.datasets.records.public import DataRecord

RNG = np.random.default_rng(0)
ENERGIES = RNG.normal(-1e5, 5, 50)


def npz(**changes) -> bytes:
    stream = io.BytesIO()
    arrays = {"R": RNG.normal(size=(50, 3, 3)), "z": np.array([8, 1, 1]), "E": ENERGIES, "F": np.ones((50, 3, 3))}
    np.savez(stream, **(arrays | changes))
    return stream.getvalue()


def archive(names: list[str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as bundle:
        for name in names:
            bundle.writestr(name, npz())
    return stream.getvalue()


GOOD = npz()
SHA256 = f"sha256:{hashlib.sha256(GOOD).hexdigest()}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves server.files; /cut/... announces more than it sends, /page/... sends an error page with status 200."""

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        _, kind, name = self.path.split("/")
        if name not in self.server.files:
            self.send_error(404)
            return
        body = b"<html>no such file</html>" if kind == "page" else self.server.files[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if kind == "cut" else body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        http_server.files = {"water.npz": GOOD}
        http_server.requests = []
        http_server.url = f"http://127.0.0.1:{http_server.server_port}"
        thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield http_server
        http_server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("FFPT_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def record(*urls: str, checksum: str | None = SHA256, **changes) -> DataRecord:
    values = {"name": "water", "title": "Water", "filename": "water.npz", "frames": 50, "level": "HF"}
    return DataRecord(**(values | {"urls": urls, "checksum": checksum, "citation": "us", "licence": "MIT"} | changes))


def test_downloaded_once_and_read_in_ev(server, cache):
    water = record(f"{server.url}/ok/water.npz")
    assert fetch(water) == cache / "water.npz"
    assert (cache / "water.npz").read_bytes() == GOOD
    dataset = fetch_dataset(water)
    assert server.requests == ["/ok/water.npz"]
    assert dataset.energies == pytest.approx(ENERGIES * KCAL_PER_MOL)
    assert dataset.level == "HF"
    assert (cache / "water.npz").stat().st_mode & 0o044  # a shared folder is readable by others
    receipt = json.loads((cache / "water.npz.json").read_text())
    assert receipt["sha256"] == SHA256[7:]
    assert receipt["source"] == water.urls[0]
    assert receipt["bytes"] == len(GOOD)


def test_md5_checksums_work_too(server):
    good = f"md5:{hashlib.md5(GOOD).hexdigest()}"
    assert fetch(record(f"{server.url}/ok/water.npz", checksum=good)).exists()
    bad = f"md5:{'0' * 32}"
    with pytest.raises(FfptError, match="its checksum is not the one published, md5:000"):
        fetch(record(f"{server.url}/ok/water.npz", checksum=bad, filename="other.npz"))


@pytest.mark.parametrize(
    ("path", "checksum", "message"),
    [
        ("ok/water.npz", f"sha256:{'0' * 64}", "its checksum is not the one published"),
        ("cut/water.npz", SHA256, "the transfer was cut off"),
        ("cut/water.npz", None, "the transfer was cut off"),
        ("page/water.npz", None, "it sent something else than a data file"),
        ("ok/absent.npz", None, "404"),
    ],
)
def test_nothing_wrong_is_kept(server, cache, path, checksum, message):
    with pytest.raises(FfptError, match=f"cannot download water: 127.0.0.1: .*{message}") as error:
        fetch(record(f"{server.url}/{path}", checksum=checksum))
    assert "\n" not in str(error.value)
    assert f"put it at {cache / 'water.npz'}" in str(error.value)
    assert list(cache.iterdir()) == []


def test_the_next_address_is_tried(server):
    urls = [f"{server.url}/{path}" for path in ("ok/absent.npz", "cut/water.npz", "ok/water.npz")]
    assert fetch(record(*urls)).read_bytes() == GOOD
    assert [request.split("/")[1] for request in server.requests] == ["ok", "cut", "ok"]


def test_no_network_says_what_to_do(server, cache):
    url = f"{server.url}/ok/water.npz"
    server.shutdown()
    server.socket.close()
    with pytest.raises(FfptError, match=r"127.0.0.1: no connection; without a network, fetch http://127.*put it at"):
        fetch(record(url))
    # Done as told, it works.
    cache.mkdir(exist_ok=True)
    (cache / "water.npz").write_bytes(GOOD)
    assert fetch(record(url)) == cache / "water.npz"


def test_without_a_published_checksum_the_first_download_is_trusted(server, cache):
    water = record(f"{server.url}/ok/water.npz", checksum=None)
    with pytest.warns(DatasetWarning, match=f"no checksum is published.*{SHA256[7:]} is taken on trust"):
        path = fetch(water)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fetch(water)
    assert len(server.requests) == 1
    # Damaged on disk: fetched again, and compared with the record.
    path.write_bytes(GOOD[:-100])
    fetch(water)
    assert path.read_bytes() == GOOD
    assert len(server.requests) == 2
    # Changed on the server: refused, and the record stays.
    path.unlink()
    server.files["water.npz"] = npz(E=ENERGIES + 1)
    with pytest.raises(FfptError, match=rf"not the one recorded in {re.escape(str(path))}.json at the first download"):
        fetch(water)
    assert not path.exists()
    (cache / "water.npz.json").write_text("{}")
    with pytest.raises(FfptError, match=r"water.npz.json is damaged"):
        fetch(water)


def test_a_file_put_there_by_hand_is_recorded_too(cache):
    cache.mkdir()
    (cache / "water.npz").write_bytes(GOOD)
    water = record("http://127.0.0.1:9/ok/water.npz", checksum=None)
    with pytest.warns(DatasetWarning, match="taken on trust"):
        fetch(water)
    (cache / "water.npz").write_bytes(GOOD[:-1])
    with pytest.raises(FfptError, match=r"water.npz is there, but its checksum is wrong"):
        fetch(water)
    assert (cache / "water.npz").read_bytes() == GOOD[:-1]  # the user's file is not thrown away


@pytest.mark.filterwarnings("ignore::ffpt_core.datasets.DatasetWarning")
def test_a_data_set_within_an_archive(server, cache):
    server.files["pair.zip"] = archive(["a/w-train.npz", "a/w-test.npz", "__MACOSX/a/w-train.npz"])
    pair = record(f"{server.url}/ok/pair.zip", checksum=None, filename="pair.zip", member="w-train.npz")
    assert fetch(pair) == cache / "w-train.npz"
    assert len(fetch_dataset(pair)) == 50
    assert fetch(pair.model_copy(update={"member": "w-test.npz"})) == cache / "w-test.npz"
    assert len(server.requests) == 1
    with pytest.raises(FfptError, match=r"holds 0 files called w-other.npz"):
        fetch(pair.model_copy(update={"member": "w-other.npz"}))


def test_a_folder_that_is_a_file(server, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(FfptError, match=r"cannot write .*taken"):
        fetch(record(f"{server.url}/ok/water.npz"), folder=tmp_path / "taken" / "in")


def test_all_records_are_complete():
    assert {"md17-aspirin", "rmd17-aspirin", "sgdml-aspirin-ccsd-train", "sgdml-aspirin-ccsd-test"} <= RECORDS.keys()
    files = {}
    for name, entry in RECORDS.items():
        assert name == entry.name
        assert entry.frames > 0
        assert entry.level
        assert entry.citation
        assert entry.licence
        assert entry.urls
        assert all(url.startswith(("http://", "https://")) for url in entry.urls)
        suffix = ".npy" if entry.convert else ".npz"
        assert entry.filename.endswith(".zip" if entry.member else suffix)
        assert files.setdefault(entry.filename, entry.urls) == entry.urls
        if entry.checksum is not None:
            algorithm, digest = entry.checksum.split(":")
            assert len(bytes.fromhex(digest)) == hashlib.new(algorithm).digest_size
    checksums = [entry.checksum for entry in RECORDS.values() if entry.checksum]
    assert len(set(checksums)) == len(checksums) == 10


def test_records_of_the_combustion_benchmark_are_complete():
    stems = [f"{reaction}_{source}" for reaction in REACTIONS for source in SOURCES]
    records = [file_record(stem) for stem in stems]
    assert len(stems) == 60
    # Reactions without a barrier, or with one surface more, have a path only.
    assert sum(entry is None for entry in records) == 8
    found = [entry for entry in records if entry is not None]
    assert len({entry.filename for entry in found}) == len({entry.urls for entry in found}) == 52
    assert [entry.filename for entry in found if entry.frames is None] == ["03_nm.npz"]


@pytest.mark.parametrize(
    "changes",
    [
        {"urls": ("ftp://example.org/water.npz",)},
        {"checksum": "md5:12"},
        {"frames": 0},
        {"filename": "../water.npz"},
        {"filename": "water.zip"},
        {"member": "water.npz"},
        {"colour": "blue"},
        {"energy_unit": "erg"},
    ],
)
def test_a_record_is_checked_when_it_is_made(changes):
    with pytest.raises((pydantic.ValidationError, FfptError)):
        record(**({"urls": ("https://example.org/water.npz",)} | changes))


def test_unknown_names_are_answered_with_near_ones():
    with pytest.raises(FfptError, match="no data set is called 'md17-asprin': did you mean md17-aspirin"):
        fetch("md17-asprin")
    with pytest.raises(FfptError, match="`ffpt data list` names them"):
        fetch("???")


def test_cache_folder_is_the_users_own_by_default(monkeypatch, cache):
    assert datasets.cache_folder() == cache
    monkeypatch.delenv("FFPT_DATA")
    assert datasets.cache_folder().name == "ffpt"


def test_command_get_and_list(server, monkeypatch, tmp_path, cache, capsys):
    monkeypatch.setitem(RECORDS, "water", record(f"{server.url}/ok/water.npz", checksum=None))
    runner = CliRunner()
    result = runner.invoke(app, ["get", "water", "-o", str(tmp_path / "water.xyz")])
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "water.xyz")
    assert "taken on trust" in result.stderr
    assert "cite: us" in result.stderr
    assert len(datasets.read(tmp_path / "water.xyz")) == 50
    again = runner.invoke(app, ["get", "water"])
    assert again.stdout.strip() == str(cache / "water.npz")
    assert "trust" not in again.stderr
    capsys.readouterr()
    assert main(["data", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {entry["name"] for entry in listed} == RECORDS.keys()
    assert "sgdml-aspirin-ccsd-train" in runner.invoke(app, ["list"]).stdout
    wrong = runner.invoke(app, ["get", "watr"])
    assert isinstance(wrong.exception, FfptError)
    assert wrong.exit_code != 0

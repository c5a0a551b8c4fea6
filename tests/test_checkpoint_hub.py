"""Models from the Hub, with a fake Hub on this machine and without a network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from evalsuite.checkpoint.hub import HubId, download, parse_hub_id
from evalsuite.errors import UsageError
from tests.fakes.http_server import listening
from tests.fakes.hub_server import COMMIT, Hub, oid

FILES = {
    "config.json": b'{"model_type": "smolvlm"}',
    "model.safetensors": b"weights",
    "README.md": b"# a model",
    "onnx/config.json": b"{}",
}
MODEL = HubId(repo="org/tiny")
PATTERNS = ("*.safetensors", "*.json")


class FakeHub(Hub):
    """The answer depends on the name of the model."""

    files = FILES

    def refused(self) -> tuple[int, str | None] | None:
        if "slow" in self.path:
            time.sleep(3)
        if "gated" in self.path and "/resolve/" in self.path:  # what it is, anyone may know
            return 403, "GatedRepo"
        if "broken" in self.path:
            return 500, None
        if "org/tiny" not in self.path:
            return 401, "RepoNotFound"
        return (404, "RevisionNotFound") if "no-such-revision" in self.path else None


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hub cache, and a Hub that nothing listens for."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_ETAG_TIMEOUT", 0.5)
    serve_at(monkeypatch, "http://127.0.0.1:9")
    return tmp_path / "hub"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with listening(FakeHub) as address:
        serve_at(monkeypatch, address)
        yield


def serve_at(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def put_into_cache(cache: Path) -> Path:
    """Lay out a download as huggingface_hub leaves it."""
    model = cache / "models--org--tiny"
    snapshot = model / "snapshots" / COMMIT
    for directory in (snapshot, model / "refs", model / "blobs"):
        directory.mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    for name in ("config.json", "model.safetensors"):
        blob = model / "blobs" / oid(FILES[name])
        blob.write_bytes(FILES[name])
        (snapshot / name).symlink_to(blob)
    return snapshot


@pytest.mark.parametrize(
    ("source", "repo", "revision", "name"),
    [
        ("HuggingFaceTB/SmolVLM2-2.2B-Instruct", None, None, "SmolVLM2-2.2B-Instruct"),
        ("org/name@main", "org/name", "main", "name"),
        ("org/name@step-500", "org/name", "step-500", "name-step-500"),
        ("org/name@refs/pr/3", "org/name", "refs/pr/3", "name-refs/pr/3"),
    ],
)
def test_hub_ids(source: str, repo: str | None, revision: str | None, name: str) -> None:
    model = parse_hub_id(source)
    assert model == HubId(repo=repo or source, revision=revision)
    assert model.name == name
    assert str(model) == source


@pytest.mark.parametrize(
    "source", ["name", "./a/b", "../b", "/a/b", "~/b", "a/b/c", "a/", "a b/c", "a/b@", "a/../b", ""]
)
def test_other_names_are_not_hub_ids(source: str) -> None:
    assert parse_hub_id(source) is None


@pytest.mark.usefixtures("server")
def test_only_matching_top_level_files_are_downloaded(cache: Path) -> None:
    snapshot, warnings = download(MODEL, PATTERNS)
    assert snapshot == cache / "models--org--tiny" / "snapshots" / COMMIT
    held = {str(p.relative_to(snapshot)) for p in snapshot.rglob("*")}
    assert held == {"config.json", "model.safetensors"}
    assert (snapshot / "model.safetensors").read_bytes() == b"weights"
    assert warnings == ()


def test_a_cached_model_is_used_without_a_network(cache: Path) -> None:
    snapshot = put_into_cache(cache)
    used, (warning,) = download(MODEL, PATTERNS)
    assert used == snapshot
    assert warning.startswith("org/tiny: ")
    assert "(ConnectError" in warning
    assert warning.endswith("the cached copy is used")


def test_offline_by_choice_needs_no_warning(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    snapshot = put_into_cache(cache)
    assert download(MODEL, PATTERNS) == (snapshot, ())


def test_a_commit_is_found_in_the_cache(cache: Path) -> None:
    snapshot = put_into_cache(cache)
    assert download(HubId(repo="org/tiny", revision=COMMIT), PATTERNS)[0] == snapshot


@pytest.mark.usefixtures("server")
def test_a_cached_model_is_used_when_the_hub_is_slow(cache: Path) -> None:
    slow = put_into_cache(cache).parents[1]
    slow.rename(slow.with_name("models--org--slow"))
    begun = time.monotonic()
    _, (warning,) = download(HubId(repo="org/slow"), PATTERNS)
    assert "ReadTimeout" in warning
    assert time.monotonic() - begun < 2


def message_for(model: HubId) -> str:
    with pytest.raises(UsageError) as caught:
        download(model, PATTERNS)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_network_and_nothing_cached(cache: Path) -> None:
    begun = time.monotonic()
    message = message_for(MODEL)
    assert time.monotonic() - begun < 2
    assert message.startswith("org/tiny: no local directory")
    for part in (str(cache), "ConnectError", "HTTPS_PROXY", "local directory", "HF_HUB_OFFLINE=1"):
        assert part in message


def test_offline_and_nothing_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    message = message_for(MODEL)
    assert "HF_HUB_OFFLINE is set; unset it" in message


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (HubId(repo="org/tiny-gated"), "accept the terms at http"),
        (HubId(repo="org/tiny-gated"), "`hf auth login`"),
        (HubId(repo="org/unknown"), "neither a local directory nor an accessible model"),
        (HubId(repo="org/tiny", revision="no-such-revision"), "no revision 'no-such-revision'"),
        (HubId(repo="org/broken"), "the Hub could not be used (HfHubHTTPError"),
        (HubId(repo="org/na--me"), "not a valid Hub id"),
    ],
)
def test_what_the_hub_refuses(model: HubId, expected: str) -> None:
    message = message_for(model)
    assert message.startswith(f"{model}: ")
    assert expected in message

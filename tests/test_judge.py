"""The judge client with a real HTTP server: answers, cache, errors, key."""

import datetime
import ipaddress
import json
import os
import socket
import ssl
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evalsuite.errors import IncompleteError, UsageError
from evalsuite.runs.comparable import JudgeId
from evalsuite.vlmevalkit.judge import Judge, JudgeError, check, read_settings
from tests.fakes.judge_server import Asked, JudgeServer, Reply, completion, refusal

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the user's keys and proxies."""
    for name in os.environ:
        if name.lower().endswith("_proxy") or name.startswith(("OPENAI_", "EVALSUITE_JUDGE")):
            monkeypatch.delenv(name)


def settings(server: JudgeServer, model: str = "judge-small") -> JudgeId:
    return read_settings(model, server.base_url)


def judge(server: JudgeServer, cache: Path, *, seconds: float = 5, tries: int = 3) -> Judge:
    return Judge(settings(server), cache, timeout_seconds=seconds, tries=tries)


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def files(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


# Options


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (None, "https://api.openai.com/v1"),
        (" http://localhost:8000/v1/ ", "http://localhost:8000/v1"),
        ("https://node-7.cluster:443", "https://node-7.cluster:443"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("http://my_host/v1", "http://my_host/v1"),
    ],
)
def test_addresses_are_normalised(typed: str | None, expected: str) -> None:
    assert read_settings(" qwen ", typed) == JudgeId(model="qwen", base_url=expected)


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        (
            "localhost:8000/v1",
            "'localhost:8000/v1' is not a complete address; use the form http://",
        ),
        ("ftp://localhost/v1", "is not a complete address"),
        ("", "is not a complete address"),
        ("http://", "is not a complete address"),
        ("http://[::1/v1", "is not a complete address"),
        ("http://host:port/v1", "is not a complete address"),
        ("http://two words/v1", "is not a complete address"),
        ("http://two..dots/v1", "is not a complete address"),
        ("http://me:secret@host/v1", "put the key into EVALSUITE_JUDGE_KEY"),
        ("http://host/v1?key=secret", "put the key into EVALSUITE_JUDGE_KEY"),
        ("http://host/v1/chat/completions", "use http://host/v1"),
    ],
)
def test_invalid_addresses_are_errors_without_secrets(typed: str, error: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_settings("qwen", typed)
    assert error in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_model_is_refused() -> None:
    with pytest.raises(UsageError, match="--judge: empty name"):
        read_settings(" ", None)


def test_the_import_is_light() -> None:
    code = (
        "import evalsuite.vlmevalkit.judge, sys;"
        "assert not {'openai', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Answers and their cache


def test_questions_are_asked_once_at_temperature_0(tmp_path: Path) -> None:
    with JudgeServer() as server:
        asked = judge(server, tmp_path)
        assert asked.reported == ()
        assert asked.generate("How right?") == "re: How right?"
        assert asked.generate("How right?") == "re: How right?"
        assert judge(server, tmp_path).generate("How right?") == "re: How right?"
        (request,) = server.asked
    assert request.body == {
        "model": "judge-small",
        "messages": [{"role": "user", "content": "How right?"}],
        "temperature": 0,
        "max_tokens": 1024,
        "seed": 0,
    }
    (path,) = files(tmp_path)
    assert path.parts[-3:-1] == ("judge", path.stem[:2])
    kept = json.loads(path.read_text())
    assert kept["request"]["model"] == "judge-small"
    assert kept["request"]["prompt"] == "How right?"
    assert (kept["text"], kept["answered_by"]) == ("re: How right?", "judge-small-0725")


def test_model_address_and_system_prompt_are_part_of_the_question(tmp_path: Path) -> None:
    with JudgeServer(lambda asked: asked.system or "none") as server, JudgeServer() as other:
        first = judge(server, tmp_path)
        assert first.generate("Q") == "none"
        assert first.generate("Q", system="Be strict.") == "Be strict."
        assert first.generate("Q", system="Be kind.") == "Be kind."
        assert first.generate("Q", system="") == "none"
        Judge(settings(server, "judge-large"), tmp_path).generate("Q")
        Judge(settings(other), tmp_path).generate("Q")
        assert [a.system for a in server.asked] == ["", "Be strict.", "Be kind.", ""]
        assert [a.body["model"] for a in server.asked[2:]] == ["judge-small", "judge-large"]
        assert len(other.asked) == 1
    assert len(files(tmp_path)) == 5


def test_the_reported_model_is_cached_with_the_answer(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(body=completion("yes", model=f"model-{asked.prompt}"))

    with JudgeServer(answer) as server:
        first = judge(server, tmp_path)
        first.generate("b", system="Be strict.")
        first.generate("a")
        assert first.reported == ("model-a", "model-b")
        later = judge(server, tmp_path)
        later.generate("a")
        assert later.reported == ("model-a",)
        assert len(server.asked) == 2


def test_the_requested_model_is_used_if_none_is_reported(tmp_path: Path) -> None:
    unnamed = {k: v for k, v in completion("yes").items() if k != "model"}
    with JudgeServer(first=(Reply(body=unnamed),)) as server:
        asked = judge(server, tmp_path)
        asked.generate("Q")
    assert asked.reported == ("judge-small",)


@pytest.mark.parametrize("spoil", ["", "{", "[]", '{"text": "yes"}', "half", "another"])
def test_invalid_cache_entries_are_replaced(tmp_path: Path, spoil: str) -> None:
    with JudgeServer() as server:
        judge(server, tmp_path).generate("Q")
        (path,) = files(tmp_path)
        whole = path.read_text()
        wrong = {"half": whole[:-20], "another": whole.replace('"Q"', '"R"')}.get(spoil, spoil)
        path.write_text(wrong)
        assert judge(server, tmp_path).generate("Q") == "re: Q"
        assert len(server.asked) == 2
    assert path.read_text() == whole


NO_ANSWERS = {
    "filtered": completion(None, finish="content_filter"),
    "refused": completion(None, refusal="I would rather not"),
    "empty": completion(""),
    "blank": completion(" \n"),
    "only thinking": completion("<think>B, or C.</think>\n"),
    "endless thinking": completion("<think>B, or C. Well"),
    "cut while thinking": completion(None, finish="length", reasoning_content="Let me see"),
    "cut": completion("Score: 3", finish="length"),
}


@pytest.mark.parametrize("body", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_no_answer_is_a_failure_and_is_not_stored(tmp_path: Path, body: object) -> None:
    with JudgeServer(first=(Reply(body=body),)) as server:
        with pytest.raises(JudgeError, match=r"cut off|refused or gave an empty answer"):
            judge(server, tmp_path).generate("Q")
        assert files(tmp_path) == []
        assert judge(server, tmp_path).generate("Q") == "re: Q"


def test_a_filtered_prompt_is_a_failure(tmp_path: Path) -> None:
    with JudgeServer(first=(refusal(400, "Filtered", "content_filter"),)) as server:
        with pytest.raises(JudgeError, match="content_filter"):
            judge(server, tmp_path).generate("Q")
        assert len(server.asked) == 1
    assert files(tmp_path) == []


@pytest.mark.parametrize("spoil", [{"text": ""}, {"finish_reason": "length"}])
def test_a_stored_reply_that_is_no_answer_is_requested_again(
    tmp_path: Path, spoil: dict[str, str]
) -> None:
    with JudgeServer() as server:
        judge(server, tmp_path).generate("Q")
        (path,) = files(tmp_path)
        path.write_text(json.dumps(json.loads(path.read_text()) | spoil))
        assert judge(server, tmp_path).generate("Q") == "re: Q"
        assert len(server.asked) == 2


@pytest.mark.parametrize(
    "text",
    [
        "<think>Not B, maybe C? It could be B. Correct?</think>\n\nA",
        "Not B, maybe C? </think> A",
        "<THINKING>B</THINKING>A",
        "[THINK]B[/THINK]A",
        "<think>one</think><think>two</think>\nA",
        "<reasoning>B</reasoning> A",
    ],
)
def test_what_a_judge_thinks_is_not_its_answer(tmp_path: Path, text: str) -> None:
    with JudgeServer(first=(Reply(body=completion(text)),)) as server:
        assert judge(server, tmp_path).generate("Q") == "A"


def test_any_text_can_be_sent(tmp_path: Path) -> None:
    odd = "half \ud83d a pair, \x00 and 😀 ü\n"
    with JudgeServer() as server:
        assert judge(server, tmp_path).generate(odd) == "re: half \ufffd a pair, \x00 and 😀 ü\n"
        assert judge(server, tmp_path).generate(odd).endswith("😀 ü\n")
        assert len(server.asked) == 1


def test_threads_ask_each_question_once(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(body=completion(asked.prompt.upper()), seconds=0.02)

    prompts = [f"q{i % 20}" for i in range(160)]
    with JudgeServer(answer) as server, ThreadPoolExecutor(8) as pool:
        asked = judge(server, tmp_path)
        answers = list(pool.map(asked.generate, prompts))
        assert answers == [prompt.upper() for prompt in prompts]
        assert sorted(a.prompt for a in server.asked) == sorted(set(prompts))
    assert len(files(tmp_path)) == 20


ASK = """
import sys
from pathlib import Path
from evalsuite.runs.comparable import JudgeId
from evalsuite.vlmevalkit.judge import Judge, read_settings
judge = Judge(read_settings("judge-small", sys.argv[1]), Path(sys.argv[2]))
print([judge.generate(f"q{i}") for i in range(30)])
"""


def test_two_processes_share_a_cache(tmp_path: Path) -> None:
    with JudgeServer() as server:
        command = [sys.executable, "-c", ASK, server.base_url, str(tmp_path)]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        printed = [process.communicate(timeout=60)[0] for process in both]
        assert printed == [f"{[f're: q{i}' for i in range(30)]}\n"] * 2
    kept = [json.loads(path.read_text()) for path in files(tmp_path)]
    assert sorted(k["text"] for k in kept) == sorted(f"re: q{i}" for i in range(30))


# Special endpoints


def test_a_rejected_seed_is_left_out(tmp_path: Path) -> None:
    def answer(asked: Asked) -> str | Reply:
        if "seed" in asked.body:
            return refusal(422, "extra_forbidden: seed")
        return "without" if "max_tokens" in asked.body else "lost"

    with JudgeServer(answer) as server:
        asked = judge(server, tmp_path)
        assert [asked.generate("a"), asked.generate("b")] == ["without", "without"]
        assert len(server.asked) == 3
    kept = json.loads(files(tmp_path)[0].read_text())
    assert kept["sampling"] == {"temperature": 0, "max_tokens": 1024}


def test_max_completion_tokens_is_used_if_required(tmp_path: Path) -> None:
    def answer(asked: Asked) -> str | Reply:
        if "max_tokens" in asked.body:
            return refusal(400, "Unsupported: 'max_tokens'. Use 'max_completion_tokens' instead.")
        return str(asked.body["max_completion_tokens"])

    with JudgeServer(answer) as server:
        assert judge(server, tmp_path).generate("Q") == "1024"


def test_a_model_without_temperature_0_is_an_error() -> None:
    with JudgeServer(lambda _: refusal(400, "Unsupported value: 'temperature' is 0")) as server:
        with pytest.raises(UsageError, match=r"temperature 0 "):
            check(settings(server))
        assert len(server.asked) == 1


# Errors


def failure(server: JudgeServer, cache: Path, *, seconds: float = 5, tries: int = 1) -> str:
    """Return the error line of a failed request."""
    with pytest.raises(JudgeError) as caught:
        judge(server, cache, seconds=seconds, tries=tries).generate("Q")
    assert isinstance(caught.value, IncompleteError)
    assert not files(cache), "a failure must not be cached"
    message = str(caught.value)
    assert message.startswith(f"judge judge-small at {server.base_url}: ")
    assert "\n" not in message
    return message


def test_server_errors_are_retried(tmp_path: Path) -> None:
    broken = refusal(500, "Oops")
    with JudgeServer(first=(broken, refusal(503, "Busy"))) as server:
        begun = time.monotonic()
        assert judge(server, tmp_path).generate("Q") == "re: Q"
        assert len(server.asked) == 3
        # At least 0.75 × (0.5 + 1) seconds of waiting in between.
        assert time.monotonic() - begun > 1.1


def test_retry_after_is_respected(tmp_path: Path) -> None:
    with JudgeServer(first=(refusal(429, "Slow down", retry_after="2"),)) as server:
        begun = time.monotonic()
        assert judge(server, tmp_path).generate("Q") == "re: Q"
        assert 2 <= time.monotonic() - begun < 6
        assert len(server.asked) == 2


def test_a_long_retry_after_is_an_error(tmp_path: Path) -> None:
    with JudgeServer(lambda _: refusal(429, "Daily limit", retry_after="7200")) as server:
        message = failure(server, tmp_path, tries=3)
        assert len(server.asked) == 1
    assert "429: Daily limit" in message
    assert "7200 s" in message


def test_the_last_error_is_reported(tmp_path: Path) -> None:
    with JudgeServer(lambda _: refusal(502, "Bad\ngateway")) as server:
        message = failure(server, tmp_path, tries=2)
        assert len(server.asked) == 2
    assert "(502: Bad gateway)" in message


def test_a_broken_connection_is_retried(tmp_path: Path) -> None:
    with JudgeServer(first=(Reply(body=completion("lost"), cut=True),)) as server:
        assert judge(server, tmp_path).generate("Q") == "re: Q"
        assert len(server.asked) == 2


def test_permanently_broken_connections_are_errors(tmp_path: Path) -> None:
    with JudgeServer(lambda _: Reply(body=completion("lost"), cut=True)) as server:
        message = failure(server, tmp_path, tries=2)
    assert "cannot be reached: " in message
    assert "(tried 2 times)" in message


def test_a_timeout_is_retried(tmp_path: Path) -> None:
    slow = Reply(body=completion("late"), seconds=5)
    with JudgeServer(first=(slow,)) as server:
        assert judge(server, tmp_path, seconds=0.3).generate("Q") == "re: Q"
        server.first.append(slow)
        with pytest.raises(JudgeError, match="no answer in time"):
            judge(server, tmp_path, seconds=0.3, tries=1).generate("another")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Welcome to the proxy</html>",
        b'{"choices": [',
        {"error": {"message": "upstream is down"}},
        {"choices": []},
        {"choices": [{"message": {"content": 7}}]},
        {"choices": [{"message": None}]},
        ["yes"],
        "yes",
        None,
    ],
)
def test_an_invalid_completion_is_an_error(tmp_path: Path, body: object) -> None:
    with JudgeServer(lambda _: Reply(body=body)) as server:
        assert "chat completion: '" in failure(server, tmp_path)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_client_errors_are_not_retried(tmp_path: Path, status: int) -> None:
    with JudgeServer(lambda _: refusal(status, "Go away")) as server:
        assert f"({status}: Go away)" in failure(server, tmp_path, tries=3)
        assert len(server.asked) == 1


def test_a_missing_server_is_an_error(tmp_path: Path) -> None:
    missing = read_settings("judge-small", f"http://127.0.0.1:{unused_port()}/v1")
    with pytest.raises(JudgeError, match=r"cannot be reached: .*refused"):
        Judge(missing, tmp_path, tries=1).generate("Q")
    with pytest.raises(JudgeError, match=r"cannot be reached: .*refused"):
        check(missing)


def test_a_cached_answer_needs_no_server(tmp_path: Path) -> None:
    with JudgeServer() as server:
        asked = judge(server, tmp_path)
        asked.generate("Q")
    assert judge(server, tmp_path).generate("Q") == "re: Q"


# Preflight check


def test_the_check_returns_the_reported_model() -> None:
    with JudgeServer(lambda _: "Yes.") as server:
        assert check(settings(server)) == "judge-small-0725"
        (request,) = server.asked
    assert len(request.prompt) < 100


def test_the_check_does_not_need_a_list_of_models() -> None:
    with JudgeServer(models=refusal(403, "Not for you")) as server:
        assert check(settings(server)) == "judge-small-0725"
    with JudgeServer(models=Reply(body=b"<html>")) as server:
        assert check(settings(server)) == "judge-small-0725"
    with JudgeServer(models=Reply(body={}, seconds=9)) as server:
        assert check(settings(server), reach_seconds=0.9) == "judge-small-0725"


@pytest.mark.parametrize(
    ("key", "status", "error"),
    [
        ("", 401, "(401: No); set EVALSUITE_JUDGE_KEY"),
        ("OPENAI_API_KEY", 401, "key in OPENAI_API_KEY (401: No)"),
        ("EVALSUITE_JUDGE_KEY", 403, "key in EVALSUITE_JUDGE_KEY (403: No)"),
    ],
)
def test_the_check_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, key: str, status: int, error: str
) -> None:
    if key:
        monkeypatch.setenv(key, KEY)
    with JudgeServer(lambda _: refusal(status, "No")) as server, pytest.raises(UsageError) as no:
        check(settings(server))
    assert error in str(no.value)


@pytest.mark.parametrize("status", [400, 404])
def test_the_check_names_the_nearest_model(status: int) -> None:
    with JudgeServer(lambda _: refusal(status, "unknown model")) as server:
        with pytest.raises(UsageError, match=r"no model 'judge-smal' \(did you mean 'judge-small'"):
            check(settings(server, "judge-smal"))
        with pytest.raises(UsageError, match=r"'gpt' \(it has judge-small, judge-large\)"):
            check(settings(server, "gpt"))


def test_the_check_reports_a_wrong_path() -> None:
    with JudgeServer() as server:
        wrong = read_settings("judge-small", server.base_url.removesuffix("/v1"))
        with pytest.raises(UsageError, match=r"404: Not Found\).*--judge-base-url"):
            check(wrong)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (refusal(429, "Pay", "insufficient_quota"), r"quota .*\(Pay\)"),
        (refusal(429, "Slow down"), r"\(429: Slow down\)"),
        (refusal(503, "Loading model"), r"\(503: Loading model\)"),
    ],
)
def test_the_check_does_not_retry(reply: Reply, error: str) -> None:
    with JudgeServer(lambda _: reply) as server:
        with pytest.raises(JudgeError, match=error):
            check(settings(server))
        assert len(server.asked) == 1


def test_the_check_requires_an_answer() -> None:
    silent = Reply(body=completion(None, finish="length", reasoning_content="Let me think"))
    with (
        JudgeServer(lambda _: silent) as server,
        pytest.raises(UsageError, match="finish_reason length"),
    ):
        check(settings(server))


def test_the_check_is_quick_behind_a_firewall() -> None:
    # A listener with a full queue blocks connections like a firewall.
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        begun = time.monotonic()
        with pytest.raises(JudgeError, match=r"cannot be reached (in time|within 1.5 s)"):
            check(read_settings("judge-small", address), reach_seconds=1.5)
        assert time.monotonic() - begun < 4
        for one in waiting:
            one.close()


# The key


def test_the_key_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with JudgeServer() as server:
        judge(server, tmp_path).generate("none")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
        judge(server, tmp_path).generate("OpenAI's")
        monkeypatch.setenv("EVALSUITE_JUDGE_KEY", "sk-own\n")
        judge(server, tmp_path).generate("own")
        monkeypatch.setenv("EVALSUITE_JUDGE_KEY", "-")
        judge(server, tmp_path).generate("no key")
        sent = [asked.headers["authorization"] for asked in server.asked]
    assert sent == ["Bearer -", "Bearer sk-openai", "Bearer sk-own", "Bearer -"]


@pytest.mark.parametrize("key", ["sk-ключ", "sk two words", "sk-\x07"])
def test_invalid_keys_are_errors_without_the_key(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("EVALSUITE_JUDGE_KEY", key)
    with JudgeServer() as server, pytest.raises(UsageError) as caught:
        check(settings(server))
    assert str(caught.value).startswith("EVALSUITE_JUDGE_KEY: ")
    assert key not in str(caught.value)


def test_the_key_is_stored_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("EVALSUITE_JUDGE_KEY", KEY)
    caplog.set_level("DEBUG")
    echo = refusal(401, f"Incorrect key: {KEY}")
    first = (echo, echo, Reply(body=f"<p>{KEY}".encode()), refusal(500, KEY))
    seen = []
    with JudgeServer() as server:
        asked = judge(server, tmp_path, tries=1)
        asked.generate("before")
        server.first.extend(first)
        for number in range(len(first)):
            with pytest.raises((UsageError, JudgeError)) as caught:
                asked.generate("Q") if number else check(settings(server))
            error = caught.value
            seen += [str(error), repr(error), *traceback.format_exception(error)]
        asked.generate("after")
        assert all(a.headers["authorization"] == f"Bearer {KEY}" for a in server.asked)
        seen += [repr(asked), repr(vars(asked)), repr(settings(server))]
    assert "Incorrect key: ***" in seen[0]
    assert KEY not in "\n".join(seen)
    assert "Request" in caplog.text, "the log of the HTTP client is checked"
    assert KEY not in caplog.text
    assert len(files(tmp_path)) == 2
    for path in files(tmp_path):
        assert KEY not in path.read_text()
        assert "authorization" not in path.read_text().lower()


# TLS


def test_missing_certificates_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file.pem")
    with JudgeServer() as server, pytest.raises(UsageError, match="SSL_CERT_FILE"):
        check(settings(server))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "judge")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    today = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "judge.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


def test_untrusted_certificates_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: Path
) -> None:
    # Importing VLMEvalKit does this to its process (vlmeval/__init__.py:8).
    monkeypatch.setattr(ssl, "_create_default_https_context", ssl._create_unverified_context)
    with JudgeServer(certificate=certificate) as server:
        with pytest.raises(JudgeError, match="CERTIFICATE_VERIFY_FAILED"):
            judge(server, tmp_path, tries=1).generate("Q")
        assert server.asked == []
        # A client that trusts the certificate accepts the same server.
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert judge(server, tmp_path, tries=1).generate("Q") == "re: Q"

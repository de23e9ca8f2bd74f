"""`python -m listener_policy`: what is printed, where, and the exit status."""

import io
import json
import runpy
import sys
from pathlib import Path

import pytest

from listener_policy.__main__ import main

POLICY = """
["example.com"]
relay_to = true
["sender.example"]
relay_from = ["10.0.0.0/8"]
["bounces.example"]
log_oob = true
log_arf = "LogThenRelay"
"""


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY, encoding="utf-8")
    return str(path)


def explain(*arguments: str, listener: str = "10.1.2.3:25", peer: str = "203.0.113.9") -> int:
    return main(["explain", *arguments, "--listener", listener, "--peer", peer])


def row(output: str, name: str) -> str:
    """What the only line of a tree says that begins with a name."""
    lines = [line.lstrip("|-` ") for line in output.splitlines()]
    (said,) = [line[len(name) :].strip() for line in lines if line.startswith(f"{name} ")]
    return said


def answer(output: str) -> str:
    """What the first line says."""
    return output.partition("\n")[0]


def test_accepted(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(policy, "--sender", "a@x.example", "--recipient", "b@example.com") == 0
    output = capsys.readouterr().out
    assert answer(output) == "250 2.1.5 OK  RELAY_TO"
    assert row(output, "RELAY_TO") == "YES  true"
    assert row(output, "other message") == "250 relayed: it may be relayed (4.4)"
    assert row(output, "no entry governs it:") == "nothing matches (2.3)"
    assert row(output, "governed by").startswith('"example.com" of listener *')


def test_refused_shows_nothing_about_data(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(policy, "--sender", "a@x.example", "--recipient", "b@y.example") == 0
    output = capsys.readouterr().out
    assert answer(output) == "550 5.7.1 relaying not permitted  DENIED"
    assert "message" not in output


def test_a_missing_sender_is_the_null_sender(
    policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(policy, "--recipient", "b@bounces.example") == 0
    output = capsys.readouterr().out
    assert row(output, "sender") == '"<>"'
    assert row(output, "delivery report").startswith("250 logged and dropped: ")
    assert row(output, "abuse report").startswith("250 logged and dropped: ")
    assert row(output, "other message").startswith("550 refused: ")


@pytest.mark.parametrize(
    ("peer", "may_send", "reason"),
    [("10.1.1.1", "yes", "RELAY_FROM"), ("203.0.113.9", "no", "DENIED")],
)
def test_without_recipient_it_is_said_what_the_sender_may(
    policy: str, capsys: pytest.CaptureFixture[str], peer: str, may_send: str, reason: str
) -> None:
    assert explain(policy, "--sender", "a@sender.example", peer=peer) == 0
    output = capsys.readouterr().out
    assert answer(output) == f"may send: {may_send}, may receive: no  {reason}"
    assert row(output, "address") == '"a@sender.example"'
    assert "recipient" not in output


def test_a_domain_alone(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(policy, "--domain", "Example.com") == 0
    output = capsys.readouterr().out
    assert answer(output) == "may send: no, may receive: yes  RELAY_TO"
    assert row(output, "domain") == '"example.com", given as "Example.com"'
    assert explain(policy, "--domain", "") == 0
    assert row(capsys.readouterr().out, "domain") == '""'


@pytest.mark.parametrize(
    ("arguments", "decision"),
    [
        (
            ["--recipient", "b@example.com"],
            {"accept": True, "relay": True, "reason": "RELAY_TO", "reply": "250 2.1.5 OK"},
        ),
        (["--domain", "x.example"], {"reason": "DENIED", "entry": None, "may_send": False}),
    ],
)
def test_as_json(
    policy: str, capsys: pytest.CaptureFixture[str], arguments: list[str], decision: dict[str, str]
) -> None:
    assert explain(policy, *arguments, "--auth", "\u202e\udcff", "--format", "json") == 0
    output = capsys.readouterr().out
    assert output.isascii()
    found = json.loads(output)
    assert decision.items() <= found["decision"].items()
    assert found["auth"] == "\u202e\udcff"


@pytest.mark.parametrize(
    "arguments", [[], ["--domain", "a.com", "--sender", ""], ["--domain", "", "--recipient", "b"]]
)
def test_addresses_or_a_domain_must_be_given(
    policy: str, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert explain(policy, *arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "--sender, --recipient or both, or --domain alone" in output.err


def test_later_files_override_and_json_is_known_by_its_name(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    later = tmp_path / "later.JSON"
    later.write_text(json.dumps({"example.com": {"relay_to": False}}), encoding="utf-8")
    assert explain(policy, str(later), "--recipient", "b@example.com") == 0
    assert row(capsys.readouterr().out, "RELAY_TO") == "no   false"


@pytest.mark.parametrize("text", ['["example.com"]\nrelay_to = true', ' {"example.com": {}}'])
def test_standard_input_is_toml_or_json(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert explain("-", "--recipient", "b@example.com") == 0
    assert '"example.com" of listener *' in capsys.readouterr().out


def test_listeners_and_relay_hosts(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listeners = tmp_path / "listeners.toml"
    text = '[[esmtp_listener]]\nlisten = "inside"\nrelay_hosts = ["10.0.0.0/8"]\n'
    listeners.write_text(text, encoding="utf-8")
    for listener, peer, expected in [
        ("inside", "10.0.0.1", "YES  in 10.0.0.0/8; listener's own (4.1)"),
        ("inside", "192.0.2.1", "no   not in 10.0.0.0/8; listener's own (4.1)"),
        ("outside", "10.0.0.1", "no   not in 192.0.2.0/24, 2001:db8::/32; default,"),
        ("outside", "192.0.2.1", "YES  in 192.0.2.0/24; default, none stated (4.1)"),
        ("outside", "2001:db8::1", "YES  in 2001:db8::/32; default, none stated (4.1)"),
        ("outside", "127.0.0.1", "no   not in 192.0.2.0/24, 2001:db8::/32; default,"),
    ]:
        arguments = [policy, "--sender", "a@x.example", "--listeners", str(listeners)]
        relay_hosts = ["--relay-host", "192.0.2.0/24", "--relay-host", "2001:db8::/32"]
        assert explain(*arguments, *relay_hosts, listener=listener, peer=peer) == 0
        assert row(capsys.readouterr().out, "RELAY_HOSTS").startswith(expected)


@pytest.mark.parametrize(("dialect", "then"), [("documented", "dropped"), ("kumomta", "relayed")])
def test_dialect(policy: str, capsys: pytest.CaptureFixture[str], dialect: str, then: str) -> None:
    assert explain(policy, "--recipient", "b@bounces.example", "--dialect", dialect) == 0
    assert row(capsys.readouterr().out, "delivery report").startswith(f"250 logged and {then}")


def test_all_problems_of_all_files_are_reported_by_file_and_path(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('["a.com"]\nrelay_to = 1\n["a b"]\n', encoding="utf-8")
    listeners = tmp_path / "listeners.toml"
    listeners.write_text("[[esmtp_listener]]\n", encoding="utf-8")
    missing = str(tmp_path / "missing.toml")
    status = explain(
        *(policy, str(wrong), missing, "--sender", "a@b.example"),
        *("--listeners", str(listeners), "--relay-host", "10/8"),
    )
    output = capsys.readouterr()
    assert status == 2
    assert output.out == ""
    assert [line.partition(": expected")[0] for line in output.err.splitlines()] == [
        f'{wrong}: "a.com".relay_to',
        f'{wrong}: "a b"',
        f"{missing}: cannot be read: No such file or directory",
        f"{listeners}: esmtp_listener[0].listen",
        "--relay-host: [0]",
    ]
    assert output.err.endswith("did you mean `10.0.0.0/8`?\n")


def test_a_syntax_error_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[", encoding="utf-8")
    assert explain(str(broken), "--sender", "a@b.example") == 2
    assert capsys.readouterr().err.startswith(f"{broken}: not TOML: ")


@pytest.mark.parametrize(("listener", "peer"), [("10.1.2.3", "10.0.0.1"), ("mx", "10.0.0")])
def test_what_is_no_listener_or_peer(
    policy: str, capsys: pytest.CaptureFixture[str], listener: str, peer: str
) -> None:
    assert explain(policy, "--sender", "a@b.example", listener=listener, peer=peer) == 2
    error = capsys.readouterr().err
    assert error.startswith("--listener: expected" if listener != "mx" else "--peer: expected")


def test_names_from_outside_are_shown_escaped(
    policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sender = "a\x1b[2J\u202e\udcff@x.example"
    assert explain(policy, "--sender", sender, "--auth", "a\tb") == 0
    output = capsys.readouterr().out
    assert row(output, "address") == '"a\\u001b[2J\\u202e\\udcff@x.example"'
    assert row(output, "peer").endswith('authenticated as "a\\u0009b"')


def test_what_the_terminal_cannot_show_is_escaped(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert explain(policy, "--sender", "ä@x.example") == 0
    sys.stdout.flush()
    assert b"\\xe4@x.example" in written.getvalue()


@pytest.mark.parametrize("arguments", [[], ["explain"], ["nonsense"]])
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    assert exited.value.code == 2
    assert capsys.readouterr().err.startswith("usage: ")


def test_it_runs_as_a_module(
    policy: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["explain", policy, "--sender", "a@b.example", "--listener", "mx", "--peer", "::1"]
    monkeypatch.setattr(sys, "argv", ["listener_policy", *arguments])
    monkeypatch.delitem(sys.modules, "listener_policy.__main__")
    with pytest.raises(SystemExit) as exited:
        runpy.run_module("listener_policy", run_name="__main__")
    assert exited.value.code == 0
    assert row(capsys.readouterr().out, "RELAY_HOSTS").startswith("YES  in ::1;")

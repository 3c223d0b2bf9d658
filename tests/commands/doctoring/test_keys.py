"""Keys and addresses: set or not, and nothing of them shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatir.commands.doctoring.finding import Finding
from chatir.commands.doctoring.keys import PROXIES, host, key_findings, redacted, secrets

PASSWORD = "correct-horse"  # a password of nobody


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HF_TOKEN", *PROXIES, *map(str.lower, PROXIES)):
        monkeypatch.delenv(name, raising=False)


def findings(login: Path | None = None) -> dict[str, Finding]:
    return {finding.what: finding for finding in key_findings(login)}


def test_what_is_not_set_is_told_and_is_no_gap(tmp_path: Path) -> None:
    found = findings(tmp_path / "token")
    assert set(found) == {"OPENAI_API_KEY", "OPENAI_BASE_URL", "HF_TOKEN"}
    assert all(finding.detail.startswith("not set") and not finding.gap for finding in found.values())
    assert found["OPENAI_API_KEY"].mends


def test_a_login_of_the_hub_is_told_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_nobody")
    assert "left one" in findings(tmp_path / "token")["HF_TOKEN"].detail


def test_what_is_set_is_told_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-nobody-at-all")
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody_at_all")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://models.example:8443/v1")
    found = findings()
    assert [found[name].detail for name in ("OPENAI_API_KEY", "HF_TOKEN")] == ["set", "set"]
    assert found["OPENAI_BASE_URL"].detail == "set (models.example:8443)"


def test_a_key_with_a_character_that_none_has_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of nobody")
    found = findings()["OPENAI_API_KEY"]
    assert found.gap
    assert "nobody" not in found.detail


def test_addresses_are_shown_as_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"https://me:{PASSWORD}@models.example/v1")
    monkeypatch.setenv("https_proxy", f"http://me:{PASSWORD}@proxy.example:3128")
    found = findings()
    assert found["OPENAI_BASE_URL"].gap, "a run refuses it"
    assert "models.example" in found["OPENAI_BASE_URL"].detail
    assert found["HTTPS_PROXY"].detail == "set (proxy.example:3128)"
    assert PASSWORD not in str(found)


@pytest.mark.parametrize(
    "url",
    [
        f"http://me:{PASSWORD}#x@host/v1",
        f"http://me:{PASSWORD}/x@host/v1",
        f"http://me:{PASSWORD}?x@host/v1",
        f"http://me:{PASSWORD}",
        f"http://{PASSWORD}:3128/x@host/v1",
        f"me:{PASSWORD}@host",
        f"http://[{PASSWORD}",
        "https://host/v1?key=1",
    ],
)
def test_a_host_that_cannot_be_told_for_sure_is_not_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert host(url) is None
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("ALL_PROXY", url)
    assert PASSWORD not in str(findings())


@pytest.mark.parametrize("name", ["OPENAI_BASE_URL", "HTTPS_PROXY"])
def test_a_key_that_was_put_where_an_address_belongs_is_not_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "sk-SECRETsecret12345")
    assert "secret" not in str(findings()).lower()


def test_secrets_are_taken_out_of_any_text_in_any_case() -> None:
    known = secrets(
        {"ANY_API_KEY": "Sk-Nobody-1", "SHORT_KEY": "none", "URL": f"http://me:{PASSWORD}@h/", "A": "plain text"}
    )
    told = redacted(f"none: plain text: refused sk-nobody-1 with {PASSWORD} of me", known)
    assert told == "none: plain text: refused [key] with [key] of me"

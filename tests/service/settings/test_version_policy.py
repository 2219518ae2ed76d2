"""FORETELL_VERSION_POLICY: which versions are served."""

import pytest

from service.errors import SettingsError
from service.settings.settings import read_settings
from service.settings.version_policy import VersionPolicies, VersionPolicy, parse_version_policies

FOUND = ["1", "2", "3", "10"]


@pytest.mark.parametrize(
    ("text", "model", "candidates", "count"),
    [
        ("latest", "heart", ["10", "3", "2", "1"], 1),
        ("latest:2", "heart", ["10", "3", "2", "1"], 2),
        ("3,1,7", "heart", ["3", "1"], 2),
        ("heart=1;latest:2", "heart", ["1"], 1),
        ("heart=1;latest:2", "credit", ["10", "3", "2", "1"], 2),
        (" heart = 1 ; heart-mlp16=latest:3 ", "heart-mlp16", ["10", "3", "2", "1"], 3),
        ("heart=1", "credit", ["10", "3", "2", "1"], 1),
    ],
)
def test_a_rule_says_what_to_try_newest_first(
    text: str, model: str, candidates: list[str], count: int
) -> None:
    """All versions for `latest`, of which so many are to be served; the named ones otherwise."""
    assert parse_version_policies(text).of(model).candidates(FOUND) == (candidates, count)


@pytest.mark.parametrize(
    "text",
    ["newest", "latest:0", "latest:", "1,", "01", "-1", "heart=", "=1", "1;2", "heart=1;heart=2"],
)
def test_what_is_no_policy_stops_the_service_before_it_starts(text: str) -> None:
    """One line that names the variable and says what was expected."""
    with pytest.raises(SettingsError, match=r"_VERSION_POLICY: expected 'latest', 'latest:N'"):
        read_settings(version_policy=text)


def test_the_default_is_the_newest() -> None:
    """Every model has it."""
    assert read_settings().policy == VersionPolicies() == parse_version_policies("latest")
    assert str(VersionPolicy()) == "latest"
    assert str(VersionPolicy(named=("1", "3"))) == "1,3"

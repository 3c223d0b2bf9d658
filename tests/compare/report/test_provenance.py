"""How a run was made, as the report tells it."""

from __future__ import annotations

from dataclasses import replace

from compare.comparisons import compared
from compare.made_runs import CLIP, made_run

from chatir.compare import compare
from chatir.compare.report.provenance import differing_settings, provenance_of, settings


def test_settings_are_named_by_their_place_and_values_are_as_they_stand():
    config = {"seed": 0, "questioner": {"name": "t5", "shots": [{"caption": "a"}, "b"], "stop": ["x", 1]}, "empty": {}}
    assert settings(config) == [
        ("seed", "0"),
        ("questioner.name", "t5"),
        ("questioner.shots.0.caption", "a"),
        ("questioner.shots.1", "b"),
        ("questioner.stop", '["x", 1]'),
        ("empty", "{}"),
    ]


def test_a_configuration_may_be_deeper_than_calls_may_go():
    config: dict[str, object] = {"end": 1}
    for _ in range(5000):
        config = {"a": config}
    ((name, value),) = settings(config)
    assert (name.count("."), value) == (5000, "1")


def test_a_run_tells_its_file_its_players_its_sittings_and_its_failures(tmp_path):
    file = made_run(tmp_path, "one", failing=["images/2.jpg"], ranks=[(CLIP, lambda dialog: [1, 1, 1, 1])])
    (run,) = compare([file]).runs
    told = provenance_of(run)
    facts = dict(told.facts)
    assert facts["file"] == str(file)
    assert facts["SHA-256"] == run.run.sha256
    assert (facts["questioner"], facts["answerer"]) == ("one", "Sees")
    assert facts["failed dialogs"] == "1 of 4"
    assert facts["questions"].startswith("10 replies")
    assert ("rounds", "3") in told.config
    ((title, versions),) = told.sittings
    assert title.startswith("20")
    assert "python" in dict(versions)
    ((label, ranking),) = told.rankings
    assert label == "CLIP"
    assert dict(ranking)["corpus"] == "c" * 64
    assert len(told.failed) == 1
    assert "images/2.jpg" in told.failed[0]


def test_a_file_without_a_run_file_tells_what_is_not_known():
    told = provenance_of(compared("one"))
    assert dict(told.facts)["questioner"] == "not known"
    assert "not known" in dict(told.facts)["run file"]
    assert (told.config, told.sittings, told.failed) == ([], [], [])


def test_only_settings_that_differ_are_held_against_each_other():
    one = replace(provenance_of(compared("one")), config=[("seed", "0"), ("rounds", "10")])
    two = replace(one, config=[("seed", "1"), ("rounds", "10"), ("beams", "5")])
    assert differing_settings([one, two]) == [("seed", ["0", "1"]), ("beams", [None, "5"])]

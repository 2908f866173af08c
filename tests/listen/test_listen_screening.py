"""Who is left out of a MUSHRA study, against the rule of BS.1534-3 counted by hand."""

import pytest
from simulated_raters import Panel, frame_of, ratings, study_of

from q2d2.listen.protocols import REFERENCE
from q2d2.listen.report.screening import keep_all, screen

STUDY = study_of("mushra", ("good", "bad"), items=20)
QUALITIES = {REFERENCE: 99, "good": 80, "bad": 40, "anchor35": 20, "anchor70": 60}


def panel(condition, suspicious, times, raters=5):
    """All rate as one should, but listener 2 gives `condition` the score `suspicious` in so many trials."""
    rows = []
    for rater in range(1, raters + 1):
        for trial in range(20):
            for name, score in QUALITIES.items():
                odd = rater == 2 and name == condition and trial < times
                rows.append((rater, trial, name, float(suspicious if odd else score), 1))
    return frame_of(STUDY, rows)


@pytest.mark.parametrize(("condition", "score"), [(REFERENCE, 89), ("anchor70", 91)])
def test_more_than_fifteen_per_cent_is_too_much_and_exactly_so_many_are_not(condition, score):
    allowed = screen(STUDY, panel(condition, score, times=3))  # 3 of 20
    assert allowed.excluded == () and set(allowed.kept["rater"]) == {1, 2, 3, 4, 5}
    refused = screen(STUDY, panel(condition, score, times=4))
    [excluded] = refused.excluded
    assert excluded.rater == 2 and "4 of 20 trials" in excluded.reason
    assert set(refused.kept["rater"]) == {1, 3, 4, 5} and len(refused.kept) == 400


@pytest.mark.parametrize(("condition", "score"), [(REFERENCE, 90), ("anchor70", 90), ("anchor35", 100), ("good", 100)])
def test_ninety_itself_is_allowed_and_other_conditions_do_not_matter(condition, score):
    assert screen(STUDY, panel(condition, score, times=20)).excluded == ()


def test_both_reasons_are_given():
    frame = panel(REFERENCE, 10, times=20)
    frame.loc[(frame["rater"] == 2) & (frame["condition"] == "anchor70"), "score"] = 95
    [excluded] = screen(STUDY, frame).excluded
    assert "hidden reference below 90 in 20 of 20" in excluded.reason
    assert "7 kHz above 90 in 20 of 20" in excluded.reason


def test_shares_are_of_the_trials_that_were_submitted():
    frame = panel(REFERENCE, 50, times=1)
    short = frame[(frame["rater"] != 2) | (frame["trial"] < 6)]  # 1 of 6 is above 15 %, 1 of 20 is not
    assert screen(STUDY, frame).excluded == ()
    assert [one.rater for one in screen(STUDY, short).excluded] == [2]


def test_those_who_rate_at_random_are_found_and_nobody_else():
    frame = ratings(STUDY, QUALITIES, Panel(raters=15, careless=4))
    assert [one.rater for one in screen(STUDY, frame).excluded] == [12, 13, 14, 15]
    assert len(keep_all(frame).kept) == len(frame) and keep_all(frame).excluded == ()


def test_an_anchor_that_many_take_for_the_original_is_held_against_nobody():
    """Two trials whose anchor is hardly duller than the original: eleven of twelve rate it high."""
    frame = panel("anchor70", 95, times=0, raters=12)
    frame.loc[(frame["condition"] == "anchor70") & (frame["trial"] < 8) & (frame["rater"] != 12), "score"] = 95
    assert screen(STUDY, frame).excluded == ()
    # listener 12 alone rates it high where others do not: 2 of the 12 trials that are left
    frame.loc[(frame["condition"] == "anchor70") & (frame["trial"] >= 18) & (frame["rater"] == 12), "score"] = 95
    [excluded] = screen(STUDY, frame).excluded
    assert excluded.rater == 12 and "2 of 12 trials" in excluded.reason


def test_the_rule_says_nothing_of_an_anchor_that_was_not_heard():
    frame = panel(REFERENCE, 10, times=0)
    assert "7 kHz" in screen(STUDY, frame).rule
    assert "7 kHz" not in screen(STUDY, frame[frame["condition"] != "anchor70"]).rule


@pytest.mark.parametrize("protocol", ["cmos-q", "cmos-p", "ab", "abx"])
def test_other_protocols_have_no_rule(protocol):
    study = study_of(protocol, ("one", "two"))
    frame = ratings(study, {REFERENCE: 1, "one": 0.0, "two": 0.0}, Panel(raters=4, careless=4))
    screened = screen(study, frame)
    assert screened.excluded == () and len(screened.kept) == len(frame) and "no rule" in screened.rule

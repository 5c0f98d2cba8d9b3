"""The schedule grid and the step-through: complete, and without a script."""

from dataclasses import replace

import pytest
from bs4 import BeautifulSoup

from tests.support import sample_runs as samples
from tests.support.contrast import contrast
from ticketsvc.lab.explore import scenario_transcripts, transcripts
from ticketsvc.lab.explore.transcripts import ledger_words, rows
from ticketsvc.lab.outcome_looks import LOOKS, SCENARIO_LOOKS
from ticketsvc.lab.widgets import schedule_grid as grids
from ticketsvc.lab.widgets import step_through as step_throughs


def schedule_grid(panels):
    """Return the grid of runs."""
    return grids.schedule_grid(
        {title: [*map(transcripts.transcript_of, runs)] for title, runs in panels.items()}
    )


def step_through(run):
    """Return the step-through of a run."""
    return step_throughs.step_through(transcripts.transcript_of(run))


def parsed(picture):
    return BeautifulSoup(picture.data, "html.parser")


def text(element):
    return " ".join(element.get_text(" ").split())


def view(picture, place):
    return parsed(picture).select(".view")[place]


def states(picture, place):
    """Return the state of each box of a view, by the number of its step."""
    return {
        int(box.select_one(".number").text): set(box["class"]) - {"box"}
        for box in view(picture, place).select(".column .box")
    }


@pytest.fixture
def panels():
    return samples.panels()


def test_each_run_is_a_cell_of_its_panel(panels):
    found = parsed(schedule_grid(panels)).select(".panel")
    assert [text(panel.select_one("legend b")) for panel in found] == list(panels)
    for panel, runs in zip(found, panels.values(), strict=True):
        cells = panel.select("label.cell")
        assert len(cells) == len(runs)
        for cell, run in zip(cells, runs, strict=True):
            assert run.id in cell["title"]
            assert run.kind in text(cell.select_one(".unseen"))
            assert text(cell.select_one("[aria-hidden]")).startswith(LOOKS[run.kind].mark)
            assert LOOKS[run.kind].colour in cell["style"]
            assert ("serial" in cell["class"]) == run.serial


def test_a_panel_counts_schedules_not_runs(panels):
    many, classes = parsed(schedule_grid(panels)).select(".panel legend span")
    assert (
        text(many)
        == "5 schedules: 2 oversold, duplicate, 1 duplicate, 1 refused with stock, 1 clean"
    )
    assert text(classes) == "1,210 schedules, 2 of them executed: 1,210 clean"


def test_a_run_that_represents_many_says_so(panels):
    six = parsed(schedule_grid(panels)).select(".panel")[1].select_one("label.cell")
    assert "represents 6 schedules" in six["title"]
    assert "×6" in text(six)


def test_every_transcript_is_complete(panels):
    found = parsed(schedule_grid(panels)).select(".transcript")
    runs = [run for panel in panels.values() for run in panel]
    assert len(found) == len(runs)
    for transcript, run in zip(found, runs, strict=True):
        assert run.id in text(transcript.select_one(".head"))
        lines = [
            tuple(cell.get_text() for cell in line.select("td"))
            for line in transcript.select("tbody tr")
        ]
        assert lines == rows(run)
        assert [text(one) for one in transcript.select(".answers li")] == [*map(str, run.answers)]
        found_there = text(transcript.select_one(".found"))
        assert all(one.message in found_there for one in run.verdict.violations)


def test_a_wait_an_error_and_the_ledger_are_shown(panels):
    waited = parsed(schedule_grid(panels)).select(".transcript")[4].select("tbody tr")[3]
    assert text(waited) == (
        "4 B insert fails with 40001, serialization failure A until step 5 available 8, issued 0"
    )
    assert "failed" in waited["class"]


def test_the_legend_shows_what_occurs_and_no_more():
    assert text(parsed(schedule_grid({"range": [samples.clean()]})).select_one(".legend")) == (
        "✓ clean : every ticket once, every answer true thick border : serial, one after the other"
    )


def test_no_panels_and_no_runs_are_a_picture_too():
    assert not parsed(schedule_grid({})).select("input")
    assert len(parsed(schedule_grid({"naive": []})).select("input")) == 1


@pytest.mark.parametrize(
    "picture",
    [
        lambda: schedule_grid(samples.panels()),
        lambda: step_through(samples.blocked()),
    ],
    ids=["grid", "step-through"],
)
def test_every_input_has_a_label_and_every_id_is_unique(picture):
    soup = BeautifulSoup(picture().data + picture().data, "html.parser")
    ids = [element["id"] for element in soup.select("[id]")]
    assert len(set(ids)) == len(ids)
    inputs = soup.select("input")
    assert {one["id"] for one in inputs} == {one["for"] for one in soup.select("label")}
    for one in inputs:
        assert text(one.find_next_sibling()).strip()
        assert one.find_next_sibling()["for"] == one["id"]
    checked = [one["name"] for one in inputs if one.has_attr("checked")]
    assert sorted(checked) == sorted({one["name"] for one in inputs})


@pytest.mark.parametrize(
    "picture",
    [
        lambda: schedule_grid({samples.HOSTILE: [samples.hostile()]}),
        lambda: step_through(samples.hostile()),
    ],
    ids=["grid", "step-through"],
)
def test_what_comes_from_outside_is_shown_as_text(picture):
    soup = parsed(picture())
    assert not soup.select("script")
    assert len(soup.select("style")) == 1
    assert samples.HOSTILE in soup.get_text()
    for element in soup.find_all(True):
        assert not {name for name in element.attrs if name.startswith("on")}
    # Those for emphasis that are ours: panel titles, session letters, kinds of the legend.
    assert {text(b) for b in soup.select("td b, .sentences b, .words b, pre b")} == set()


def test_the_step_through_shows_the_start_each_step_and_the_verdict():
    run = samples.blocked()
    picture = step_through(run)
    views = parsed(picture).select(".view")
    assert len(views) == len(run.steps) + 2
    assert "A and B each want 8 of 16 tickets" in text(views[0])
    assert "available 16, issued 0" in text(views[0])
    for number, step in enumerate(run.steps, start=1):
        assert f"Step {number} of 5" in text(views[number])
        assert views[number].select_one("pre.sql").text == step.text
        assert text(views[number].select_one(".words-of-ledger")) == ledger_words(step.after)
    last = text(views[-1])
    assert "B: unavailable (40001)" in last
    assert "refused with stock" in last
    assert "8 issued of 16" in last


def test_a_commit_is_not_called_a_statement():
    views = parsed(step_through(samples.blocked())).select(".view")
    kinds = [text(view.select("p.kind")[-1]) for view in views[1:-1]]
    assert kinds == [*["The statement"] * 4, "The end of the transaction"]


def test_boxes_are_done_current_waiting_failed_or_to_come():
    picture = step_through(samples.blocked())
    assert set(map(frozenset, states(picture, 0).values())) == {frozenset({"to-come"})}
    assert states(picture, 4) == {
        1: {"done"},
        2: {"done"},
        3: {"done"},
        4: {"waits", "current"},
        5: {"to-come"},
    }
    assert states(picture, 5)[4] == {"failed"}
    assert states(picture, 5)[5] == {"done", "current"}
    assert all("current" not in one for one in states(picture, 6).values())


def test_a_view_says_who_waits_and_whom_a_step_releases():
    picture = step_through(samples.blocked())
    assert "B runs insert and has to wait for A." in text(view(picture, 4))
    assert (
        "A runs COMMIT. That lets B's insert go on. It fails with 40001, serialization failure."
        in text(view(picture, 5))
    )


def test_back_and_next_lead_to_the_neighbours():
    views = parsed(step_through(samples.oversold())).select(".view")
    places = [
        [one["for"].rpartition("-")[2] for one in view.select("label.button")] for view in views
    ]
    last = len(views) - 1
    assert places[0] == ["1"]
    assert places[1:-1] == [[str(n - 1), str(n + 1)] for n in range(1, last)]
    assert places[-1] == [str(last - 1)]


def test_the_bar_shows_what_is_issued_beyond_the_total():
    shares = {
        part: view(step_through(samples.oversold()), -1).select_one(f".gauge .{part}")
        for part in ("sold", "beyond", "total")
    }
    assert [one["style"] for one in shares.values()] == [
        "width:50.00%",
        "width:50.00%",
        "left:50.00%",
    ]


def test_a_run_without_its_ledger_still_steps():
    run = samples.clean()
    run = replace(run, steps=tuple(replace(step, after=None) for step in run.steps))
    assert not view(step_through(run), 1).select(".ledger")


def test_a_schedule_of_a_scenario_is_a_cell_with_its_clients_and_its_invariant():
    shown = scenario_transcripts.transcript_of(samples.scenario_run(violated="no seat twice"))
    panel = parsed(grids.schedule_grid({"shop.toml": [shown]})).select_one(".panel")
    assert text(panel.select_one("legend span")) == "1 schedule: 1 violating"
    assert [text(one) for one in panel.select(".answers li")] == [
        "web: success (200 OK)",
        "counter: refused (409)",
    ]
    assert "violated: no seat twice: seat = 1; and 1 more" in text(panel.select_one(".found"))


def test_a_clean_schedule_is_not_called_clean_when_not_all_was_seen():
    run = samples.scenario_run()
    looks = [scenario_transcripts.transcript_of(run, seen=seen).look for seen in (True, False)]
    assert looks == [SCENARIO_LOOKS["clean"], SCENARIO_LOOKS["could not tell"]]


def test_a_schedule_of_a_scenario_steps_without_a_ledger():
    run = samples.scenario_run()
    picture = step_throughs.step_through(scenario_transcripts.transcript_of(run))
    assert len(parsed(picture).select(".view")) == len(run.steps) + 2
    assert "web, counter: all act at the same time." in text(view(picture, 0))
    assert "counter runs UPDATE seats and has to wait for web." in text(view(picture, 2))
    assert not parsed(picture).select(".ledger")


def test_every_outcome_has_a_mark_and_a_colour_of_its_own():
    for looks in (LOOKS.values(), SCENARIO_LOOKS.values()):
        assert len({look.mark for look in looks}) == len(looks)
        assert len({look.colour for look in looks}) == len(looks)
    assert {run.kind for run in samples.panels()["naive_bulk"]} < LOOKS.keys()
    assert "oversold, duplicate" in LOOKS


@pytest.mark.parametrize(
    "look", [*LOOKS.values(), *SCENARIO_LOOKS.values()], ids=lambda one: one.kind
)
def test_marks_are_legible_on_their_colour(look):
    """At 19 px and bold a mark is large text: WCAG asks for 3 to 1."""
    assert contrast(look.colour, look.ink) >= 3

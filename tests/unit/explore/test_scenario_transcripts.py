"""The transcript of a scenario as text."""

from dataclasses import replace

from tests.support import sample_runs
from ticketsvc.lab.explore.scenario_transcripts import as_text
from ticketsvc.lab.scenarios.clients import ClientResult


def test_data_of_a_client_begin_no_line_and_no_colour():
    run = sample_runs.scenario_run()
    first, *others = run.steps
    steps = (replace(first, read={"note": "A\nB \x1b[31m[red]"}, rows=1), *others)
    told = ClientResult("success", "sold\nviolated \x1b[0m")
    lines = as_text(replace(run, steps=steps, results=(told, *run.results[1:]))).splitlines()
    assert "note A B  [31m[red]" in lines[1]
    assert "web: success (sold violated  [0m)" in lines

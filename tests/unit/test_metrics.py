"""Metrics of several processes as one: what was counted once stays counted, whichever process ends when."""

from pixeld.metrics import Metrics


def shown(metrics, name):
    return float(next(line for line in metrics.render().decode().splitlines() if line.startswith(name)).rpartition(" ")[2])


def counted(clicks, stored):
    process = Metrics()
    for _ in range(clicks):
        process.answers["click", "human"] += 1
    process.add("pixeld_stored_events_total", stored)
    return process.report()


CLICKS, STORED = 'pixeld_answers_total{kind="click",outcome="human"}', "pixeld_stored_events_total"


def test_processes_are_summed_with_this_one():
    metrics = Metrics()
    metrics.answers["click", "human"] += 1
    metrics.merge("worker 0", counted(2, 2))
    metrics.merge("worker 1", counted(3, 4))
    assert (shown(metrics, CLICKS), shown(metrics, STORED)) == (6, 6)


def test_a_newer_report_takes_the_place_of_the_one_before():
    metrics = Metrics()
    metrics.merge("worker 0", counted(2, 2))
    metrics.merge("worker 0", counted(3, 3))
    assert (shown(metrics, CLICKS), shown(metrics, STORED)) == (3, 3)


def test_what_a_process_counted_that_has_ended_stays_beside_what_the_next_one_counts():
    metrics = Metrics()
    metrics.merge("worker 0", counted(2, 2))
    metrics.settle("worker 0")
    metrics.settle("worker 0")  # an end that is noticed twice
    assert (shown(metrics, CLICKS), shown(metrics, STORED)) == (2, 2)
    metrics.merge("worker 0", counted(1, 1))
    assert (shown(metrics, CLICKS), shown(metrics, STORED)) == (3, 3)

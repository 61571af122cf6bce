import pytest

from tests import campaign


@pytest.mark.on_sqlite
def test_thirty_seconds_of_kills_and_broken_broker_files_lose_nothing(tmp_path: campaign.Path) -> None:
    report = campaign.run(seconds=30, rate=30, folder=tmp_path)
    assert report.is_clean, vars(report)
    assert report.accepted > 300
    assert sum(report.faults.values()) >= 6
    assert report.neighbour_received > 10

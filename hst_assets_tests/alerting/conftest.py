import pytest

from hst_assets.alerting.message import Alert
from hst_assets_tests.stand_ins.alert_services import MailServer, Webhook


@pytest.fixture
def webhook():
    with Webhook().running() as server:
        yield server


@pytest.fixture
def mail_server():
    with MailServer().running() as server:
        yield server


@pytest.fixture
def alert():
    return Alert(
        run_id="0123456789abcdef",
        job="visit_images",
        target="sn1",
        visit="iaaa01",
        assets=("aligned_exposures", "epoch_drizzles"),
        why="iaaa01a0q: no stars",
        next_step="Look at the image",
        ended="2026-11-30T12:00:00+00:00",
        link="http://here/runs/0123456789abcdef",
    )

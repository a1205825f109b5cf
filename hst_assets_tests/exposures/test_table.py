from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from hst_assets.exposures import photometry, table
from hst_assets.exposures.columns import EXPOSURE_COLUMNS, MANIFEST_COLUMNS
from hst_assets.exposures.footprint import parse_footprint
from hst_assets.exposures.ingest import ingest
from hst_assets.exposures.raw import raw_ledger, visits_in, write_ledger
from hst_assets.exposures.table import (
    make_raw_manifest,
    make_target_table,
    make_visit_table,
)
from hst_assets.failures import BadConfiguration, MissingProduct, UnusableInput
from hst_assets.products.columns import build_table, read_table
from hst_assets.provenance import sha256_of_file
from hst_assets.settings import Settings, load_settings, write_settings

OVERRIDES = """# %ECSV 1.0
# ---
# datatype:
# - {name: rootname, datatype: string}
# - {name: use, datatype: bool}
# - {name: reason, datatype: string}
rootname use reason
"""
DAY = 59000.25


@pytest.fixture
def campaign(exposure_file, workdir):
    """Two visits of one filter ten days apart, two exposures each, one of them short."""
    for rootname, start, exptime in (
        ("jaaa01aaq", DAY, 400.0),
        ("jaaa01abq", DAY + 0.1, 5.0),
        ("jbbb02aaq", DAY + 10, 400.0),
        ("jbbb02abq", DAY + 10.1, 300.0),
    ):
        primary = {"EXPSTART": start, "EXPEND": start + exptime / 86400, "EXPTIME": exptime}
        path = exposure_file(rootname=rootname, primary=primary)
    ingest([path.parent], workdir)
    return workdir


def make_all(workdir, settings=None):
    settings = settings or load_settings(workdir)
    for visit in visits_in(workdir):
        make_raw_manifest(workdir, visit)
        make_visit_table(workdir, visit, settings)
    return make_target_table(workdir, visits_in(workdir), settings)


def rows(path):
    return {row["rootname"]: row for row in read_table(path)}


def decide(workdir, *lines):
    workdir.overrides.write_text(OVERRIDES + "".join(f"{line}\n" for line in lines))


# ------------------------------------------------------------------------------ the manifest


def test_the_manifest_lists_the_files_of_the_visit(campaign):
    made = make_raw_manifest(campaign, "jaaa01")
    found = read_table(campaign.raw_manifest("jaaa01"))
    assert list(found["file"]) == ["jaaa01aaq_flt.fits", "jaaa01abq_flt.fits"]
    assert found["sha256"][0] == sha256_of_file(campaign.raw / "jaaa01aaq_flt.fits")
    assert made.facts["n_exposures"] == 2
    assert found.colnames == [spec.name for spec in MANIFEST_COLUMNS]


def test_a_manifest_that_stands_is_not_made_again(campaign):
    first = make_raw_manifest(campaign, "jaaa01")
    again = make_raw_manifest(campaign, "jaaa01")
    assert (first.ran, again.ran) == (True, False)
    assert first.digest == again.digest


def test_a_manifest_is_made_again_on_demand(campaign):
    make_raw_manifest(campaign, "jaaa01")
    assert make_raw_manifest(campaign, "jaaa01", redo=True).ran


def test_a_lost_raw_file_is_found_before_anything_else(campaign):
    make_raw_manifest(campaign, "jaaa01")
    (campaign.raw / "jaaa01aaq_flt.fits").unlink()
    with pytest.raises(MissingProduct, match=r"jaaa01aaq_flt.fits is gone"):
        make_raw_manifest(campaign, "jaaa01")


def test_a_visit_without_files_is_an_error(campaign):
    with pytest.raises(MissingProduct, match="no verified exposure of visit jzzz99"):
        make_raw_manifest(campaign, "jzzz99")


# --------------------------------------------------------------------------- the visit table


def test_the_columns_are_those_of_the_registry(campaign):
    make_all(campaign)
    found = read_table(campaign.visit_exposures("jaaa01"))
    assert found.colnames == [spec.name for spec in EXPOSURE_COLUMNS]
    for spec in EXPOSURE_COLUMNS:
        assert found[spec.name].info.description == spec.description
        assert found[spec.name].unit == spec.unit
        kind = "U" if spec.dtype == "str" else np.dtype(spec.dtype).kind
        assert found[spec.name].dtype.kind == kind


def test_every_column_is_described():
    assert all(spec.description for spec in EXPOSURE_COLUMNS + MANIFEST_COLUMNS)
    assert len({spec.name for spec in EXPOSURE_COLUMNS}) == len(EXPOSURE_COLUMNS)


def test_the_row_tells_what_the_header_says(campaign, field_position):
    make_all(campaign)
    row = rows(campaign.visit_exposures("jaaa01"))["jaaa01aaq"]
    assert (row["instrument"], row["detector"], row["filter"]) == ("ACS", "HRC", "F814W")
    assert row["exptime"] == 400 * u.s
    assert row["mjd_start"].value == DAY
    assert (row["ra"].value, row["dec"].value) == pytest.approx(field_position)
    assert np.cos(row["pa"]).value == pytest.approx(1)
    assert row["zp_ab_1"].value == pytest.approx(photometry.ab_zero_point(1e-19, 6000.0))
    assert np.isnan(row["zp_ab_2"].value)
    assert len(parse_footprint(row["footprint"])) == 1
    assert row["target_depth"].to_value("arcsec") == pytest.approx(20 * 0.027, abs=1e-4)
    assert row["epoch"] == -1


def test_a_refused_exposure_has_its_reason(campaign):
    make_all(campaign)
    row = rows(campaign.visit_exposures("jaaa01"))["jaaa01abq"]
    assert not row["used"]
    assert row["reason"] == "exposed 5 s, less than 15 s (keep_short is off)"
    assert rows(campaign.visit_exposures("jaaa01"))["jaaa01aaq"]["reason"] == ""


def test_a_wfpc2_row_names_its_companion(exposure_file, workdir):
    ingest([exposure_file("wfpc2", n_chips=4)], workdir)
    make_all(workdir)
    (row,) = read_table(workdir.target_exposures)
    assert (row["file"], row["dq_file"]) == ("ueee05ijm_c0m.fits", "ueee05ijm_c1m.fits")
    assert not np.isnan(row["zp_st_4"].value)


def test_facts_are_what_an_astronomer_looks_at(campaign):
    make_raw_manifest(campaign, "jaaa01")
    facts = make_visit_table(campaign, "jaaa01", load_settings(campaign)).facts
    assert facts == {
        "n_exposures": 2,
        "n_used": 1,
        "n_refused": 1,
        "n_overrides": 0,
        "filters": ["acs_hrc F814W"],
        "exptime_used_s": 400.0,
        "refusals": ["jaaa01abq: exposed 5 s, less than 15 s (keep_short is off)"],
    }


def test_long_lists_of_refusals_are_cut_short():
    spec_rows = [
        {
            spec.name: {"str": f"x{number}", "bool": False}.get(spec.dtype, 0)
            for spec in EXPOSURE_COLUMNS
        }
        for number in range(20)
    ]
    facts = table.table_facts(build_table(EXPOSURE_COLUMNS, spec_rows, {}))
    assert facts["refusals"][-1] == "and 8 more"
    assert len(facts["refusals"]) == 13


def test_each_raw_file_is_opened_once(campaign, monkeypatch):
    make_raw_manifest(campaign, "jaaa01")
    opened = []
    original = fits.open
    monkeypatch.setattr(
        fits,
        "open",
        lambda handle, *a, **k: (opened.append(handle.name), original(handle, *a, **k))[1],
    )
    make_visit_table(campaign, "jaaa01", load_settings(campaign))
    make_target_table_inputs = sorted(str(name).rsplit("/", 1)[-1] for name in opened)
    assert make_target_table_inputs == ["jaaa01aaq_flt.fits", "jaaa01abq_flt.fits"]


def test_without_a_manifest_there_is_no_table(campaign):
    with pytest.raises(MissingProduct, match="raw_exposures of visit jaaa01 has not been made"):
        make_visit_table(campaign, "jaaa01", Settings())


def test_a_raw_file_lost_after_the_manifest_is_named(campaign):
    make_raw_manifest(campaign, "jaaa01")
    (campaign.raw / "jaaa01abq_flt.fits").unlink()
    with pytest.raises(MissingProduct, match=r"jaaa01abq_flt.fits is gone"):
        make_visit_table(campaign, "jaaa01", load_settings(campaign))


def test_an_exposure_without_a_position_to_look_for_is_used(exposure_file, workdir):
    ingest([exposure_file()], workdir)
    write_settings(workdir, {"target": {"ra_deg": None, "dec_deg": None}})
    make_all(workdir)
    assert np.isnan(read_table(workdir.target_exposures)["target_depth"][0].value)


# --------------------------------------------------------------------------------- overrides


def test_a_human_decision_wins_over_the_machine(campaign):
    decide(campaign, 'jaaa01aaq False "ghost over the target"', 'jaaa01abq True "bright enough"')
    make_all(campaign)
    found = rows(campaign.target_exposures)
    assert (found["jaaa01aaq"]["used"], found["jaaa01abq"]["used"]) == (False, True)
    assert found["jaaa01aaq"]["reason"] == "by hand: ghost over the target"
    assert found["jaaa01abq"]["reason"] == ""
    assert found["jaaa01abq"]["override"] == (
        "used by hand: bright enough (automatic selection: rejected: exposed 5 s, less than 15 s "
        "(keep_short is off))"
    )


def test_a_decision_concerns_only_its_visit(campaign):
    make_all(campaign)
    decide(campaign, "jaaa01aaq False why")
    settings = load_settings(campaign)
    assert not make_visit_table(campaign, "jbbb02", settings).ran
    assert make_visit_table(campaign, "jaaa01", settings).ran


def test_another_spelling_of_the_same_decisions_changes_nothing(campaign):
    decide(campaign, "jaaa01aaq False why", "jaaa01abq True why")
    make_all(campaign)
    decide(campaign, "JAAA01ABQ True why", "jaaa01aaq False 'why'".replace("'", '"'))
    assert not make_visit_table(campaign, "jaaa01", load_settings(campaign)).ran


def test_a_decision_on_an_unknown_exposure_of_the_visit_is_an_error(campaign):
    make_raw_manifest(campaign, "jaaa01")
    decide(campaign, "jaaa01zzq False why")
    with pytest.raises(BadConfiguration, match=r"not in raw/: jaaa01zzq"):
        make_visit_table(campaign, "jaaa01", load_settings(campaign))


def test_a_decision_on_an_unknown_visit_is_an_error_of_the_target(campaign):
    make_all(campaign)
    decide(campaign, "jzzz99zzq False why")
    assert not make_visit_table(campaign, "jaaa01", load_settings(campaign)).ran
    with pytest.raises(BadConfiguration, match=r"not in raw/: jzzz99zzq"):
        make_target_table(campaign, visits_in(campaign), load_settings(campaign))


# ------------------------------------------------------------------------------- skip or run


@pytest.mark.parametrize(
    ("section", "changes", "ran"),
    [
        ("selection", {"min_exptime_s": 1.0}, True),
        ("target", {"ra_deg": 150.10001}, True),
        ("epochs", {"max_gap_days": 3.0}, False),
        ("drizzle", {"pixfrac": 0.5}, False),
        ("machine", {"max_cores": 1}, False),
    ],
)
def test_only_settings_that_matter_make_the_visit_table_again(campaign, section, changes, ran):
    make_all(campaign)
    settings = write_settings(campaign, {section: changes})
    assert make_visit_table(campaign, "jaaa01", settings).ran is ran


def test_a_new_exposure_concerns_only_its_visit(campaign, exposure_file):
    make_all(campaign)
    ingest([exposure_file(rootname="jbbb02acq")], campaign)
    assert not make_raw_manifest(campaign, "jaaa01").ran
    assert make_raw_manifest(campaign, "jbbb02").ran
    assert not make_visit_table(campaign, "jaaa01", load_settings(campaign)).ran
    assert make_visit_table(campaign, "jbbb02", load_settings(campaign)).ran


def test_a_lost_table_is_made_again(campaign):
    make_all(campaign)
    campaign.visit_exposures("jaaa01").unlink()
    assert make_visit_table(campaign, "jaaa01", load_settings(campaign)).ran


def test_the_same_inputs_make_the_same_bytes(campaign):
    make_all(campaign)
    products = [campaign.visit_exposures("jaaa01"), campaign.target_exposures]
    first = [product.read_bytes() for product in products]
    settings = load_settings(campaign)
    make_visit_table(campaign, "jaaa01", settings, redo=True)
    make_target_table(campaign, visits_in(campaign), settings, redo=True)
    assert [product.read_bytes() for product in products] == first


# -------------------------------------------------------------------------- the target table


def test_the_target_table_gathers_all_visits_in_time_order(campaign):
    made = make_all(campaign)
    found = read_table(campaign.target_exposures)
    assert list(found["rootname"]) == ["jaaa01aaq", "jaaa01abq", "jbbb02aaq", "jbbb02abq"]
    assert (made.facts["n_visits"], made.facts["n_epochs"]) == (2, 2)
    assert found.colnames == [spec.name for spec in EXPOSURE_COLUMNS]


def test_only_used_exposures_have_an_epoch(campaign):
    make_all(campaign)
    assert list(read_table(campaign.target_exposures)["epoch"]) == [1, -1, 2, 2]


def test_the_gap_of_epochs_is_a_setting(campaign):
    make_all(campaign)
    settings = write_settings(campaign, {"epochs": {"max_gap_days": 20.0}})
    assert make_target_table(campaign, visits_in(campaign), settings).ran
    assert list(read_table(campaign.target_exposures)["epoch"]) == [1, -1, 1, 1]


def test_the_order_of_the_visits_does_not_matter(campaign):
    make_all(campaign)
    settings = load_settings(campaign)
    assert not make_target_table(campaign, ["jbbb02", "jaaa01", "jaaa01"], settings).ran


def test_a_target_without_any_used_exposure_is_an_error_that_tells_why(campaign):
    write_settings(campaign, {"selection": {"min_exptime_s": 1000.0}})
    for _ in range(2):  # the second time the table stands already
        with pytest.raises(UnusableInput, match=r"none of the 4 exposures .* less than 1000 s"):
            make_all(campaign)
    assert len(read_table(campaign.target_exposures)) == 4


def test_a_target_without_visits_is_an_error(workdir):
    with pytest.raises(UnusableInput, match="no visit to gather"):
        make_target_table(workdir, [], Settings())


def test_a_visit_whose_table_is_missing_is_named(campaign):
    make_all(campaign)
    campaign.visit_exposures("jbbb02").unlink()
    with pytest.raises(MissingProduct, match="exposure_table of visit jbbb02 has not been made"):
        make_target_table(campaign, visits_in(campaign), Settings())


def test_a_table_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(MissingProduct, match="cannot be read"):
        read_table(tmp_path / "exposures.ecsv")


def test_a_damaged_table_is_an_error(tmp_path):
    path = tmp_path / "exposures.ecsv"
    path.write_text("garbage")
    with pytest.raises(MissingProduct, match="cannot be read"):
        read_table(path)


def test_tables_are_plain_ecsv(campaign):
    make_all(campaign)
    assert QTable.read(campaign.target_exposures)["exptime"].unit == u.s


# ------------------------------------------------------------------------------ raw/ is sacred


def test_no_step_touches_raw(campaign):
    def state():
        return {
            path.name: (path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes())
            for path in campaign.raw.iterdir()
        }

    before = state()
    decide(campaign, "jaaa01aaq False why")
    make_all(campaign)
    make_all(campaign, write_settings(campaign, {"selection": {"keep_short": True}}))
    assert state() == before


def test_an_exposure_whose_headers_are_good_for_nothing_costs_itself(campaign):
    """Such as one that was let in before dates were bounded."""
    path = campaign.raw / "jaaa01abq_flt.fits"
    path.chmod(0o644)
    fits.setval(path, "EXPSTART", value=1e300)
    now = {"sha256": sha256_of_file(path), "size": path.stat().st_size}
    ledger = [
        replace(file, mtime_ns=path.stat().st_mtime_ns, **now) if file.name == path.name else file
        for file in raw_ledger(campaign)
    ]
    write_ledger(campaign, ledger)
    make_all(campaign)
    found = rows(campaign.target_exposures)
    assert found["jaaa01aaq"]["used"]
    bad = found["jaaa01abq"]
    assert (bad["used"], bad["epoch"]) == (False, -1)
    assert "its headers cannot be used: it ends (EXPEND" in bad["reason"]
    assert np.isnan(bad["mjd_start"].value)

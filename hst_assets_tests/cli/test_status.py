def test_an_empty_root_says_so(cli, root):
    result = cli("status")
    assert result.code == 0
    assert f"no targets in {root}" in result.out


def test_what_stands_is_told_from_what_does_not(cli, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    cli("materialize", "sn1", "--select", "raw_exposures")
    lines = cli("status", "sn1").out.splitlines()
    assert any("raw_exposures" in line and "up to date" in line for line in lines)
    assert any("exposure_table" in line and "missing" in line for line in lines)


def test_a_changed_product_is_noticed(cli, root, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    cli("materialize", "sn1", "--select", "raw_exposures")
    (root / "sn1" / "workspace" / "isim01_raw.ecsv").write_text("edited")
    lines = cli("status", "sn1").out.splitlines()
    assert any("raw_exposures" in line and "invalid" in line for line in lines)


def test_a_changed_setting_is_named_and_what_would_be_made_is_told(cli, root, small_campaign):
    chosen = ("--select", "raw_exposures,exposure_table")
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    cli("materialize", "sn1", *chosen)
    assert any(
        "exposure_table" in line and "up to date" in line
        for line in cli("status", "sn1").out.splitlines()
    )
    cli("settings", "sn1", "selection.min_exptime_s=1")
    named = "setting selection.min_exptime_s 15.0 → 1.0"
    lines = cli("status", "sn1").out.splitlines()
    assert any("exposure_table" in line and f"stale: {named}" in line for line in lines)
    records = {path: path.read_bytes() for path in (root / "sn1").rglob("*.provenance.json")}

    dry = cli("materialize", "sn1", "--dry-run", *chosen)
    assert dry.code == 0
    assert dry.out.splitlines() == [
        f"sn1/isim01               would make exposure_table: {named}",
        "1 would be made, 1 are up to date",
    ]
    left = {path: path.read_bytes() for path in (root / "sn1").rglob("*.provenance.json")}
    assert left == records


def test_a_decision_by_hand_is_named(cli, root, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    cli("materialize", "sn1", "--select", "raw_exposures,exposure_table")
    (root / "sn1" / "overrides.ecsv").write_text(
        "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: rootname, datatype: string}\n"
        "# - {name: use, datatype: bool}\n# - {name: reason, datatype: string}\n"
        "rootname use reason\nisim01a0q False trailed\n"
    )
    lines = cli("status", "sn1").out.splitlines()
    assert any("exposure_table" in line and "stale: setting overrides" in line for line in lines)


def test_an_unknown_asset_of_a_dry_run_is_refused(cli, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    assert cli("materialize", "sn1", "--dry-run", "--select", "drizle").code == 2

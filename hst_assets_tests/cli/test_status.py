def test_an_empty_root_says_so(cli, root):
    result = cli("status")
    assert result.code == 0
    assert f"no targets in {root}" in result.out


def test_what_stands_is_told_from_what_does_not(cli, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    cli("materialize", "sn1", "--select", "raw_exposures")
    lines = cli("status", "sn1").out.splitlines()
    assert any("raw_exposures" in line and "valid" in line.split() for line in lines)
    assert any("exposure_table" in line and "missing" in line for line in lines)


def test_a_changed_product_is_noticed(cli, root, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    cli("materialize", "sn1", "--select", "raw_exposures")
    (root / "sn1" / "workspace" / "isim01_raw.ecsv").write_text("edited")
    lines = cli("status", "sn1").out.splitlines()
    assert any("raw_exposures" in line and "invalid" in line for line in lines)

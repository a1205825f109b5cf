"""The simulated fields on which the embedded photometer is judged, by name."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hst_assets_tests.star_judge import EDGE_PIX, STUDY_10K, Judged
from hst_assets_tests.star_scenes import CAMERAS, Scene, Shot, shots


@dataclass(frozen=True)
class Case:
    """A scene, in which band it is judged, and what its figures are compared with.

    Stars nearer to the reference's edge than `edge_pix` are not judged.
    """

    scene: Scene
    band: str = "wfc3_uvis F814W"
    group: str = "light"
    study: Judged | None = None
    note: str = ""
    seed: int = 20
    edge_pix: float = EDGE_PIX


def shrunk(scene: Scene, times: int) -> Scene:
    """The same scene with sides so many times shorter, all densities kept."""
    area = times**2
    return replace(
        scene,
        shape=(scene.shape[0] // times, scene.shape[1] // times),
        n_stars=scene.n_stars // area,
        hot_pixels=scene.hot_pixels // area,
        galaxies=scene.galaxies // area,
    )


def density_of(detector: str, n: int) -> Scene:
    """So many stars on a Mpx of a detector, four exposures."""
    sky = 400.0 if detector == "wfc3_ir" else 60.0
    return Scene(n, shots=shots(4, detector), reference=detector, sky_e=sky)


THOUSANDS = {"1k": 1_000, "10k": 10_000, "50k": 50_000}


def _cases() -> dict[str, Case]:
    made: dict[str, Case] = {}
    for short, detector in (
        ("uvis", "wfc3_uvis"),
        ("wfc", "acs_wfc"),
        ("ir", "wfc3_ir"),
        ("hrc", "acs_hrc"),
        ("wfpc2", "wfpc2"),
    ):
        for size, n in THOUSANDS.items():
            if size == "50k" and short in ("hrc", "wfpc2"):
                continue
            made[f"{short}_{size}"] = Case(
                density_of(detector, n),
                band=CAMERAS[detector].band,
                group="light" if size == "1k" else "dense" if size == "10k" else "heavy",
                study=STUDY_10K if (short, size) == ("uvis", "10k") else None,
            )
    base = density_of("wfc3_uvis", 3_000)
    hard = {
        "varying": replace(base, varying=True),
        "airy": replace(base, family="airy"),
        "distorted": replace(base, distorted=True, shots=shots(4, turn_deg=7.0)),
        "cosmic_rays": replace(base, cosmic_rays=1.0),
        "hot_pixels": replace(base, hot_pixels=1_500),
        "galaxies": replace(base, galaxies=150, nebula=3.0),
        "saturated": replace(base, brightest_e=2e7, slope=0.2),
        "gap": replace(base, gap_pix=35),
        "single": replace(base, shots=shots(1)),
        "eight": replace(base, shots=shots(8)),
        "sparse": replace(base, n_stars=25, brightest_e=2e3),
        "times": replace(base, shots=_of_times(1.0, 30.0, 500.0, 1500.0), brightest_e=2e6),
        "moving": replace(base, moving=0.1, motion_pix_yr=0.15, shots=_of_years(0, 1, 2, 3)),
        "mixed": replace(base, shots=_MIXED),
        "everything": replace(
            base,
            varying=True,
            distorted=True,
            cosmic_rays=1.0,
            hot_pixels=1_500,
            galaxies=50,
            nebula=1.0,
            gap_pix=35,
            shots=shots(4, turn_deg=7.0),
        ),
    }
    for name, scene in hard.items():
        made[name] = Case(scene, group="hard")
    strip = replace(base, shape=(64, 4100), n_stars=768)
    made["edges"] = Case(
        strip, group="hard", note="to the last pixel of a strip of 64", edge_pix=0.0
    )
    few = replace(base, n_stars=64, shape=(400, 400), faintest_e=1000.0)
    made["galaxies_alone"] = Case(
        replace(few, n_stars=16, galaxies=24, shots=shots(3)), group="hard"
    )
    for short, motion in (("05", 0.5), ("10", 1.0), ("15", 1.5), ("25", 2.5)):
        scene = replace(few, moving=0.25, motion_pix_yr=motion, shots=_of_years(0, 0, 1, 1))
        made[f"moving_{short}"] = Case(scene, group="hard", note=f"{motion} pixels between epochs")
    whole = replace(base, n_stars=8_400 * 6, shape=(2051, 4096), shots=shots(8))
    made["whole_chip"] = Case(whole, group="heavy", note="8.4 Mpx, 8 exposures")
    for short, detector, shape in (
        ("uvis", "wfc3_uvis", (2051, 4096)),
        ("wfc", "acs_wfc", (2048, 4096)),
    ):
        made[f"{short}_50k_chip"] = Case(
            replace(density_of(detector, 50_000), shape=shape),
            band=CAMERAS[detector].band,
            group="heavy",
            note="50,000 stars on a whole chip",
        )
    made["ir_everything"] = Case(
        replace(
            density_of("wfc3_ir", 10_000),
            varying=True,
            distorted=True,
            cosmic_rays=0.3,
            shots=shots(4, "wfc3_ir", turn_deg=7.0),
        ),
        band=CAMERAS["wfc3_ir"].band,
        group="dense",
    )
    return made


def _of_times(*exptimes_s: float) -> tuple[Shot, ...]:
    dithered = shots(len(exptimes_s))
    return tuple(
        replace(shot, exptime_s=each) for shot, each in zip(dithered, exptimes_s, strict=True)
    )


def _of_years(*years: float) -> tuple[Shot, ...]:
    dithered = shots(len(years))
    return tuple(
        replace(shot, mjd=shot.mjd + 365.25 * each)
        for shot, each in zip(dithered, years, strict=True)
    )


_MIXED = (
    *shots(2, "wfc3_uvis"),
    *shots(2, "acs_wfc", turn_deg=25.0),
    *shots(2, "wfc3_uvis_blue"),
    *shots(2, "wfc3_ir"),
)
CASES = _cases()

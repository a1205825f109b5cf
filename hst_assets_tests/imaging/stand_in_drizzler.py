"""A stand-in for AstroDrizzle, and what is drizzled of the small campaign."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hst_assets.failures import HstAssetsError
from hst_assets.imaging.astrodrizzle.run import DrizzleReport, DrizzleRequest
from hst_assets.settings import MachineSettings, Settings
from hst_assets.workdir import WorkDir

EPOCHS = {
    "wfc3_uvis.f606w.ut150707_0001.drc.fits",
    "wfc3_uvis.f606w.ut150816_0002.drc.fits",
    "wfc3_uvis.f814w.ut150816_0003.drc.fits",
}

FILTERS = {"wfc3_uvis.f606w.all.drc.fits", "wfc3_uvis.f814w.all.drc.fits"}


class Drizzler:
    """Stand-in for `drizzle_many`: writes small files and notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.helpers: dict[str, list[str]] = {}
        self.failing: dict[str, HstAssetsError] = {}
        self.bad_fraction = 0.01
        self.stars: tuple[float | None, int] = (1.002, 12)

    def __call__(
        self, requests: Sequence[DrizzleRequest], *, workdir: WorkDir, machine: MachineSettings
    ) -> list[DrizzleReport | HstAssetsError]:
        return [self._one(request) for request in requests]

    def _one(self, request: DrizzleRequest) -> DrizzleReport | HstAssetsError:
        self.asked.append(request.label)
        self.helpers[request.label] = [path.name for path in request.others]
        if request.label in self.failing:
            return self.failing[request.label]
        request.output.parent.mkdir(exist_ok=True)
        request.output.write_text(f"{request.cards['RECIPE']} drizzled")
        WorkDir.preview(request.output).write_text("preview")
        return DrizzleReport(
            product=str(request.output),
            inputs=tuple(path.name.split("_")[0] for path in request.exposures),
            left_out=(),
            failed=(),
            exptime_s=300.0 * len(request.exposures),
            sky_per_s=0.04,
            cosmic_ray_fraction=None,
            bad_fraction=self.bad_fraction,
            weight_max=300.0,
            flux_ratio=self.stars[0],
            n_flux_stars=self.stars[1],
            complaints=(),
            problems=(),
            seconds=1.0,
            mjd_start=57210.25,
            mjd_end=57210.26,
        )

    def forget(self) -> None:
        self.asked.clear()
        self.helpers.clear()


def changed(settings: Settings, section: str = "drizzle", **values: object) -> Settings:
    part = getattr(settings, section).model_copy(update=values)
    return settings.model_copy(update={section: part})


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.drc.fits")}

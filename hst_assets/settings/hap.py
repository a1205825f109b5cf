"""Settings of the Hubble Advanced Products of a visit."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from hst_assets.settings.fields import Section, UserPath

__all__ = ["HapSettings", "LogLevel", "ParametersSection", "PhotometryMode"]

PhotometryMode = Literal["aperture", "segment", "both"]
ParametersSection = Literal["default_values", "parameters"]
LogLevel = Literal["critical", "error", "warning", "info", "debug"]


class HapSettings(Section):
    """How a visit's uniform images and catalogues are made (HAP)."""

    make: bool = False
    """Make the Hubble Advanced Products of each visit (``--run-hap``).

    Naming one of their assets makes them as well.
    """
    photometry: PhotometryMode = "both"
    """Catalogues of sources that are found as points (aperture), as islands of a segmented image
    (segment), or of each."""
    parameters_file: UserPath | None = None
    """File of parameters (JSON) with all that HAP uses for each product, as
    ``hst-assets hap -o FILE`` writes it; unset: those of drizzlepac."""
    parameters_section: ParametersSection = "default_values"
    """Which of the two sections of each product in ``parameters_file`` is used."""
    accept_a_priori_wcs: bool = False
    """Go on with the WCS that the exposures came with where they cannot be aligned to Gaia.

    If not, a detector whose exposures were not aligned gets no images; ``hst-assets hap``, which is
    drizzlepac's runsinglehap, goes on unless ``--aligned-only`` is given.
    """
    quality: bool = False
    """Write what HAP measures of its products' quality (JSON files), which makes the products."""
    mosaics: bool = False
    """Make mosaics of all visits of a target (level 3), which makes the products of the visits."""
    diagnostic_mode: bool = False
    """Keep HAP's intermediate files, and catalogues that it would empty."""
    log_level: LogLevel = "info"
    """What HAP logs."""

    @model_validator(mode="after")
    def _section_of_a_file(self) -> Self:
        if self.parameters_section == "parameters" and self.parameters_file is None:
            raise ValueError(
                "parameters_section is that of a parameters_file; drizzlepac's own parameters "
                "have one section"
            )
        return self

"""Sources for the alignment in several processes, with a stand-in of drizzlepac's module."""

from types import SimpleNamespace

import pytest

from hst_assets.failures import OutOfMemory, ToolFailed
from hst_assets.hap.quicker.alignment_sources import FailedMachine, alignment_table

WIDTH, MEASURED = 0.13, 0.08


class _Image:
    """What the table asks of an exposure; its sources tell what was done to it."""

    def __init__(self, name):
        if name == "broken":
            raise ValueError(name)
        self.imgname, self.num_sci, self.imghdu = name, 1, {("SCI", 1): SimpleNamespace(data=1.0)}
        self.bkg, self.threshold, self.done = {1: 0.5}, {1: 3.0}, []
        self.kernel, self.kernel_fwhm, self.fwhmpsf, self.crclean = None, 2.0, None, False

    def compute_background(self, **options):
        self.done.append(("background", options["nsigma"]))

    def build_kernel(self, width):
        self.done.append(("kernel", width))
        self.kernel, self.fwhmpsf = "a star", MEASURED

    def find_alignment_sources(self, *, output, dqname, crclean, deblend):
        if self.imgname == "starved":
            raise OutOfMemory("no memory")
        self.done.append(("sources", output, dqname, crclean, deblend))
        self.catalog_table = {1: [*self.done, self.imghdu["SCI", 1].data]}

    def close(self):
        self.imghdu = None


class _Table:
    """drizzlepac's order of work."""

    def __init__(self, names):
        self.dqname, self.alignment_pars, self.haplist = "DQ", {"deblend": False}, []
        width = WIDTH
        for name in names:
            image = module.HAPImage(name)
            image.compute_background(nsigma=3)
            image.build_kernel(width)
            image.crclean = True
            if image.crclean:
                plane = image.imghdu["SCI", 1]
                plane.data = module.amutils.crclean_image(
                    plane.data, 3.0, "a star", 2.0, background=0.5
                )
                image.compute_background(nsigma=3)
                image.build_kernel(width)
            if image.kernel is not None:
                width = image.fwhmpsf
            self.haplist.append(image)

    def find_alignment_sources(self, output, crclean):
        self.extracted_sources = {}
        for image, clean in zip(self.haplist, crclean, strict=True):
            image.find_alignment_sources(
                output=output, dqname=self.dqname, crclean=clean, **self.alignment_pars
            )
            self.extracted_sources[image.imgname] = image.catalog_table

    def close(self):
        for image in self.haplist:
            image.close()


def _cleaned(data, threshold, kernel, width, *, background):
    return data + threshold + width + background


module = SimpleNamespace(
    HAPImage=_Image, AlignmentTable=_Table, amutils=SimpleNamespace(crclean_image=_cleaned)
)


def _sources(kind, names):
    table = kind(names)
    table.find_alignment_sources(output=False, crclean=[False] * len(names))
    return table.extracted_sources


@pytest.mark.parametrize("cores", [1, 2])
def test_each_exposure_is_treated_as_by_drizzlepac(cores):
    ours = alignment_table(module, cores=cores, machine=FailedMachine())
    names = ["one", "two", "three"]
    expected = _sources(_Table, names)
    assert _sources(ours, names) == expected
    assert ("kernel", MEASURED) in expected["two"][1]
    assert module.HAPImage is _Image


def test_an_exposure_that_cannot_be_prepared_leaves_no_sources_of_any(caplog):
    ours = alignment_table(module, cores=2, machine=FailedMachine())
    assert _sources(ours, ["one", "broken", "three"]) == {"one": {}}
    assert "broken: could not be prepared" in caplog.text


def test_the_others_do_not_wait_for_a_first_exposure_that_cannot_be_prepared():
    ours = alignment_table(module, cores=2, machine=FailedMachine())
    assert _sources(ours, ["broken", "two"]) == {}


def test_a_failure_of_the_machine_is_kept():
    machine = FailedMachine()
    ours = alignment_table(module, cores=2, machine=machine)
    with pytest.raises(OutOfMemory):
        _sources(ours, ["one", "starved"])
    with pytest.raises(OutOfMemory):
        machine.raise_if_any()


def test_a_failure_of_the_data_is_drizzlepacs_to_judge():
    machine = FailedMachine()
    ours = alignment_table(module, cores=2, machine=machine)
    table = ours(["one", "two"])
    table.alignment_pars = {}
    with pytest.raises(ToolFailed):
        table.find_alignment_sources(output=False)
    machine.raise_if_any()

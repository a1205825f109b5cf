"""What all tests share."""

import hypothesis

# A loaded machine is not a failure.
hypothesis.settings.register_profile("hst_assets", deadline=None)
hypothesis.settings.load_profile("hst_assets")

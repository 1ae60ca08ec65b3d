"""Contract suites for blocks, layouts, encoders and executors, of robotrove or your own; needs robotrove[testing]."""

import pytest

SUITES = ("block_contracts", "encoder_contract", "executor_contract", "layout_contract")
pytest.register_assert_rewrite(*(f"{__name__}.{suite}" for suite in SUITES))

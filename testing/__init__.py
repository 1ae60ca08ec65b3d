"""Contract suites that a block, a layout, an encoder or an executor of your own inherits."""

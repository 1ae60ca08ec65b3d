"""Publishers: the finished dataset to the Hub or to OSMO."""

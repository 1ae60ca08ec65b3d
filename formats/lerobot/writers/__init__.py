"""Writers of datasets: plan, rows, statistics, metadata."""

"""Contract suites for blocks, layouts, encoders and executors; they need pytest and psutil (robotrove[dev])."""

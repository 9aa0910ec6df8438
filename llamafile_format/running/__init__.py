"""Running a container: run, record, replay."""

"""The steps from raw images to a scored student, one Kedro pipeline each."""

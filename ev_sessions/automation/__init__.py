"""Jobs, schedules and sensors, and what keeps killed runs from standing in their way."""

"""A served model: its processes, what it is asked, and requests at times that do not wait for answers."""

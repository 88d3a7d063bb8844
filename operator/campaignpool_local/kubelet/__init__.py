"""The node: schedules pods, pulls their images by name alone, runs their containers as processes, reports on them."""

"""What all tests share."""

pytest_plugins = ["tests.support.emulator", "tests.support.postgres"]

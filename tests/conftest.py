"""What all tests share."""

pytest_plugins = [
    "tests.support.commands",
    "tests.support.emulator",
    "tests.support.imagekits",
    "tests.support.postgres",
    "tests.support.small_pool",
    "tests.support.albums",  # after those that it is made of
]

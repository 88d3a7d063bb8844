"""The fixtures that all tests share."""

pytest_plugins = [
    "tests.support.commands",
    "tests.support.emulator",
    "tests.support.imagekits",
    "tests.support.postgres",
    "tests.support.operators",
    "tests.support.small_pool",
    "tests.support.image_sets",  # after the fixtures that it uses
]

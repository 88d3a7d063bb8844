"""All messages are on one page that a person can read, and it is current."""

from tests.support import messages


def test_the_page_of_messages_is_current() -> None:
    assert messages.PAGE.read_text() == messages.page(), "run `make generate`, and read what changed"


def test_the_page_has_messages_of_every_kind() -> None:
    page = messages.page()
    for text in (
        "- DatabaseReadOnly: ",  # a reason
        "- the database URL is invalid: {…}: {…}",  # an error of Python
        "- CP002: ",  # an error of SQL
        "### campaignpool blueprint check",  # a command
        "### python -m campaignpool_seeder.images",
    ):
        assert text in page

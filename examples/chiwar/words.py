"""Invented names and sentences from word lists of our own: nothing is taken from any game."""

from random import Random

_FIRST = (
    "Amber", "Ashen", "Bramble", "Brass", "Bright", "Cinder", "Clever", "Copper", "Crooked", "Dappled",
    "Distant", "Drifting", "Dusky", "Eager", "Ember", "Errant", "Fallow", "Feather", "Flint", "Gilded",
    "Glass", "Hidden", "Hollow", "Ivory", "Jade", "Keen", "Lantern", "Lonely", "Marble", "Mended",
    "Midnight", "Nimble", "Oaken", "Paper", "Patient", "Quiet", "Restless", "Silver", "Tidal", "Umber",
    "Velvet", "Wandering", "Willow", "Zephyr",
)  # fmt: skip
_SECOND = (
    "Anvil", "Arrow", "Badger", "Bell", "Bridge", "Comet", "Compass", "Crane", "Current", "Dancer",
    "Echo", "Falcon", "Ferry", "Furnace", "Gale", "Garden", "Harbor", "Heron", "Hinge", "Ibis",
    "Kettle", "Knot", "Ladder", "Loom", "Magpie", "Mantle", "Mirror", "Otter", "Parade", "Pendulum",
    "Quarry", "Rampart", "Raven", "Ripple", "Saddle", "Signal", "Spindle", "Thicket", "Tinder", "Turnstile",
    "Vault", "Whistle", "Window", "Yarrow",
)  # fmt: skip
_VERBS = ("bends", "borrows", "carries", "counts", "follows", "guards", "hides", "mends", "opens", "trades")
_PLACES = ("the night market", "the old tram line", "a flooded cellar", "the salt road", "the upper terraces")

CATEGORIES = (
    "Bladework", "Footwork", "Marksmanship", "Tinkering", "Weathercraft", "Streetcraft", "Driving", "Fortune",
)  # fmt: skip
WEAPON_KINDS = ("Blade", "Bow", "Launcher", "Pistol", "Polearm", "Rifle", "Thrown", "Unlikely")
COLORS = ("#8c2f39", "#2f6f8c", "#3d8c2f", "#8c7a2f", "#5b2f8c", None)
WEALTH = ("Poor", "Working", "Rich")


def names(rng: Random, count: int) -> list[str]:
    """Make `count` names, all different, in random order.

    A few are as found in real tables: with a stray blank at the end, with an apostrophe, with letters beyond
    ASCII; a faithful clone has them verbatim.
    """
    pairs = [f"{first} {second}" for first in _FIRST for second in _SECOND]
    rng.shuffle(pairs)
    made = [
        pairs[number % len(pairs)] + (f" {number // len(pairs) + 1}" if number >= len(pairs) else "")
        for number in range(count)
    ]
    for number in range(0, count, 97):
        made[number] += (" ", " of the Miller's", " à Vélo")[number // 97 % 3]
    return made


def sentences(rng: Random, count: int) -> str:
    """Make `count` sentences, some seventy characters each."""
    return " ".join(
        f"The {rng.choice(_FIRST).lower()} {rng.choice(_SECOND).lower()} {rng.choice(_VERBS)} what"
        f" {rng.choice(_PLACES)} left behind."
        for _ in range(count)
    )

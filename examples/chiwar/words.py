"""Invented names and sentences from original word lists; none is taken from a game."""

from random import Random

_FIRST = (
    "Amber", "Ashen", "Bramble", "Brass", "Bright", "Cinder", "Clever", "Copper", "Crooked", "Dappled",
    "Distant", "Drifting", "Dusky", "Eager", "Ember", "Errant", "Fallow", "Feather", "Flint", "Gilded",
    "Glass", "Hidden", "Hollow", "Ivory", "Jade", "Keen", "Lantern", "Lonely", "Marble", "Mellow",
    "Midnight", "Nimble", "Oaken", "Paper", "Patient", "Quiet", "Restless", "Silver", "Tidal", "Umber",
    "Velvet", "Wandering", "Willow", "Zephyr",
)  # fmt: skip
_SECOND = (
    "Anvil", "Arrow", "Badger", "Bellows", "Bridge", "Comet", "Compass", "Crane", "Current", "Dancer",
    "Echo", "Falcon", "Ferry", "Furnace", "Gale", "Garden", "Harbor", "Heron", "Hinge", "Ibis",
    "Kettle", "Knot", "Ladder", "Loom", "Magpie", "Mantle", "Mirror", "Otter", "Parade", "Pendulum",
    "Quarry", "Rampart", "Raven", "Ripple", "Saddle", "Signal", "Spindle", "Thicket", "Tinder", "Turnstile",
    "Vault", "Whistle", "Window", "Yarrow",
)  # fmt: skip
_VERBS = ("bends", "borrows", "carries", "counts", "follows", "guards", "hides", "paints", "opens", "trades")
_PLACES = ("the night market", "the old tram line", "a flooded cellar", "the salt road", "the upper terraces")

CATEGORIES = (
    "Bladework", "Footwork", "Marksmanship", "Tinkering", "Weathercraft", "Streetcraft", "Driving", "Fortune",
)  # fmt: skip
WEAPON_KINDS = ("Blade", "Bow", "Launcher", "Pistol", "Polearm", "Rifle", "Thrown", "Unlikely")
COLORS = ("#8c2f39", "#2f6f8c", "#3d8c2f", "#8c7a2f", "#5b2f8c", None)
WEALTH = ("Poor", "Working", "Rich")


def names(rng: Random, count: int) -> list[str]:
    """Return `count` distinct names in random order.

    Some are as irregular as in real tables (a trailing blank, an apostrophe, letters beyond ASCII); clones must copy
    them exactly.
    """
    pairs = [f"{first} {second}" for first in _FIRST for second in _SECOND]
    rng.shuffle(pairs)
    chosen = [
        pairs[number % len(pairs)] + (f" {number // len(pairs) + 1}" if number >= len(pairs) else "")
        for number in range(count)
    ]
    for number in range(0, count, 97):
        chosen[number] += (" ", " of the Miller's", " à Vélo")[number // 97 % 3]
    return chosen


def sentences(rng: Random, count: int) -> str:
    """Return `count` sentences of about seventy characters each."""
    return " ".join(
        f"The {rng.choice(_FIRST).lower()} {rng.choice(_SECOND).lower()} {rng.choice(_VERBS)} what"
        f" {rng.choice(_PLACES)} left behind."
        for _ in range(count)
    )

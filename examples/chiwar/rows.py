"""The rows of the sample application, from a seeded generator: the same seed creates the same rows."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from chiwar import ids, words

Row = tuple[object, ...]

# In the order of foreign keys. `users.current_campaign_id` is set afterwards.
COLUMNS: dict[str, str] = {
    "users": "id email name first_name last_name encrypted_password gamemaster jti created_at updated_at",
    "campaigns": "id user_id name description is_master_template active seeded_at image_url created_at updated_at",
    "campaign_memberships": "id user_id campaign_id created_at updated_at",
    "schticks": "id campaign_id category path name description color bonus archetypes prerequisite_id active"
    " created_at updated_at",
    "weapons": "id campaign_id name description category juncture damage concealment reload_value mook_bonus"
    " kachunk created_at updated_at",
    "factions": "id campaign_id name description created_at updated_at",
    "junctures": "id campaign_id faction_id name description created_at updated_at",
    "characters": "id campaign_id user_id faction_id juncture_id equipped_weapon_id name is_template active"
    " color wealth action_values skills description notion_page_id created_at updated_at",
    "character_schticks": "character_id schtick_id created_at updated_at",
    "carries": "id character_id weapon_id created_at updated_at",
    "image_positions": "id positionable_type positionable_id context x_position y_position created_at updated_at",
    "active_storage_blobs": "id key filename content_type metadata service_name byte_size checksum created_at",
    "active_storage_attachments": "name record_type record_id blob_id created_at",
    "fights": "id campaign_id name description sequence active started_at created_at updated_at",
    "shots": "id fight_id character_id shot created_at updated_at",
    "invitations": "id campaign_id user_id email maximum_count created_at updated_at",
}
_CONTEXTS = ("desktop_index", "desktop_entity", "mobile_index", "mobile_entity")
# Timestamps without a time zone, in UTC, as Rails stores them.
_EPOCH = datetime(2025, 1, 6, 9, 0, tzinfo=UTC).replace(tzinfo=None)


@dataclass(frozen=True, kw_only=True)
class Size:
    """The numbers of a campaign's rows, by whether clones copy them."""

    schticks: int
    """Active schticks, which clones copy."""
    prerequisites: int
    """Active schticks with an active prerequisite."""
    retired_prerequisites: int
    """Active schticks with an inactive prerequisite, which becomes NULL in clones."""
    retired_schticks: int
    """Inactive schticks, which clones leave out."""
    weapons: int
    factions: int
    junctures: int
    templates: int
    """Template characters, which clones copy with their schticks and weapons."""
    played: int
    """Other characters, which clones leave out with their schticks and weapons."""
    known: int
    """Active schticks that template characters know (`character_schticks`)."""
    known_retired: int
    """Inactive schticks that template characters know; clones leave these rows out."""
    carries: int
    """Weapons that template characters carry."""
    positions: int
    """Image positions of rows that clones copy."""

    @classmethod
    def of(cls, scale: float) -> "Size":
        """Return the size of a real campaign times `scale` (greater than 0), at least one of each."""

        def times(count: int) -> int:
            return max(1, round(count * scale))

        return cls(
            schticks=times(643),
            prerequisites=times(128),
            retired_prerequisites=times(8),
            retired_schticks=times(24),
            weapons=times(140),
            factions=times(12),
            junctures=times(7),
            templates=times(40),
            played=times(10),
            known=times(157),
            known_retired=times(4),
            carries=times(40),
            positions=times(95),
        )


@dataclass
class Rows:
    """The rows of all tables, with values in the order of `COLUMNS`, and the random generator."""

    rng: Random
    tables: dict[str, list[Row]] = field(default_factory=lambda: {table: [] for table in COLUMNS})
    _moments: int = 0

    def id(self) -> UUID:
        """Return a random uuid, as the application's database would."""
        return UUID(int=self.rng.getrandbits(128), version=4)

    def moment(self) -> datetime:
        """Return a time later than all previous ones."""
        self._moments += 1
        return _EPOCH + timedelta(milliseconds=37 * self._moments)

    def add(self, table: str, *values: object) -> None:
        """Add a row from its values without `created_at` and `updated_at`, which are the last columns."""
        moment = self.moment()
        stamps = (moment, moment) if COLUMNS[table].endswith(" updated_at") else (moment,)
        self.tables[table].append((*values, *stamps))

    def pairs(self, left: list[UUID], right: list[UUID], count: int) -> list[tuple[UUID, UUID]]:
        """Return `count` distinct pairs, or all pairs if there are fewer."""
        numbers = self.rng.sample(range(len(left) * len(right)), min(count, len(left) * len(right)))
        return [(left[number // len(right)], right[number % len(right)]) for number in numbers]


def add_user(rows: Rows, user: UUID, name: str, *, gamemaster: bool) -> None:
    """Add a user, whose e-mail address consists of the name and a number."""
    first, _, last = name.partition(" ")
    number = len(rows.tables["users"]) + 1
    mail = f"{first.lower()}.{number}@chiwar.example"
    rows.add("users", user, mail, name, first, last, f"$2a$12${rows.id().hex}", gamemaster, str(rows.id()))


def add_campaign(
    rows: Rows, campaign: UUID, owner: UUID, name: str, size: Size, players: list[UUID], *, template: bool
) -> None:
    """Add a campaign with all rows below it, including user data.

    Args:
        rows: The rows to add to.
        campaign: The id of the campaign.
        owner: The user who owns the campaign.
        name: The name of the campaign.
        size: The number of rows of every kind.
        players: The users who are members and own characters.
        template: Whether this is the master template.
    """
    rng = rows.rng
    url = f"https://ik.imagekit.example/chiwar/{campaign}.webp"
    rows.add("campaigns", campaign, owner, name, words.sentences(rng, 3), template, True, rows.moment(), url)
    for user in (owner, *players):
        rows.add("campaign_memberships", rows.id(), user, campaign)
    schticks, retired = _add_schticks(rows, campaign, size)
    weapons = _add_weapons(rows, campaign, size.weapons)
    factions = _add_named(rows, "factions", campaign, size.factions)
    junctures = _add_named(rows, "junctures", campaign, size.junctures, factions)
    places = (factions, junctures, weapons)
    templates = _add_characters(rows, campaign, size.templates, [owner], places, template=True)
    played = _add_characters(rows, campaign, size.played, players, places, template=False)
    known_schticks = rows.pairs(templates, schticks, size.known) + rows.pairs(templates, retired, size.known_retired)
    for pair in known_schticks + rows.pairs(played, schticks, 3 * size.played):
        rows.add("character_schticks", *pair)
    for pair in rows.pairs(templates, weapons, size.carries) + rows.pairs(played, weapons, size.played):
        rows.add("carries", rows.id(), *pair)
    fights = _add_user_data(rows, campaign, owner, templates + played)

    copied = _records(
        Campaign=[campaign],
        Character=templates,
        Faction=factions,
        Juncture=junctures,
        Schtick=schticks,
        Weapon=weapons,
    )
    others = _records(Character=played, Schtick=retired, Fight=fights)
    _add_images(rows, copied + others)
    _add_positions(rows, copied, size.positions)
    _add_positions(rows, others, max(1, size.positions // 10))


def _records(**records: list[UUID]) -> list[tuple[str, UUID]]:
    """Return polymorphic references: the name of the Rails class and the id."""
    return [(kind, record) for kind, ids_of_kind in records.items() for record in ids_of_kind]


def _add_schticks(rows: Rows, campaign: UUID, size: Size) -> tuple[list[UUID], list[UUID]]:
    """Add the schticks and return the active and the inactive ones."""
    rng = rows.rng
    active = [rows.id() for _ in range(size.schticks)]
    retired = [rows.id() for _ in range(size.retired_schticks)]
    # A prerequisite precedes its schtick in this order, so there are no cycles; every second schtick with a
    # prerequisite takes the previous one as its own, so there are chains.
    prerequisites: dict[UUID, UUID] = {}
    dependent = sorted(rng.sample(range(1, len(active)), min(size.prerequisites, len(active) - 1)))
    for number, place in enumerate(dependent):
        earlier = dependent[number - 1] if number % 2 else rng.randrange(place)
        prerequisites[active[place]] = active[earlier]
    free = [schtick for schtick in active if schtick not in prerequisites]
    for schtick in free[-size.retired_prerequisites :]:
        prerequisites[schtick] = rng.choice(retired)
    prerequisites[retired[-1]] = active[0]

    all_schticks = active + retired
    schtick_names = dict(zip(all_schticks, words.names(rng, len(all_schticks)), strict=True))
    inactive = set(retired)
    # Rows are stored in random order, so a prerequisite may come after its schtick.
    for schtick in rng.sample(all_schticks, len(all_schticks)):
        category = rng.choice(words.CATEGORIES)
        rows.add(
            "schticks",
            schtick,
            campaign,
            category,
            rng.choice(("Core", "Path of the Reed", "Path of the Kiln", None)),
            schtick_names[schtick],
            words.sentences(rng, 1 + rng.randrange(4)),
            rng.choice(words.COLORS),
            rng.random() < 0.1,
            json.dumps(rng.sample(words.CATEGORIES, rng.randrange(3))),
            prerequisites.get(schtick),
            schtick not in inactive,
        )
    return active, retired


def _add_weapons(rows: Rows, campaign: UUID, count: int) -> list[UUID]:
    rng = rows.rng
    weapons = []
    for name in words.names(rng, count):
        weapons.append(weapon := rows.id())
        rows.add(
            "weapons",
            weapon,
            campaign,
            name,
            words.sentences(rng, 1 + rng.randrange(2)),
            rng.choice(words.WEAPON_KINDS),
            rng.choice(("Modern", "Ancient", "Future", None)),
            rng.randrange(5, 14),
            rng.choice((1, 2, 3, 4, 5, None)),
            rng.choice((2, 3, 4, None)),
            rng.randrange(3),
            rng.random() < 0.05,
        )
    return weapons


def _add_named(rows: Rows, table: str, campaign: UUID, count: int, factions: list[UUID] | None = None) -> list[UUID]:
    """Add factions, or with `factions` junctures, of which one in seven has no faction."""
    rng = rows.rng
    added = []
    for number, name in enumerate(words.names(rng, count)):
        added.append(row := rows.id())
        faction = () if factions is None else (None if number % 7 == 6 else rng.choice(factions),)
        rows.add(table, row, campaign, *faction, name, words.sentences(rng, 2))
    return added


def _add_characters(
    rows: Rows,
    campaign: UUID,
    count: int,
    users: list[UUID],
    places: tuple[list[UUID], list[UUID], list[UUID]],
    *,
    template: bool,
) -> list[UUID]:
    """Add characters; `places` are the campaign's factions, junctures and weapons."""
    rng = rows.rng
    factions, junctures, weapons = places
    characters = []
    for number, name in enumerate(words.names(rng, count)):
        characters.append(character := rows.id())
        values = {trait: rng.randrange(4, 15) for trait in ("Aim", "Guard", "Grit", "Pace", "Luck")}
        rows.add(
            "characters",
            character,
            campaign,
            rng.choice(users),
            rng.choice(factions) if number % 8 else None,
            rng.choice(junctures) if number % 5 else None,
            rng.choice(weapons) if number % 3 else None,
            name,
            template,
            template or number % 4 > 0,
            rng.choice(words.COLORS),
            rng.choice(words.WEALTH),
            json.dumps(values | {"Wounds": 0, "Calling": rng.choice(words.CATEGORIES)}),
            json.dumps({skill: rng.randrange(7, 14) for skill in rng.sample(words.CATEGORIES, 4)}),
            json.dumps({part: words.sentences(rng, 2) for part in ("Appearance", "Background", "Hook")}),
            rows.id() if number % 2 else None,
        )
    return characters


def _add_user_data(rows: Rows, campaign: UUID, owner: UUID, characters: list[UUID]) -> list[UUID]:
    """Add fights with shots, and invitations, which clones leave out; return the fights."""
    rng = rows.rng
    fights = []
    for name in words.names(rng, 3):
        fights.append(fight := rows.id())
        rows.add("fights", fight, campaign, name, words.sentences(rng, 1), rng.randrange(9), True, rows.moment())
        for character in rng.sample(characters, min(5, len(characters))):
            rows.add("shots", rows.id(), fight, character, rng.randrange(18))
    for number in range(4):
        rows.add("invitations", rows.id(), campaign, owner, f"guest.{number}@chiwar.example", 1)
    return fights


def _add_images(rows: Rows, records: Iterable[tuple[str, UUID]]) -> None:
    """Add an image to each record: a blob and its attachment."""
    rng = rows.rng
    for kind, record in records:
        blob = len(rows.tables["active_storage_blobs"]) + 1
        rows.add(
            "active_storage_blobs",
            blob,
            f"{rng.getrandbits(140):035x}",
            f"{kind.lower()}-{blob}.webp",
            "image/webp",
            json.dumps({"identified": True, "width": 1024, "height": 1024, "analyzed": True}),
            "imagekit",
            rng.randrange(20_000, 400_000),
            f"{rng.getrandbits(128):032x}",
        )
        rows.add("active_storage_attachments", "image", kind, record, blob)


def _add_positions(rows: Rows, records: list[tuple[str, UUID]], count: int) -> None:
    """Add `count` image positions, for the first record and for random others."""
    places = [(kind, record, context) for kind, record in records for context in _CONTEXTS]
    for place in places[:1] + rows.rng.sample(places[1:], min(count, len(places)) - 1):
        rows.add("image_positions", rows.id(), *place, *(rows.rng.randrange(-200, 200) / 2 for _ in "xy"))


def add_people(rows: Rows, others: int) -> list[UUID]:
    """Add gamemasters with fixed ids, the owners of `others` campaigns and players; return the players."""
    gamemasters = [ids.TEMPLATE_OWNER_ID, *ids.RETURNING_USERS, *ids.NEW_USERS]
    owners = [ids.other_owner_id(number) for number in range(len(ids.RETURNING_USERS) + 1, others + 1)]
    players = [rows.id() for _ in range(12)]
    people = gamemasters + owners + players
    for user, name in zip(people, words.names(rows.rng, len(people)), strict=True):
        add_user(rows, user, name, gamemaster=user not in players)
    return players

"""What the SDK meets at ImageKit, or at the stand-in for it: see tests/support/imagekits.py for how to run which."""

import httpx
import imagekitio
import pytest

from campaignpool_local.imagekit.pictures import picture
from tests.support.imagekits import IS_REAL, Place, eventually

NOBODY = "0123456789abcdef01234567"
"""An id that is well-formed, and of nothing."""


def reason(refused: imagekitio.APIStatusError) -> object:
    """Return the `reason` of a refusal, after a look at what every refusal has."""
    body = refused.body
    assert isinstance(body, dict)
    assert body["message"]
    assert body["help"]
    return body.get("reason")


async def test_an_uploaded_picture_is_described_and_served(place: Place) -> None:
    created = await place.upload("map.png", picture(1, 30, 20), tags=["a", "b"])
    assert (created.name, created.file_path) == ("map.png", f"{place.folder}/map.png")
    assert (created.width, created.height, created.file_type) == (30, 20, "image")
    assert created.version_info.name == "Version 1"
    value = await place.client.files.get(created.file_id)
    assert (value.mime, value.type, value.tags, value.ai_tags) == ("image/png", "file", ["a", "b"], None)
    assert (value.is_private_file, value.custom_coordinates, value.has_alpha) == (False, None, False)
    assert value.size == len(picture(1, 30, 20))
    async with httpx.AsyncClient() as http:
        answer = await http.get(value.url)
        assert answer.raise_for_status().headers["content-type"].startswith("image/")
        assert IS_REAL or answer.content == picture(1, 30, 20)  # ImageKit serves it in a better format
        (await http.get(value.thumbnail)).raise_for_status()
        (await http.get(created.thumbnail_url)).raise_for_status()


async def test_an_upload_gets_a_name_of_its_own_unless_it_declines(place: Place) -> None:
    names = {(await place.upload("map.txt", use_unique_file_name=True)).name for _ in range(2)}
    assert len(names) == 2
    assert all(name.startswith("map_") and name.endswith(".txt") for name in names)


async def test_an_upload_with_a_taken_name_is_a_new_version(place: Place) -> None:
    first, second = await place.upload("map.txt", b"one"), await place.upload("map.txt", b"three")
    assert (second.file_id, second.version_info.name) == (first.file_id, "Version 2")
    assert second.version_info.id != first.version_info.id
    assert (await place.client.files.get(first.file_id)).size == len(b"three")


async def test_an_upload_can_refuse_to_replace(place: Place) -> None:
    await place.upload("map.txt")
    with pytest.raises(imagekitio.BadRequestError):
        await place.upload("map.txt", overwrite_file=False)


async def test_characters_that_are_not_allowed_become_underscores(place: Place) -> None:
    created = await place.upload("the map, (2)_-.txt", below="/A b_c-d")
    assert created.file_path == f"{place.folder}/A_b_c-d/the_map___2__-.txt"


async def test_a_list_holds_one_folder_without_those_below(place: Place) -> None:
    await place.upload("map.txt")
    await place.upload("deep.txt", below="/deep")
    await eventually(place.names, ["map.txt"])
    await eventually(lambda: place.names(type="all"), ["deep", "map.txt"])
    await eventually(lambda: place.names("/deep/"), ["deep.txt"])
    assert [(result.type, result.folder_path) for result in await place.listed(type="folder")] == [
        ("folder", f"{place.folder}/deep")
    ]
    assert await place.names("/nowhere") == []


async def test_a_list_comes_in_pages(place: Place) -> None:
    for number in range(5):
        await place.upload(f"{number}.txt")
    await eventually(place.names, [f"{number}.txt" for number in range(5)])
    pages = [await place.names(limit=2, skip=skip) for skip in (0, 2, 4, 6)]
    assert pages == [["0.txt", "1.txt"], ["2.txt", "3.txt"], ["4.txt"], []]
    assert await place.names(limit=1, sort="DESC_NAME") == ["4.txt"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ('name = "red-map.png"', ["red-map.png"]),
        ('name : "red-"', ["red-map.png", "red-note.txt"]),
        ('name : "Red-"', []),
        ('name : "red-" AND format = "png"', ["red-map.png"]),
        ('name = "blue-map.png" OR (name : "red-" AND NOT_A_FIELD = "x")', None),
        ('name IN ["blue-map.png", "red-note.txt", "nothing"]', ["blue-map.png", "red-note.txt"]),
        ('name NOT = "red-map.png"', ["blue-map.png", "red-note.txt"]),
        ('createdAt > "1d"', ["blue-map.png", "red-map.png", "red-note.txt"]),
        ('createdAt < "1d"', []),
        ('size < "1kb" AND width > 25', ["red-map.png"]),
        ("name =", None),
    ],
)
async def test_a_list_can_be_searched(place: Place, query: str, found: list[str] | None) -> None:
    await place.upload("red-map.png", picture(1, 30, 20))
    await place.upload("red-note.txt", b"a note")
    await place.upload("blue-map.png", picture(2, 20, 20))
    await eventually(place.names, ["blue-map.png", "red-map.png", "red-note.txt"])
    if found is None:
        with pytest.raises(imagekitio.BadRequestError):
            await place.names(search_query=query)
    else:
        assert await place.names(search_query=f'type = "file" AND ({query})') == found


async def test_a_search_reaches_below_a_folder(place: Place) -> None:
    await place.upload("map.txt")
    await place.upload("deep.txt", below="/deep")

    async def names(sign: str) -> list[str]:
        query = f'type = "file" AND path {sign} "{place.folder}"'
        return [asset.name for asset in await place.client.assets.list(search_query=query, sort="ASC_NAME")]

    await eventually(lambda: names("="), ["map.txt"])
    await eventually(lambda: names(":"), ["deep.txt", "map.txt"])


async def test_a_list_can_hold_pictures_alone(place: Place) -> None:
    await place.upload("map.png", picture(1))
    await place.upload("note.txt")
    await eventually(lambda: place.names(file_type="image"), ["map.png"])
    await eventually(lambda: place.names(file_type="non-image"), ["note.txt"])


@pytest.mark.parametrize(
    "asked", [{"limit": 0}, {"limit": 1001}, {"skip": -1}, {"sort": "BEST"}, {"type": "nothing"}], ids=str
)
async def test_a_list_is_refused_that_cannot_be(place: Place, asked: dict[str, object]) -> None:
    with pytest.raises(imagekitio.BadRequestError) as refused:
        await place.listed(**asked)
    reason(refused.value)


@pytest.mark.parametrize("slashes", [("/", ""), ("/", "/"), ("", "")], ids=str)
async def test_a_copy_is_a_file_of_its_own(place: Place, slashes: tuple[str, str]) -> None:
    created = await place.upload("map.png", picture(1), tags=["a"])
    await place.upload("other.txt", below="/to")
    source, destination = created.file_path.strip("/"), f"{place.folder}/to".strip("/")
    before, after = slashes
    answer = await place.client.files.with_raw_response.copy(
        source_file_path=before + source, destination_path=before + destination + after
    )
    assert (answer.status_code, await answer.read()) == (204, b"")
    await eventually(lambda: place.names("/to"), ["map.png", "other.txt"])
    copy = (await place.listed("/to", search_query='type = "file" AND name = "map.png"'))[0]
    assert copy.file_id != created.file_id
    assert (copy.file_path, copy.size, copy.tags) == (f"{place.folder}/to/map.png", created.size, ["a"])
    assert copy.version_info.name == "Version 1"


async def test_a_copy_makes_its_folder(place: Place) -> None:
    created = await place.upload("map.txt")
    await place.client.files.copy(source_file_path=created.file_path, destination_path=f"{place.folder}/new/deep")
    await eventually(lambda: place.names("/new/deep"), ["map.txt"])
    await eventually(lambda: place.names("/new", type="folder"), ["deep"])


async def test_a_copy_onto_a_taken_name_is_its_next_version(place: Place) -> None:
    made, taken = await place.upload("map.txt", b"new one"), await place.upload("map.txt", b"old", below="/to")
    for _ in range(2):  # as a caller does that has lost the first answer
        await place.client.files.copy(source_file_path=made.file_path, destination_path=f"{place.folder}/to")
    value = await place.client.files.get(taken.file_id)
    assert (value.size, value.version_info.name) == (len(b"new one"), "Version 3")
    await eventually(lambda: place.names("/to"), ["map.txt"])


async def test_a_copy_of_nothing_or_onto_itself_is_refused(place: Place) -> None:
    created = await place.upload("map.txt")
    with pytest.raises(imagekitio.NotFoundError) as missing:
        await place.client.files.copy(
            source_file_path=f"{place.folder}/no.txt", destination_path=f"{place.folder}/to"
        )
    assert reason(missing.value) == "SOURCE_FILE_MISSING"
    with pytest.raises(imagekitio.BadRequestError) as same:
        await place.client.files.copy(source_file_path=created.file_path, destination_path=place.folder)
    assert reason(same.value) == "SAME_SOURCE_AND_DESTINATION"
    with pytest.raises(imagekitio.BadRequestError) as empty:
        await place.client.files.copy(source_file_path="", destination_path=place.folder)
    reason(empty.value)


async def test_a_folder_is_copied_into_another_by_a_job(place: Place) -> None:
    for name, below in (("a.txt", "/from"), ("b.txt", "/from/deep"), ("c.txt", "/to/from")):
        await place.upload(name, below=below)
    taken = await place.upload("a.txt", b"old", below="/to/from")
    accepted = await place.client.folders.copy(
        source_folder_path=f"{place.folder}/from", destination_path=f"{place.folder}/to/"
    )
    assert (await place.client.folders.job.get(accepted.job_id)).type == "COPY_FOLDER"
    await place.wait_for_job(accepted.job_id)
    await eventually(lambda: place.names("/to/from"), ["a.txt", "c.txt"])
    await eventually(lambda: place.names("/to/from/deep"), ["b.txt"])
    assert (await place.client.files.get(taken.file_id)).version_info.name == "Version 2"
    await eventually(lambda: place.names("/from"), ["a.txt"])


async def test_a_folder_is_not_copied_from_nowhere_or_onto_itself(place: Place) -> None:
    copy, folder = place.client.folders.copy, place.folder
    with pytest.raises(imagekitio.NotFoundError) as missing:
        await copy(source_folder_path=f"{folder}/from", destination_path=f"{folder}/to")
    assert reason(missing.value) == "NO_FILES_FOLDER"
    with pytest.raises(imagekitio.BadRequestError) as root:
        await copy(source_folder_path="/", destination_path=f"{folder}/to")
    assert reason(root.value) == "SOURCE_IS_ROOT"
    await place.upload("a.txt", below="/from")
    with pytest.raises(imagekitio.BadRequestError) as same:
        await copy(source_folder_path=f"{folder}/from", destination_path=f"{folder}/from")
    assert reason(same.value) == "SAME_SOURCE_AND_DESTINATION"


async def test_nobody_knows_a_job_that_never_was(place: Place) -> None:
    with pytest.raises(imagekitio.NotFoundError) as missing:
        await place.client.folders.job.get(NOBODY)
    reason(missing.value)


async def test_a_deleted_file_is_gone(place: Place) -> None:
    created = await place.upload("map.txt")
    await place.client.files.delete(created.file_id)
    for call in (place.client.files.get, place.client.files.delete):
        with pytest.raises(imagekitio.NotFoundError) as missing:
            await call(created.file_id)
        reason(missing.value)
    await eventually(place.names, [])


async def test_an_id_that_is_none_is_refused_otherwise(place: Place) -> None:
    with pytest.raises(imagekitio.BadRequestError) as refused:
        await place.client.files.delete("not-an-id")
    reason(refused.value)


async def test_a_bulk_deletion_with_one_id_missing_deletes_nothing(place: Place) -> None:
    ids = [(await place.upload(f"{n}.txt")).file_id for n in range(3)]
    with pytest.raises(imagekitio.NotFoundError) as refused:
        await place.client.files.bulk.delete(file_ids=[*ids, NOBODY])
    reason(refused.value)
    assert isinstance(refused.value.body, dict)
    assert refused.value.body["missingFileIds"] == [NOBODY]
    assert [(await place.client.files.get(item)).file_id for item in ids] == ids
    deleted = await place.client.files.bulk.delete(file_ids=ids)
    assert sorted(deleted.successfully_deleted_file_ids or []) == sorted(ids)
    await eventually(place.names, [])


async def test_a_bulk_deletion_names_one_to_a_hundred(place: Place) -> None:
    for ids in ([], [f"{n:024x}" for n in range(101)]):
        with pytest.raises(imagekitio.BadRequestError) as refused:
            await place.client.files.bulk.delete(file_ids=ids)
        reason(refused.value)


async def test_a_deleted_folder_takes_all_below_with_it(place: Place) -> None:
    created = await place.upload("map.txt", below="/old/deep")
    await place.client.folders.delete(folder_path=f"{place.folder}/old/")
    with pytest.raises(imagekitio.NotFoundError):
        await place.client.files.get(created.file_id)
    with pytest.raises(imagekitio.NotFoundError) as missing:
        await place.client.folders.delete(folder_path=f"{place.folder}/old")
    assert reason(missing.value) == "FOLDER_NOT_FOUND"


async def test_a_folder_is_made_with_those_above_it(place: Place) -> None:
    for _ in range(2):
        await place.client.folders.create(folder_name="maps of 2026", parent_folder_path=f"{place.folder}/new/")
    await eventually(lambda: place.names("/new", type="folder"), ["maps_of_2026"])
    with pytest.raises(imagekitio.BadRequestError):
        await place.client.folders.create(folder_name="..", parent_folder_path=place.folder)


async def test_a_stranger_is_refused(place: Place) -> None:
    async with imagekitio.AsyncImageKit(private_key="private_wrong", base_url=place.client.base_url) as stranger:
        with pytest.raises(imagekitio.PermissionDeniedError) as refused:
            await stranger.assets.list(limit=1)
    reason(refused.value)
    async with httpx.AsyncClient() as http:
        answer = await http.get(place.client.base_url.join("/v1/files"))
    assert answer.status_code == 401
    assert answer.json()["message"]


async def test_every_answer_has_a_number_for_support(place: Place) -> None:
    answer = await place.client.assets.with_raw_response.list(limit=1)
    assert answer.headers["x-ik-requestId"]

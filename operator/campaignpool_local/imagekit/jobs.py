"""Bulk jobs: copies of folders, which the API accepts at once and completes later."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from campaignpool_local.imagekit.assets import folder_path, joined, normalized_path, within
from campaignpool_local.imagekit.errors import RefusedError
from campaignpool_local.imagekit.files import Files
from campaignpool_local.values import Json


@dataclass
class Job:
    """A copy of a folder; `todo` has the remaining (path, target folder) pairs, the next one last."""

    id: str
    source: str
    target: str
    started_at: float
    seconds: float
    versions: bool
    todo: list[tuple[str, str]] = field(default_factory=list)
    size: int = 0


class Jobs:
    """The jobs of an account. There is no background task: every access first does the work that is due."""

    def __init__(self, files: Files, now: Callable[[], float]) -> None:
        self._files, self._now = files, now
        self._jobs: dict[str, Job] = {}
        self._running: list[Job] = []

    def copy_folder(self, source: str, destination: str, seconds: float, *, versions: bool) -> str:
        """Accept a recursive copy of a folder into another folder (`copy-folder`) and return the `jobId`.

        A copy of `/a/b` into `/c` becomes `/c/b`. Existing files stay; a file whose name exists becomes the newest
        version of the existing file. The job copies the files that the source has now.

        Raises:
            RefusedError: 404, the folder does not exist; 400, it is the root, or source and destination are the
                same; 423, a job uses one of the folders (documented for the destination, assumed for the source).
        """
        path, into = normalized_path(source), folder_path(destination)
        if path == "/":
            raise RefusedError(400, "sourceFolderPath cannot be root", reason="SOURCE_IS_ROOT")
        parent, _, name = path.rpartition("/")
        if into in (path, parent or "/"):
            message = "sourceFolderPath and destinationPath cannot be same."
            raise RefusedError(400, message, reason="SAME_SOURCE_AND_DESTINATION")
        if not self._files.has_folder(path):
            raise RefusedError(404, f"No files & folder found at sourceFolderPath {source}", reason="NO_FILES_FOLDER")
        target = joined(into, name)
        if self._busy(path):
            raise RefusedError(423, "A bulk job is running on given folder path, please try after sometime.")
        if self._busy(target):
            raise RefusedError(423, "Destination folder path is already locked. Please try after sometime.")
        job = Job(self._files.new_id(), path, target, self._now(), seconds, versions)
        for folder in self._files.folders_within(path):
            copy = target + folder.removeprefix(path)
            job.todo.append(("", copy))
            job.todo += [(file.full_path, copy) for file in self._files.files_in(folder)]
        job.todo.reverse()
        job.size = len(job.todo)
        self._jobs[job.id] = job
        self._running.append(job)
        self.advance()
        return job.id

    def _busy(self, path: str) -> bool:
        locked = [folder for job in self._running for folder in (job.source, job.target)]
        return any(within(path, folder) or within(folder, path) for folder in locked)

    def advance(self) -> None:
        """Do the work that is due: of every job the share of its duration that has passed."""
        for job in list(self._running):
            passed = self._now() - job.started_at
            remaining = 0 if passed >= job.seconds else job.size - int(job.size * passed / job.seconds)
            while len(job.todo) > remaining:
                path, folder = job.todo.pop()
                if not path:
                    self._files.make_folder(folder)
                else:
                    with suppress(
                        RefusedError
                    ):  # the file was deleted, or has too many versions: jobs do not report it
                        self._files.copy(path, folder, versions=job.versions)
            if not job.todo:
                self._running.remove(job)

    def status(self, job_id: str) -> Json:
        """Return the status of a job (`bulk-job-status`), which is never a failure. Raises RefusedError: 404."""
        if job_id not in self._jobs:
            raise RefusedError(404, "The requested job does not exist.")
        status = "Pending" if self._jobs[job_id].todo else "Completed"
        return {"jobId": job_id, "type": "COPY_FOLDER", "status": status}

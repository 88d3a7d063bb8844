"""Bulk jobs: the copies of folders, which are accepted at once and done later."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from campaignpool_local.imagekit.assets import folder_path, found_path, joined, within
from campaignpool_local.imagekit.errors import RefusedError
from campaignpool_local.imagekit.files import Files
from campaignpool_local.values import Json


@dataclass
class Job:
    """One copy of a folder: `todo` holds what is still to be copied, paths and folders, the next one last."""

    id: str
    source: str
    target: str
    begun: float
    seconds: float
    versions: bool
    todo: list[tuple[str, str]] = field(default_factory=list)
    size: int = 0


class Jobs:
    """The jobs of an account. Nothing runs: what is due by the clock is done when somebody looks."""

    def __init__(self, files: Files, now: Callable[[], float]) -> None:
        self._files, self._now = files, now
        self._jobs: dict[str, Job] = {}
        self._running: list[Job] = []

    def copy_folder(self, source: str, destination: str, seconds: float, *, versions: bool) -> str:
        """Accept a copy of a folder, with all below it, into another (`copy-folder`); give the `jobId`.

        `/a/b` into `/c` becomes `/c/b`. What is there stays, and a file with a taken name becomes the newest version
        of the one that has it. The source is taken as it is now.

        Raises:
            RefusedError: 404, there is no such folder; 400, it is the root, or would be copied onto itself; 423, a
                job is at work on one of the two folders (assumed of the source, said of the destination).
        """
        path, into = found_path(source), folder_path(destination)
        if path == "/":
            raise RefusedError(400, "sourceFolderPath cannot be root", reason="SOURCE_IS_ROOT")
        above, _, name = path.rpartition("/")
        if into in (path, above or "/"):
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
        for each in self._files.folders_within(path):
            job.todo.append(("", target + each.removeprefix(path)))
            job.todo += [(file.full_path, target + each.removeprefix(path)) for file in self._files.files_in(each)]
        job.todo.reverse()
        job.size = len(job.todo)
        self._jobs[job.id] = job
        self._running.append(job)
        self.settle()
        return job.id

    def _busy(self, path: str) -> bool:
        at_work = [folder for job in self._running for folder in (job.source, job.target)]
        return any(within(path, folder) or within(folder, path) for folder in at_work)

    def settle(self) -> None:
        """Do what is due: as great a part of each job as of its time has passed."""
        for job in list(self._running):
            passed = self._now() - job.begun
            left = 0 if passed >= job.seconds else job.size - int(job.size * passed / job.seconds)
            while len(job.todo) > left:
                path, folder = job.todo.pop()
                if not path:
                    self._files.make_folder(folder)
                else:
                    with suppress(RefusedError):  # deleted meanwhile, or too many versions: no job tells
                        self._files.copy(path, folder, versions=job.versions)
            if not job.todo:
                self._running.remove(job)

    def status(self, job_id: str) -> Json:
        """Say how far a job is (`bulk-job-status`): there is no status of failure. Raises RefusedError: 404."""
        if job_id not in self._jobs:
            raise RefusedError(404, "The requested job does not exist.")
        status = "Pending" if self._jobs[job_id].todo else "Completed"
        return {"jobId": job_id, "type": "COPY_FOLDER", "status": status}

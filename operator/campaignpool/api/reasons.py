"""Every reason of a condition or an Event: what it means and what to do about it.

`docs/troubleshooting.md` is generated from this list.
"""

from enum import StrEnum

NOTHING = "Nothing."
_RETRY = "Fix the cause; to retry at once, give the annotation `campaignpool.dev/retry` a new value"
_IMAGES_RETRY = "Fix the cause, then give the annotation `campaignpool.dev/retry-images` a new value."


class Reason(StrEnum):
    """A reason, with the condition it belongs to, its meaning and the remedy.

    Attributes:
        group: The heading of its table in the documentation.
        meaning: A sentence.
        remedy: What a person does.
    """

    group: str
    meaning: str
    remedy: str

    def __new__(cls, value: str, group: str, meaning: str, remedy: str = NOTHING) -> "Reason":
        """Return a member that is also its text."""
        self = str.__new__(cls, value)
        self._value_ = value
        self.group, self.meaning, self.remedy = group, meaning, remedy
        return self

    # fmt: off
    # --- a pool that works
    FILLED = "Filled", "work", "Every owner has as many ready campaigns as wanted."
    REPLENISHING = "Replenishing", "work", "Campaigns were claimed; every owner still has at least one."
    SEEDING = "Seeding", "work", "Seeding Jobs make campaigns."
    INSTALLING = "Installing", "work", "The blueprint is being installed in the database."
    IMAGING = "Imaging", "work", "Campaigns have all their rows and wait for images (`images.requiredForReady`)."
    RETIRING = "Retiring", "work", "Campaigns that are no longer wanted are being removed."
    UP_TO_DATE = "UpToDate", "work", "Nothing is left to do."
    AS_EXPECTED = "AsExpected", "work", "There are no errors."
    NOT_PAUSED = "NotPaused", "work", "`spec.paused` is false."
    PAUSED = (
        "Paused", "work", "`spec.paused` is true: no campaign is made or retired; claims go on.",
        "Set `spec.paused` to false to go on.")
    EMPTY = (
        "Empty", "work", "All campaigns of an owner were claimed faster than they are made.",
        "Raise `spec.size` or `spec.maxConcurrent` if it happens often.")
    DELETING = "Deleting", "work", "The pool is being deleted: campaigns that nobody claimed are removed."
    UNKNOWN = "Unknown", "work", "The pool has not been reconciled yet.", "Check that the operator runs."

    NO_OWNERS = "NoOwners", "work", "No owner has a pool of their own."
    OWNERS_DIFFER = "OwnersDiffer", "work", "The blueprint uses `$owner`: campaigns differ by owner."
    OWNERS_ALIKE = (
        "OwnersAlike", "work", "The blueprint uses `$owner` nowhere: pools of owners only keep more campaigns idle.",
        "Raise `spec.size` instead of `spec.owners` and `spec.returning`, unless owners must not wait behind others.")

    # --- what a person wrote
    SPEC_INVALID = (
        "SpecInvalid", "spec", "A field of the spec is invalid.", "Correct the field that the message names.")
    TARGETS_EXCEED_MAX_SIZE = (
        "TargetsExceedMaxSize", "spec", "The sizes add up to more than `spec.maxSize`.",
        "Raise `spec.maxSize` or lower the sizes.")
    BLUEPRINT_INVALID = (
        "BlueprintInvalid", "spec", "The blueprint is malformed or contradicts the database.",
        "Correct what the message names; `campaignpool blueprint check` shows all of it.")
    CONFIG_MAP_NOT_FOUND = "ConfigMapNotFound", "spec", "The blueprint's ConfigMap is missing.", "Create it."
    CONFIG_MAP_KEY_MISSING = (
        "ConfigMapKeyMissing", "spec", "The ConfigMap lacks the blueprint's key.",
        "Add the key or correct `spec.blueprint.configMapRef.key`.")
    TEMPLATE_NOT_FOUND = (
        "TemplateNotFound", "spec", "No row of the root table is the template.",
        "Correct `spec.template` or create the template.")
    TEMPLATE_AMBIGUOUS = (
        "TemplateAmbiguous", "spec", "`spec.template.where` holds for more than one row.",
        "Narrow it to one row.")
    TEMPLATE_CONDITION_INVALID = (
        "TemplateConditionInvalid", "spec", "`spec.template` cannot be evaluated on the root table.",
        "Correct the condition or the key.")
    ROOT_TABLE_CHANGED = (
        "RootTableChanged", "spec", "The blueprint names another root table than the pool's campaigns are in.",
        "Name the table it had, or make a new pool of another name.")
    CONFIGURATION_INVALID = "ConfigurationInvalid", "spec", "A setting is wrong.", "Correct what the message names."

    # --- the database
    SECRET_NOT_FOUND = (
        "SecretNotFound", "database", "A Secret that the spec names is missing.", "Create it.")
    SECRET_KEY_MISSING = (
        "SecretKeyMissing", "database", "A Secret lacks the key that the spec names.",
        "Add the key or correct the `key` of the reference.")
    SECRET_NOT_LABELLED = (
        "SecretNotLabelled", "database",
        "The operator requires a label of Secrets (`--require-secret-label`), and this Secret does not carry it.",
        "Set the label `campaignpool.dev/database: \"true\"` if pools may use the Secret.")
    DATABASE_URL_INVALID = (
        "DatabaseUrlInvalid", "database", "The Secret's value is not a database URL.",
        "Write `postgresql://user:password@host:5432/database`.")
    DATABASE_UNREACHABLE = (
        "DatabaseUnreachable", "database", "The database does not answer or the connection was lost.",
        "Check host, port, TLS and network policies; it is retried.")
    DATABASE_AUTHENTICATION_FAILED = (
        "DatabaseAuthenticationFailed", "database", "The database refuses the user or the password.",
        "Correct the URL in the Secret.")
    DATABASE_PERMISSION_DENIED = (
        "DatabasePermissionDenied", "database", "The role in the URL lacks a right.",
        "Grant it; `campaignpool blueprint grants` prints all that are needed.")
    DATABASE_NOT_FOUND = (
        "DatabaseNotFound", "database", "The server has no database of this name.",
        "Correct the URL in the Secret.")
    DATABASE_BUSY = (
        "DatabaseBusy", "database", "A statement waited too long for a lock or was cancelled.",
        "Look for long transactions; it is retried.")
    DATABASE_READ_ONLY = (
        "DatabaseReadOnly", "database", "The database accepts no writes: it is a standby, or read-only by default.",
        "Let the URL lead to the primary; it is retried.")
    DATABASE_OUT_OF_RESOURCES = (
        "DatabaseOutOfResources", "database", "The server is out of disk space, memory or another resource.",
        "Free the resource that the message names; it is retried.")
    CAMPAIGNS_HELD = (
        "CampaignsHeld", "database", "Rows or triggers of the application keep campaigns from being deleted.",
        "Delete the rows in the table that the message names, or add it to the blueprint; it is retried.")
    CAMPAIGNS_CHANGED = (
        "CampaignsChanged", "database",
        "The application deleted or changed rows of ready campaigns; these are replaced.",
        ("Leave rows of campaigns that nobody claimed out of clean-up jobs. Name a column that may change under "
         "`set`, such as `rank: rank`: columns that are set are not compared."))
    SCHEMA_MISMATCH = (
        "SchemaMismatch", "database", "The blueprint or the ledger does not fit the schema of the database.",
        "Correct the blueprint where a migration changed the schema; `campaignpool blueprint check` shows all of it.")
    DATABASE_REFUSED = (
        "DatabaseRefused", "database", "The database refused a statement of the operator.",
        "Follow the message; it is retried.")
    TOO_MANY_CONNECTIONS = (
        "TooManyConnections", "database", "The server or the pool has no connection left.",
        "Lower `spec.maxConcurrent`, or raise `spec.database.maxConnections` or the server's `max_connections`.")
    LEDGER_INCOMPATIBLE = (
        "LedgerIncompatible", "database", "The schema campaign_pool is not of this release.",
        "Install the release that the database was migrated with, or a later one.")
    RESOURCE_DELETED = (
        "ResourceDeleted", "database", "The resource that was read has been deleted, by what the ledger knows.",
        "None: it is read again. If it lasts, create the pool again under another name.")
    UNAVAILABLE = "Unavailable", "database", "Something did not answer.", "It is retried; follow the message."

    # --- Kubernetes
    CLUSTER_UNAVAILABLE = (
        "ClusterUnavailable", "kubernetes", "The Kubernetes API does not answer the operator.",
        "Check the API server; it is retried.")
    CLUSTER_REFUSED = (
        "ClusterRefused", "kubernetes", "The Kubernetes API refused a request of the operator.",
        "Follow the message.")
    FORBIDDEN = (
        "Forbidden", "kubernetes", "The operator's service account lacks a right, or admission refused a Job.",
        "Grant the right that the message names, or change what admission objects to.")
    JOB_NAME_TAKEN = (
        "JobNameTaken", "kubernetes", "A Job of this name exists and does not belong to the pool.",
        "Delete or rename that Job.")
    INTERNAL_ERROR = (
        "InternalError", "kubernetes", "The operator met a defect of its own.",
        "Report it with the operator's log; it is retried.")

    # --- pods
    IMAGE_PULL_BACK_OFF = (
        "ImagePullBackOff", "pods", "The seeder's image cannot be pulled.",
        ("Correct `spec.seeding.image` or the operator's `--seeder-image`, or add `imagePullSecrets` in "
         "`spec.seeding.podTemplate.spec`."))
    INVALID_IMAGE_NAME = (
        "InvalidImageName", "pods", "The seeder's image has a malformed name.", "Correct `spec.seeding.image`.")
    ERR_IMAGE_NEVER_PULL = (
        "ErrImageNeverPull", "pods", "`imagePullPolicy` is Never and the node does not have the image.",
        "Load the image onto the nodes or change `imagePullPolicy` in `spec.seeding.podTemplate.spec`.")
    UNSCHEDULABLE = (
        "Unschedulable", "pods", "No node takes the pod.",
        ("Add capacity, or change `spec.seeding.resources` or the node selector, affinity and tolerations in "
         "`spec.seeding.podTemplate.spec`."))
    CREATE_CONTAINER_CONFIG_ERROR = (
        "CreateContainerConfigError", "pods",
        "A Secret, ConfigMap or key that the container needs is missing, or its user is not allowed.",
        "Create what the message names.")
    FAILED_MOUNT = (
        "FailedMount", "pods", "A volume of the pod cannot be mounted.",
        "Create what the message names, or correct the volumes in `spec.seeding.podTemplate.spec`.")
    START_ERROR = (
        "StartError", "pods", "The container's command cannot be started.",
        "Correct the image, or `command` in `spec.seeding.podTemplate.spec`.")
    OOM_KILLED = (
        "OOMKilled", "pods", "The container used more memory than its limit.",
        "Raise `spec.seeding.resources.limits.memory` or lower `spec.seeding.batchSize`.")
    QUOTA_EXCEEDED = (
        "QuotaExceeded", "pods", "A ResourceQuota of the namespace leaves no room for the pod.",
        "Raise the quota or lower `spec.seeding.resources` and `spec.maxConcurrent`.")
    POD_SECURITY_VIOLATION = (
        "PodSecurityViolation", "pods", "Pod security admission refuses the pod.",
        "Remove what the message names from `spec.seeding.podTemplate.spec`.")
    SERVICE_ACCOUNT_NOT_FOUND = (
        "ServiceAccountNotFound", "pods", "The pod's ServiceAccount is missing.",
        "Create it or correct `serviceAccountName` in `spec.seeding.podTemplate.spec`.")
    POD_REFUSED = (
        "PodRefused", "pods", "The API server refuses to create the Job's pod.",
        "Change what the message names, mostly in `spec.seeding.podTemplate`.")
    EVICTED = (
        "Evicted", "pods", "The node evicted the pod because it ran out of a resource.",
        "Raise `spec.seeding.resources.requests` or give the nodes more room.")
    CONTAINER_FAILED = (
        "ContainerFailed", "pods", "The container ended with an error.",
        "Follow the message; `kubectl logs` of the pod has more.")
    DEADLINE_EXCEEDED = (
        "DeadlineExceeded", "pods", "The Job did not end within `spec.seeding.activeDeadlineSeconds`.",
        "Raise it, lower `spec.seeding.batchSize`, or fix what kept the pod from starting.")
    POD_NOT_STARTED = (
        "PodNotStarted", "pods", "No pod of the Job started within `spec.seeding.startDeadlineSeconds`.",
        "See `kubectl describe` of the Job and its pod.")
    SUSPENDED = (
        "Suspended", "pods", "A Job is suspended, by a queue such as Kueue or by a person.",
        "Resume the Job or give the queue capacity.")

    # --- seeding
    SEEDING_FAILED = (
        "SeedingFailed", "seeding", "The last seeding run failed; the next one waits for a pause.", f"{_RETRY}.")
    SEEDING_INTERRUPTED = (
        "SeedingInterrupted", "seeding",
        "The database was unavailable or had no connection left, or the pod was stopped; it is retried.",
        "None, unless it lasts: `kubectl logs` of the Job names the cause.")
    SEEDING_HALTED = (
        "SeedingHalted", "seeding",
        "Ten seeding runs failed in a row, not counting `SeedingInterrupted`; one run an hour is tried.",
        f"{_RETRY} or change the resource.")
    BACKOFF = "Backoff", "seeding", "Seeding pauses after a failed run.", f"{_RETRY}."
    HALTED = "Halted", "seeding", "Seeding has stopped but for one run an hour.", f"{_RETRY} or change the resource."
    BACKOFF_LIMIT_EXCEEDED = (
        "BackoffLimitExceeded", "seeding", "The Job's pods failed more often than `spec.seeding.backoffLimit`.",
        "Follow the message; `kubectl logs` of the Job has more.")
    POD_FAILURE_POLICY = (
        "PodFailurePolicy", "seeding", "The seeder ended with an exit code that no retry can help.",
        "Follow the message; `kubectl logs` of the Job has more.")
    JOB_FAILED = "JobFailed", "seeding", "A Job failed without a reason.", "See `kubectl describe` of the Job."
    JOB_INCOMPLETE = (
        "JobIncomplete", "seeding", "The Job succeeded without doing its work.",
        "Check that `spec.seeding.image` is a campaignpool seeder image.")
    JOB_DELETED = "JobDeleted", "seeding", "Somebody deleted a Job before it ended.", "None: another is created."
    POOL_DELETED = "PoolDeleted", "seeding", "The pool was deleted while the run was open."

    # --- the template
    TEMPLATE_UNCHANGED = (
        "TemplateUnchanged", "template", "The template is as the revision in service has it.")
    TEMPLATE_CHANGED = (
        "TemplateChanged", "template", "The template differs from the revision that campaigns are made from.",
        "None: it is frozen as the next revision, unless `RolloutStalled` says why not.")
    BLUEPRINT_CHANGED = (
        "BlueprintChanged", "template",
        "The blueprint, the catalog or the template's key differs from those of the revision in service.")
    TABLES_LEFT_OUT = (
        "TablesLeftOut", "template",
        "Tables that the blueprint does not name had no rows of the template, and have some now.",
        "Add them to the blueprint (`campaignpool blueprint discover` writes it), or leave them out.")
    NOT_CHECKED = "NotChecked", "template", "The template has not been compared yet."

    # --- the roll-out
    NOT_STALLED = "NotStalled", "rollout", "No change of the template waits for a person."
    SHRINK_UNCONFIRMED = (
        "ShrinkUnconfirmed", "rollout",
        "The change of the template takes away more than `spec.template.maxShrink` of the rows of a table.",
        ("Correct the template. If the rows are meant to go, set the annotation `campaignpool.dev/confirm-shrink` to "
         "the value that the message shows."))
    NO_ROOM = (
        "NoRoom", "rollout",
        "`spec.maxSize` leaves no room for new campaigns, and `spec.rollout.minReady` keeps old ones from going.",
        "Raise `spec.maxSize` or lower `spec.rollout.minReady`.")
    CANARY_FAILED = (
        "CanaryFailed", "rollout",
        "Campaigns of a changed template or blueprint do not pass the check; the revision in service stays.",
        ("Correct what the message names. It is tried again when the template, the blueprint, the catalog or the "
         "check changes, or the annotation `campaignpool.dev/retry` has a new value."))
    REVISION_NOT_KEPT = (
        "RevisionNotKept", "rollout", "`spec.template.revision` names a revision that is not kept.",
        "Name one of `status.rollout.kept`, or remove the field.")

    # --- images
    NOT_COPIED = "NotCopied", "images", "`images.strategy` is Share: nothing is copied."
    NOT_OBSERVED = "NotObserved", "images", "The pool's images have not been looked at yet."
    SECRET_REF_MISSING = (
        "SecretRefMissing", "images", "Images of the previous strategy still need the store's key.",
        "Restore `spec.images.secretRef` until `status.images.pending` is 0.")
    BREAKER_OPEN = (
        "BreakerOpen", "images",
        "Calls of the image store failed in a row; one call a minute finds out whether they still do.",
        "None, unless it lasts: then check the store's status and key.")
    IMAGES_JOB_FAILED = (
        "ImagesJobFailed", "images", "The last images Job failed; the next one waits for a pause.",
        "Fix what the message says, mostly a refused key or an image that cannot be pulled.")
    IMAGES_FAILED = "ImagesFailed", "images", "Images were not copied after `images.maxAttempts`.", _IMAGES_RETRY
    IMAGES_STALLED = "ImagesStalled", "images", "Workers try and get no further.", "See `campaignpool images status`."

    # --- sizing
    SIZING_APPLIED = "SizingApplied", "sizing", "`spec.sizing` decides the size of the master pool."
    RECOMMENDING = (
        "Recommending", "sizing", "`spec.sizing` computes a size; the pool is kept at `spec.size`.",
        "Compare `status.sizing.recommended` with `spec.size`; set `spec.sizing.mode` to Auto to apply it.")
    LEARNING_DEMAND = (
        "LearningDemand", "sizing", "There is less than a day of demand: the size is `spec.size` at least.")
    SIZING_OFF = (
        "SizingOff", "sizing", "`spec.sizing.mode` is Off.", "Set it to Recommend to see what the demand needs.")
    SIZING_INVALID = (
        "SizingInvalid", "sizing", "The time zone or a schedule of `spec.sizing` is invalid; the size stays.",
        "Correct what the message names.")
    DEMAND_UNKNOWN = "DemandUnknown", "sizing", "The demand has not been read yet.", "Check `Degraded`."
    DESIRED_WITHIN_RANGE = "DesiredWithinRange", "sizing", "No limit changes the recommended size."
    LIMITED_BY_MAX_SIZE = (
        "LimitedByMaxSize", "sizing", "The demand needs more than the largest size.",
        "Raise `spec.sizing.maxSize` or `spec.maxSize`, lower `spec.sizing.availability`, or shorten the lead time.")
    LIMITED_BY_MIN_SIZE = (
        "LimitedByMinSize", "sizing", "The demand needs less than `spec.sizing.minSize`.",
        "Lower `spec.sizing.minSize` if fewer idle campaigns matter.")
    TARGET_REACHED = "TargetReached", "sizing", "The claims of the last week were served as `spec.sizing` asks."
    TARGET_MISSED = (
        "TargetMissed", "sizing", "More claims of the last week met an empty pool than `spec.sizing` allows.",
        "Raise the limit that `ScalingLimited` names, or set `mode` to Auto: [Size a pool](how-to/size-a-pool.md).")
    TOO_FEW_CLAIMS = "TooFewClaims", "sizing", "The last week had too few claims to judge their share."

    # --- Events only
    SIZING_BASIS_CHANGED = "SizingBasisChanged", "events", "The size follows something else than before."
    REVISION_INSTALLED = "RevisionInstalled", "events", "The template was frozen as a new revision, now in service."
    REVISION_PINNED = "RevisionPinned", "events", "The revision that `spec.template.revision` names is in service."
    ROLLOUT_COMPLETE = "RolloutComplete", "events", "All ready campaigns are of the revision in service."
    ROLLOUT_RESUMED = "RolloutResumed", "events", "No change of the template waits for a person any more."
    SEEDING_STARTED = "SeedingStarted", "events", "A seeding Job was created."
    SEEDING_SUPERSEDED = "SeedingSuperseded", "events", "A seeding Job was deleted because it is of no use any more."
    IMAGES_STARTED = "ImagesStarted", "events", "An images Job was created."
    IMAGES_SUPERSEDED = "ImagesSuperseded", "events", "An images Job was deleted because its settings changed."
    IMAGES_COPIED = "ImagesCopied", "events", "All images of a campaign are copied."
    IMAGES_PARTIAL = "ImagesPartial", "events", "Some images of a campaign were not copied.", _IMAGES_RETRY
    IMAGES_RETRIED = "ImagesRetried", "events", "Failed images are tried once more."
    IMAGES_RECOVERED = "ImagesRecovered", "events", "Images are copied again."
    BREAKER_CLOSED = "BreakerClosed", "events", "Calls of the image store succeed again."
    IMAGES_LEFT_BEHIND = (
        "ImagesLeftBehind", "events", "The pool was deleted before all its images were copied or deleted.",
        "Delete the folders that the message counts in the image store.")
    LEFT_BEHIND = (
        "LeftBehind", "events",
        "The pool was deleted although its database could not be cleaned up within `spec.deletion.timeout`.",
        "Run `campaignpool purge` once the database can be reached.")
    RECOVERED = "Recovered", "events", "The error is gone."
    RESUMED = "Resumed", "events", "`spec.paused` is false again."
    DRAINED = "Drained", "events", "All ready campaigns are deleted, as the annotation `campaignpool.dev/drain` asks."
    RELEASED = "Released", "events", "A claim was released, as the annotation `campaignpool.dev/release` asks."
    RELEASE_REFUSED = (
        "ReleaseRefused", "events", "The claim in the annotation `campaignpool.dev/release` cannot be released.",
        "Follow the message; a claim is final after `spec.claims.lifetime`.")
    RETRIED = "Retried", "events", "The annotation `campaignpool.dev/retry` ended the pause after failed runs."
    # fmt: on


HEADINGS = {
    "spec": "The resource and its blueprint",
    "database": "The database and its Secret",
    "pods": "Pods of Jobs",
    "seeding": "Seeding",
    "template": "The template (`TemplateCurrent`)",
    "rollout": "The roll-out of a change (`RolloutStalled`)",
    "images": "Images (`ImagesDegraded`)",
    "sizing": "Sizing (`SizingActive`, `ScalingLimited`, `AvailabilityReached`)",
    "kubernetes": "The Kubernetes API",
    "work": "A pool that works",
    "events": "Events only",
}


_BY_TEXT = {reason.value: reason for reason in Reason}


def find(text: str | None) -> Reason | None:
    """Return the reason of this text, or None."""
    return _BY_TEXT.get(text or "")


def troubleshooting() -> str:
    """Return the page of reasons, in Markdown."""
    lines = [
        "<!-- Generated from operator/campaignpool/api/reasons.py by `make generate`; do not edit. -->",
        "# Troubleshooting",
        "",
        "`kubectl describe campaignpool NAME` shows conditions and Events. Each has one of these reasons and a",
        "message that names the field, table or object in question.",
        "",
        "`Degraded` is True while something needs attention, `Progressing` says whether the operator works on it,",
        "and `Ready` whether campaigns can be claimed.",
        "",
        "`kubectl campaignpool explain NAME` leads from a condition to a pod's Event or to what Postgres refused:",
        "[See pools and change them](how-to/see-and-change-pools.md).",
        "`kubectl campaignpool doctor` checks the cluster, the operator and the databases of its pools. With",
        "`--database-url-file url` it checks that database, and what is left there of pools that are gone.",
    ]
    for group, heading in HEADINGS.items():
        lines += ["", f"## {heading}", "", "| reason | what it means | what to do |", "| --- | --- | --- |"]
        lines += [
            f"| `{reason.value}` | {reason.meaning} | {reason.remedy} |" for reason in Reason if reason.group == group
        ]
    return "\n".join(lines) + "\n"

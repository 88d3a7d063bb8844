"""What the page says of a problem, purely: what happened, what to do step by step, and what led to it.

The page is for people without `kubectl`: it has a button where the condition's message names an annotation.
"""

from campaignpool.api.resource import RETRY
from campaignpool_operator.dashboard.models import Advice, ConditionView, Node, PoolView
from campaignpool_operator.dashboard.problem import evidence

_BUTTON = "Press Try again now: what is missing is made at once. What was claimed stays."
_FIX = "Remove the cause above, or ask the person who looks after the database."
_YAML = (
    "Fields that begin with spec. are in the YAML of CampaignPool {name} in namespace {namespace}: ask the "
    "person who applies it."
)


def advice(pool: PoolView) -> Advice | None:
    """Return what the page says of a pool's problem; None: it has none."""
    problem = pool.problem
    if problem is None:
        return None
    remedy = _plain(problem.remedy or "")
    steps = [_FIX if RETRY in remedy or not remedy else remedy]
    if "spec." in remedy:
        steps.append(_YAML.format(name=pool.name, namespace=pool.namespace))
    return Advice(cause=_cause(problem, remedy), steps=[*steps, _BUTTON], evidence=_evidence(pool, problem))


def _cause(problem: ConditionView, remedy: str) -> str:
    """Return a condition's message without what stands in the steps."""
    message = _plain(problem.message)
    if remedy and message.endswith(remedy):
        message = f"{message.removesuffix(remedy).rstrip(' :;')}."
    clauses = [clause for clause in message.split("; ") if RETRY not in clause]
    return f"{'; '.join(clauses).rstrip('.')}."


def _evidence(pool: PoolView, problem: ConditionView) -> list[Node]:
    """Return what led to a problem; what stands in it is not repeated."""
    message = _plain(problem.message)

    def kept(node: Node) -> Node | None:
        text = node.text.partition(": ")[2] or node.text
        children = [child for child in map(kept, node.children) if child is not None]
        if not children and node.state == "wrong" and len(text) > len(node.text) // 2 and text[1:] in message:
            return None
        return node.model_copy(update={"children": children})

    return [node for node in map(kept, evidence(pool)) if node is not None]


def _plain(text: str) -> str:
    return text.replace("`", "")

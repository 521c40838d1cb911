"""What a Temporal server is asked to find out whether Holdfast can run on it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.service import RPCError

from loops.embedded_temporal import SEARCH_ATTRIBUTES
from loops.stuck_runs import Stuck, find_stuck
from schemas.errors import UnavailableError
from schemas.settings import Settings
from workflows.payloads import key_of

# As many of the newest open workflows are looked at for the keys that they were sealed with.
SAMPLE = 500


@dataclass(frozen=True)
class TemporalHealth:
    """`attributes` maps each search attribute of ours to its type, '' where it isn't registered.

    `stuck` are workflows that can't go on. `sealed_with` counts the newest open workflows by the name of the key that
    they were sealed with at their start, '' for none.
    """

    address: str
    namespace: str
    retention_days: float
    attributes: dict[str, str]
    pollers: dict[str, int]
    stuck: Sequence[Stuck]
    sealed_with: Mapping[str, int]

    def wrong_attributes(self) -> list[str]:
        """The search attributes that are missing or of another type than Keyword."""
        return sorted(name for name, kind in self.attributes.items() if kind != "Keyword")


async def examine_temporal(
    settings: Settings, queues: tuple[str, ...], within_seconds: float = 6
) -> TemporalHealth:
    """Ask the server that the environment names. Raises UnavailableError if it can't be used."""
    where = settings.temporal_address
    try:
        async with asyncio.timeout(within_seconds):
            profile = ClientConfig.load_client_connect_config(override_env_vars=dict(settings.environ))
            profile.setdefault("target_host", settings.temporal_address)
            where = profile["target_host"]
            client = await Client.connect(**profile)
            return await _examine(client, where, queues)
    except (RuntimeError, RPCError, TimeoutError, ValueError) as error:
        reason = str(error).split(": tonic")[0].strip().split("\n")[0][:200] or "no answer"
        raise UnavailableError(
            f"Temporal at {where} can't be used: {reason}.",
            remedy="Check TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and TEMPORAL_API_KEY, and the server.",
        ) from error


async def _examine(client: Client, where: str, queues: tuple[str, ...]) -> TemporalHealth:
    namespace = client.namespace
    service = client.workflow_service
    described = await service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
    asked = ListSearchAttributesRequest(namespace=namespace)
    listed = await client.operator_service.list_search_attributes(asked)
    pollers = {}
    for queue in queues:
        answer = await service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=namespace,
                task_queue=TaskQueue(name=queue),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            )
        )
        pollers[queue] = len(answer.pollers)
    kinds = {name: _kind(value) for name, value in listed.custom_attributes.items()}
    return TemporalHealth(
        address=where,
        namespace=namespace,
        retention_days=described.config.workflow_execution_retention_ttl.ToTimedelta().total_seconds()
        / 86400,
        attributes={name: kinds.get(name, "") for name in SEARCH_ATTRIBUTES},
        pollers=pollers,
        stuck=await find_stuck(client),
        sealed_with=await _count_keys(client),
    )


async def _count_keys(client: Client) -> Mapping[str, int]:
    keys: Counter[str] = Counter()
    async for one in client.list_workflows("ExecutionStatus = 'Running'", limit=SAMPLE):
        for payload in one.raw_info.memo.fields.values():
            keys[key_of(payload)] += 1
    return keys


def _kind(value: int) -> str:
    words = IndexedValueType.Name(value).removeprefix("INDEXED_VALUE_TYPE_").split("_")  # type: ignore[arg-type]
    return "".join(word.capitalize() for word in words)

"""What `worker.inspection.queries` answers about jobs, as of the last commit. Runs on its thread."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.listing_by_types import page_of_types
from holdfast_host.worker.turns.job_texts import describe_job, read_facts, read_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.storage.store import Store, StoredInstance


def job_readers(store: Store) -> dict[str, Callable[[JsonObject], JsonObject]]:
    """The readers by the name of their question."""

    def instance_of(facts: JsonObject) -> StoredInstance:
        return store.locate(facts["type_id"], facts["name"].encode())

    def read_jobs(facts: JsonObject) -> JsonObject:
        """A page of those in a state: `state`, and as `page_of_types` says; `types`, the names by number."""
        found, position = page_of_types(facts, lambda after, limit: store.jobs.listing(facts["state"], after, limit))
        rows = []
        for type_id, name, id_, job in found:
            where = {"type": facts["types"].get(type_id), "type_id": type_id, "name": name.decode()}
            rows.append({**where, "job": describe_job(id_, job)})
        return {"rows": rows, "next": position}

    def read_instance_jobs(facts: JsonObject) -> JsonObject:
        """A page of an instance's: `after` (an id or empty), `limit`."""
        after = read_id(facts["after"]) or b""
        page, is_all = store.jobs.page(instance_of(facts), after, b"", int(facts["limit"]))
        return {"jobs": [describe_job(*each) for each in page], "next": None if is_all else page[-1][0].hex()}

    def read_one(facts: JsonObject) -> JsonObject:
        """One with what it does and its outcome, or null: `id`."""
        id_ = read_id(facts["id"])
        job = None if id_ is None else store.jobs.get(instance_of(facts), id_)
        if id_ is None or job is None:
            return {"job": None}
        outcome = json.loads(job.outcome) if job.outcome else None
        return {"job": {**describe_job(id_, job), "payload": json.loads(read_facts(job).payload), "outcome": outcome}}

    return {"jobs": read_jobs, "instance_jobs": read_instance_jobs, "job": read_one}

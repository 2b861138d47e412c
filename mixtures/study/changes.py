"""What of a study changed since it was first run: additions are welcome, other values are not."""

from __future__ import annotations

from typing import Any

from mixtures.study.conditions import key_of
from mixtures.study.design import Study


class ChangedStudyError(ValueError):
    """A study that the results in a folder are not of, and that does not extend theirs."""


def list_changes(earlier: Study, study: Study) -> list[str]:
    """Say what of an earlier study a later one changed; additions, titles and aims are no change."""
    changes = []
    for key in ("name", "seed", "components", "covariance", "label_rule"):
        before, after = getattr(earlier, key), getattr(study, key)
        if before != after:
            changes.append(f"{key} was {before!r} and is {after!r}")
    if study.replicates < earlier.replicates:
        changes.append(f"replicates were {earlier.replicates} and are {study.replicates}")
    if missing := set(earlier.grid.n) - set(study.grid.n):
        changes.append(f"grid.n has lost {', '.join(map(str, sorted(missing)))}")
    planned = {method.name: study.replicates_of(method) for method in study.method}
    for method in earlier.method if study.replicates >= earlier.replicates else []:
        before, after = earlier.replicates_of(method), planned.get(method.name)
        if after is not None and after < before:
            changes.append(f"method {method.name!r}: replicates were {before} and are {after}")
    changes += _compare_until(earlier, study)
    truths = {truth.name: truth.content() for truth in earlier.grid.truth}
    changes += _compare("grid.truth", truths, {truth.name: truth.content() for truth in study.grid.truth})
    methods = {method.name: method.content() for method in earlier.method}
    changes += _compare("method", methods, {method.name: method.content() for method in study.method})
    claims = {claim.id: claim.content() for claim in earlier.claim}
    changes += _compare("claim", claims, {claim.id: claim.content() for claim in study.claim})
    return changes


def list_tampering(study: Study, manifest: dict[str, Any], *, may_grow: bool = False) -> list[str]:
    """Say where a study differs from the hashes that were noted when it, and each claim, was first stored.

    With `may_grow`, a claim that was not noted yet is no difference.
    """
    changes = []
    if manifest.get("content") not in (None, key_of(study.content())):
        changes.append("name, seed, components, covariance or label_rule is not what was run")
    claims, noted = {claim.id: claim for claim in study.claim}, manifest["claims"]
    changes += [f"claim {name!r} is gone" for name in noted if name not in claims]
    for name, claim in claims.items():
        if name not in noted:
            changes += [] if may_grow else [f"claim {name!r} was added by hand"]
        elif noted[name].get("content") not in (None, key_of(claim.content())):
            changes.append(f"claim {name!r} is not what was claimed")
    return changes


def _compare_until(earlier: Study, study: Study) -> list[str]:
    """Say where the rule asks for fewer replicates, or other looks, than before."""
    before, after = earlier.until, study.until
    if after is None:  # all replicates are at least as many as any rule asks for
        return []
    if before is None:
        asked = max(earlier.replicates_of(method) for method in earlier.method)
        is_less = after.least < asked
        return [f"until.least is {after.least} where {asked} replicates were asked for"] if is_less else []
    old, new = before.model_dump(), after.model_dump()
    return [
        f"until.{key} was {old[key]!r} and is {new[key]!r}"
        for key in old
        if old[key] != new[key] and not (key == "mcse" and after.mcse < before.mcse)
    ]


def _compare(kind: str, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    changes = []
    for name, content in before.items():
        if name not in after:
            changes.append(f"{kind} {name!r} is gone")
        else:
            keys = sorted({*content, *after[name]})
            changes += [
                f"{kind} {name!r}: {key} was {content.get(key)!r} and is {after[name].get(key)!r}"
                for key in keys
                if content.get(key) != after[name].get(key)
            ]
    return changes

"""Collections that keep templates and subject–object pairs apart, a file a relation: ParaRel and `relations`."""

from dsets.by_relation.collection import Collection
from dsets.by_relation.pararel import ParaRel
from dsets.by_relation.relations_collection import Relations

__all__ = ["Collection", "ParaRel", "Relations"]

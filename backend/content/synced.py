"""What of the content is synced: entries of SYNC_QUEUE, and the events that belong to no model."""

ENTITIES = [
    {"entity": "concept", "model": "content.Concept", "key": "slug", "fields": ["title", "summary", "level", "tags"]},
    {"entity": "requirement", "model": "content.Requirement", "key": "code", "fields": ["concept", "needs", "weight"]},
    {"entity": "path", "model": "content.LearningPath", "key": "slug", "fields": ["title"]},
    {"entity": "step", "model": "content.Step", "key": "code", "fields": ["path", "concept", "position"]},
    {"entity": "learner", "model": "content.Learner", "key": "code", "fields": ["name", "joined_on"]},
    {"entity": "progress", "model": "content.Progress", "key": "code", "fields": ["learner", "concept", "score", "finished_at"]},
]
PUBLISHED = {"activity": ["kind", "at"]}

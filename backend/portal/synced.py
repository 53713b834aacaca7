"""What of the portal is synced, for SYNC_QUEUE in the settings: all but the database's own ids."""

from typing import Any

FIELDS = {
    "journal": ("Journal", "version path name acronym contact_email primary_locale locales license_url enabled"),
    "profile": ("Profile", "user_name email full_name given_name family_name affiliation orcid roles interests disabled"),
    "issue": ("Issue", "volume number year title description identification published published_on doi articles"),
    "submission": (
        "Submission",
        "publication_id locale section_id issue_id status stage submitted submitted_at published_on version versions doi title "
        "subtitle prefix abstract keywords subjects disciplines pages license_url contributors",
    ),
    "review": (
        "Review",
        "submission_id round round_id status method reviewer_id reviewer_name due response_due assigned_on confirmed_on "
        "completed_on recommendation verdict competing_interests comments confidential_comments form_answers",
    ),
    "comment": (
        "Comment",
        "submission_id discussion_id discussion stage kind status due_on opens author_id author_name contents written_at "
        "edited_at",
    ),
}


def entities() -> list[dict[str, Any]]:
    """Return the declarations, as SYNC_QUEUE takes them."""
    return [
        {"entity": name, "model": f"portal.{model}", "key": "key", "tenant": "tenant", "fields": ["ojs_id", *fields.split()]}
        for name, (model, fields) in FIELDS.items()
    ]

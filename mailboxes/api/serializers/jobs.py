"""The JSON of jobs about mail."""

from rest_framework import serializers

from mailboxes.api.serializers.fields import InstantField, PublicIdField
from mailboxes.models import Domain, ErasureJob, Mailbox


class ErasureJobSerializer(serializers.Serializer[ErasureJob]):
    """Erases the mail of a mailbox or of a domain that was deleted with it."""

    KIND = "erasure"

    id = PublicIdField()
    created_at = InstantField()
    kind = serializers.SerializerMethodField(help_text="what it does: erasure")
    domain_id = PublicIdField(Domain, allow_null=True, help_text="what was deleted: one of the two")
    mailbox_id = PublicIdField(Mailbox, allow_null=True)
    state = serializers.ChoiceField(ErasureJob.State.choices)
    total = serializers.IntegerField(help_text="emails that there were when it was made; at the end, those erased")
    erased = serializers.IntegerField(help_text="how many of them are gone")
    failed = serializers.IntegerField(
        help_text="how many could not be erased; those of `running` are tried again, those of `failed_in_part` are left"
    )
    failed_email_ids = serializers.SerializerMethodField(help_text="the first hundred of them")
    ended_at = InstantField(allow_null=True)

    def get_failed_email_ids(self, job: ErasureJob) -> list[str]:
        return [email for email, _ in job.failures]

    def get_kind(self, job: ErasureJob) -> str:  # noqa: ARG002
        return self.KIND

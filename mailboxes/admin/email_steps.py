"""What is done about one email: it is let go, or its sender is blocked."""

from uuid import UUID

from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from mailboxes.admin.asking import asked
from mailboxes.admin.email_files import EmailFiles
from mailboxes.admin.facts import NULL_SENDER
from mailboxes.admin.forms import BlockSenderForm
from mailboxes.models import Email
from mailboxes.services import quarantine, rule_book


class EmailSteps(EmailFiles):
    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        steps = [
            path("<uuid:pk>/release/", view(self.release_view), name="mailboxes_email_release"),
            path("<uuid:pk>/block/", view(self.block_view), name="mailboxes_email_block"),
        ]
        urls: list[URLPattern] = super().get_urls()
        return steps + urls

    def release_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        email = self._found(request, Email.objects.select_related("message"), pk=pk)

        def release() -> str:
            was_held = email.status == Email.Status.QUARANTINED
            quarantine.release_email(email, by=request.user.get_username())
            if not was_held:
                return _("It was released before; its webhooks are not told again.")
            self.log_changes(request, [email], "Released from quarantine.")
            return _("It is released: its webhooks are told of it.")

        reason = email.quarantine_reason or _("nothing; it is not in quarantine")
        return asked(
            self,
            request,
            title=_("Release this email from quarantine"),
            verb=_("Release it"),
            follows=[
                _("It is kept back because: %s.") % reason,
                _("Every webhook that is bound to where it went is sent it, attachments included. That is not undone."),
                _("The rule stays as it is: the next mail like this is kept back as well."),
            ],
            back=reverse("admin:mailboxes_email_change", args=[pk]),
            act=release,
        )

    def block_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        email = self._found(request, Email.objects.select_related("message", "mailbox__domain"), pk=pk)
        sender = email.message.mail_from
        name = sender or NULL_SENDER
        form = BlockSenderForm(request.POST if request.method == "POST" else None)

        def block() -> str:
            mailbox = None if form.cleaned_data["is_everywhere"] else email.mailbox
            rule, is_new = rule_book.block_sender(sender, mailbox=mailbox)
            if is_new:
                made: list[Model] = [rule]
                self.log_changes(request, made, f"Made from the email {email.public_id}.")
            told = {"sender": name, "where": mailbox or _("all mailboxes"), "rule": rule.public_id}
            return _("Mail from %(sender)s to %(where)s is refused from now on (%(rule)s).") % told

        told = {"mailbox": email.mailbox}
        return asked(
            self,
            request,
            title=_("Block %s") % name,
            verb=_("Block the sender"),
            follows=[
                _("Mail with this envelope sender to %(mailbox)s is refused from now on: a rule is made for it.")
                % told,
                _("It can be changed, disabled and deleted under Rules. What has come already stays."),
            ],
            back=reverse("admin:mailboxes_email_change", args=[pk]),
            act=block,
            form=form,
            is_dangerous=True,
        )

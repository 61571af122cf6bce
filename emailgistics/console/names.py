"""What models and their fields are called on pages, in the language of the reader.

Django makes these names out of those in the code, so nothing there could be marked; a name that was written out on each
model would be a migration. They are marked here, and the models are given them when the console is loaded.
"""

from django.apps import apps
from django.utils.translation import gettext_lazy, gettext_noop

# where it is not enough to put an s behind the singular, as Django does
PLURALS = {"addresss": gettext_noop("addresses"), "event bodys": gettext_noop("event bodies")}
OF_MODELS = (
    *PLURALS.values(),
    gettext_noop("API key"), gettext_noop("API keys"), gettext_noop("address"),
    gettext_noop("alias"), gettext_noop("aliases"), gettext_noop("attempt"), gettext_noop("attempts"),
    gettext_noop("audit entries"), gettext_noop("audit entry"), gettext_noop("deliveries"), gettext_noop("delivery"),
    gettext_noop("domain"), gettext_noop("domains"), gettext_noop("email"), gettext_noop("emails"),
    gettext_noop("erasure job"), gettext_noop("erasure jobs"), gettext_noop("event"), gettext_noop("event body"),
    gettext_noop("events"), gettext_noop("import"), gettext_noop("imports"),
    gettext_noop("mailbox"), gettext_noop("mailboxes"), gettext_noop("message"), gettext_noop("messages"),
    gettext_noop("notice"), gettext_noop("notice about a key"), gettext_noop("notices"),
    gettext_noop("notices about keys"), gettext_noop("recipient"), gettext_noop("recipients"), gettext_noop("refusal"),
    gettext_noop("refused mail"), gettext_noop("replay job"), gettext_noop("replay jobs"), gettext_noop("rule"),
    gettext_noop("rules"), gettext_noop("webhook"), gettext_noop("webhooks"), gettext_noop("worker"),
    gettext_noop("workers"),
)  # fmt: skip
OF_FIELDS = (
    gettext_noop("action"), gettext_noop("at"), gettext_noop("attempts"), gettext_noop("by"), gettext_noop("code"),
    gettext_noop("content days"), gettext_noop("created at"), gettext_noop("created by"), gettext_noop("criterion"),
    gettext_noop("default mailbox"), gettext_noop("deleted at"), gettext_noop("description"),
    gettext_noop("dns status"), gettext_noop("ended at"), gettext_noop("failed"), gettext_noop("form"),
    gettext_noop("host"), gettext_noop("identifier"), gettext_noop("includes subdomains"), gettext_noop("is active"),
    gettext_noop("is test"), gettext_noop("kind"), gettext_noop("local key"), gettext_noop("local part"),
    gettext_noop("log days"), gettext_noop("losses"), gettext_noop("mail from"), gettext_noop("mailed at"),
    gettext_noop("name"), gettext_noop("network"), gettext_noop("of"), gettext_noop("outcome"),
    gettext_noop("parse defects"), gettext_noop("parse status"), gettext_noop("parse version"),
    gettext_noop("payload"), gettext_noop("pid"), gettext_noop("priority"), gettext_noop("processed at"),
    gettext_noop("quota bytes"), gettext_noop("raw days"), gettext_noop("received at"), gettext_noop("reply"),
    gettext_noop("seen at"), gettext_noop("sha256"), gettext_noop("size"), gettext_noop("source"),
    gettext_noop("started at"), gettext_noop("state"), gettext_noop("status"), gettext_noop("subject"),
    gettext_noop("tag"), gettext_noop("text"), gettext_noop("time zone"), gettext_noop("told at"), gettext_noop("url"),
    gettext_noop("value"),
)  # fmt: skip
APPS = ("common", "console", "mailboxes", "apikeys", "webhooks")


def give_names() -> None:
    """Django's own apps have theirs in its catalogues."""
    for label in APPS:
        for model in apps.get_app_config(label).get_models():
            options = model._meta  # noqa: SLF001 - the only way to its names
            options.verbose_name = gettext_lazy(str(options.verbose_name))
            plural = str(options.verbose_name_plural)
            options.verbose_name_plural = gettext_lazy(PLURALS.get(plural, plural))
            for field in options.get_fields():
                # a relation from elsewhere has none
                if hasattr(field, "verbose_name"):
                    field.verbose_name = gettext_lazy(str(field.verbose_name))

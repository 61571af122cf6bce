"""Reports of faults, by mail or on a page, say where and what: no local variable, no form, and nothing that opens."""

from collections.abc import ItemsView
from typing import Any

from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from django.utils.safestring import SafeString, mark_safe
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from emailgistics.common.logs import masked


class WithoutValues(SafeExceptionReporterFilter):
    """Django's own goes by the names of variables, which somebody has to list, and with DEBUG it hides none."""

    def get_post_parameters(self, request: HttpRequest | None) -> Any:  # noqa: ARG002
        return MultiValueDict()

    def get_traceback_frame_variables(self, request: Any, tb_frame: Any) -> ItemsView[str, Any]:  # noqa: ARG002
        return {}.items()


class Report(ExceptionReporter):
    """What is left may still quote a key: the query of a request, the text of an exception."""

    def get_traceback_html(self) -> SafeString:
        return mark_safe(masked(super().get_traceback_html()))  # noqa: S308 - it was before

    def get_traceback_text(self) -> SafeString:
        return mark_safe(masked(super().get_traceback_text()))  # noqa: S308 - it was before

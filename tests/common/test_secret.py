from django.template import Context, Template

from emailgistics.common.secret import Secret


def test_a_secret_is_printed_by_a_template_escaped_and_by_nothing_else() -> None:
    secret = Secret("a<b>c")
    context = Context({"value": secret})
    assert Template("{{ value }}").render(context) == "a&lt;b&gt;c"
    assert "a<b>c" not in repr([secret, {"value": secret}, context.flatten()])

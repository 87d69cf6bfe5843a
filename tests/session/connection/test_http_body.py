"""The reason in the body of an HTTP response, in one line."""

from __future__ import annotations

import pytest

from trio_realtime.session.connection.http_body import read_error

NGINX = """<html>\r
<head><title>502 Bad Gateway</title></head>\r
<body>\r
<center><h1>502 Bad Gateway</h1></center>\r
<hr><center>nginx/1.22.1</center>\r
</body>\r
</html>\r
<!-- a padding to disable MSIE and Chrome friendly error page -->\r
"""
SQUID = """<!DOCTYPE html PUBLIC "-//W3C//DTD HTML 4.01//EN" "http://www.w3.org/TR/html4/strict.dtd">
<html><head>
<style type="text/css"><!-- body { color: red } --></style>
<script>if (a < b) { run("</p>"); }</script>
</head><body><h1>ERROR</h1>
<p>Access &amp; such <b>denied</b>.</p></body></html>
"""


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ("", "", None),
        ("no", "no", None),
        (" line one\r\n\tline two \n", "line one line two", None),
        (
            '{"error":{"message":"Wrong key.","code":"invalid_api_key"}}',
            "Wrong key.",
            "invalid_api_key",
        ),
        ('{"error":{"message":"","code":7}}', '{"error":{"message":"","code":7}}', "7"),
        ('{\n "detail": "no"\n}', '{ "detail": "no" }', None),
        (NGINX, "502 Bad Gateway", None),
        (NGINX[: NGINX.index("way")], "502 Bad Gate", None),
        (SQUID, "ERROR Access & such denied .", None),
        ("<h1>Forbidden</h1>", "Forbidden", None),
        ("<html></html>", "", None),
        ("<html><title> </title>text", "text", None),
        ("<key> is wrong", "<key> is wrong", None),
        ("x" * 1000, "x" * 299 + "…", None),
        ("<html>" + "long text " * 1000, ("long text " * 30)[:299] + "…", None),
    ],
)
def test_the_reason_is_one_line_of_text(body: str, message: str, code: str | None) -> None:
    assert read_error(body) == (message, code)

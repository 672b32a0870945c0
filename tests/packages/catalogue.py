"""Popular packages, what of them works in a component, and the lines that show it; docs/packages.md tells the same."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Package:
    """One package that builds.

    Attributes:
        name: As the index has it.
        imports: What the module imports at its top.
        shows: The body of a method; what it returns must be `returns`.
        returns: As JSON has it.
        works: For the page, what the lines show.
        needs: Further packages that it is used with.
        warns: A part of what the build warns of; empty where it warns of nothing.
    """

    name: str
    imports: str
    shows: str
    returns: object
    works: str
    needs: tuple[str, ...] = ()
    warns: str = ""


NATIVE_PART: Final = "without its native part"
OLDER: Final = "is an older release"

PACKAGES: Final = (
    Package(
        "attrs",
        "import attrs",
        "Point = attrs.make_class('Point', ['x', 'y'])\nreturn attrs.asdict(Point(1, 2))",
        {"x": 1, "y": 2},
        "all",
    ),
    Package(
        "babel",
        "import babel, babel.dates, datetime",
        "day = datetime.date(2026, 7, 1)\n"
        "return [babel.dates.format_date(day, locale='de_DE'), babel.Locale('fr').display_name]",
        ["01.07.2026", "français"],
        "all locales; they take 10 MB of the component",
    ),
    Package(
        "beautifulsoup4",
        "import bs4",
        "return bs4.BeautifulSoup('<p>a<b>c</b></p>', 'html.parser').b.text",
        "c",
        "with Python's own `html.parser`",
    ),
    Package(
        "cachetools",
        "import cachetools",
        "cache = cachetools.LRUCache(1)\ncache['a'] = 1\ncache['b'] = 2\nreturn dict(cache)",
        {"b": 2},
        "all but locks",
    ),
    Package(
        "httpx",
        "import httpx\nfrom holdfast import http",
        "return httpx.Client(transport=http.HttpxTransport()).get('https://a.example/b').status_code",
        200,  # what the test's host answers
        "URLs, requests and responses; a client whose transport is `http.HttpxTransport()`",
    ),
    Package(
        "humanize",
        "import humanize",
        "return [humanize.naturalsize(3_000_000), humanize.intcomma(1234567)]",
        ["3.0 MB", "1,234,567"],
        "all, with its translations",
    ),
    Package(
        "jinja2",
        "import jinja2",
        "return jinja2.Template('{{ x }}{% for i in range(3) %}{{ i }}{% endfor %}').render(x='a')",
        "a012",
        "all; templates from strings, `DictLoader`, `PackageLoader` of a package",
        warns=NATIVE_PART,
    ),
    Package(
        "jsonschema",
        "import jsonschema",
        "schema = {'properties': {'a': {'type': 'integer'}}}\n"
        "return [error.message for error in jsonschema.Draft7Validator(schema).iter_errors({'a': 'x'})]",
        ["'x' is not of type 'integer'"],
        "release 4.17",
        warns=OLDER,
    ),
    Package(
        "lark",
        "import lark",
        "grammar = 'start: NUMBER (\"+\" NUMBER)*\\n%import common.NUMBER\\n'\n"
        "return [str(each) for each in lark.Lark(grammar).parse('1+23').children]",
        ["1", "23"],
        "all, with its common grammars",
    ),
    Package(
        "markdown",
        "import markdown",
        "return markdown.markdown('| a |\\n|---|\\n| 1 |\\n', extensions=['tables']).count('<td>')",
        1,
        "all, with the extensions that come with it",
    ),
    Package(
        "markupsafe",
        "import markupsafe",
        "return markupsafe.escape('<b>')",
        "&lt;b&gt;",
        "all",
        warns=NATIVE_PART,
    ),
    Package(
        "more-itertools",
        "import more_itertools",
        "return list(more_itertools.chunked([1, 2, 3], 2))",
        [[1, 2], [3]],
        "all",
    ),
    Package(
        "msgpack",
        "import msgpack",
        "return msgpack.unpackb(msgpack.packb({'a': [1, 2.5]}))",
        {"a": [1, 2.5]},
        "all",
        warns=NATIVE_PART,
    ),
    Package(
        "phonenumbers",
        "import phonenumbers",
        "number = phonenumbers.parse('030 123456', 'DE')\n"
        "return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)",
        "+49 30 123456",
        "all but `geocoder` and `timezone`, whose tables need more than 64 MiB",
    ),
    Package(
        "pydantic",
        "import pydantic\nfrom pydantic.v1 import BaseModel",
        "class Point(BaseModel):\n    x: int\n    y: int = 0\nreturn Point(x='1').dict()",
        {"x": 1, "y": 0},
        "release 1.10",
        warns=OLDER,
    ),
    Package(
        "pyjwt",
        "import jwt",
        "token = jwt.encode({'sub': 'a'}, 'k' * 32, 'HS256')\nreturn jwt.decode(token, 'k' * 32, ['HS256'])",
        {"sub": "a"},
        "`HS256`, `HS384`, `HS512`; the others need cryptography",
    ),
    Package(
        "python-dateutil",
        "import datetime, dateutil.parser, dateutil.rrule, dateutil.tz",
        "when = dateutil.parser.parse('1 July 2026 12:00').replace(tzinfo=dateutil.tz.gettz('Europe/Berlin'))\n"
        "return when.isoformat()",
        "2026-07-01T12:00:00+02:00",
        "all; its own time zones",
    ),
    Package(
        "pytz",
        "import datetime, pytz",
        "return pytz.timezone('Europe/Berlin').localize(datetime.datetime(2026, 7, 1)).isoformat()",
        "2026-07-01T00:00:00+02:00",
        "all",
    ),
    Package(
        "pyyaml",
        "import yaml",
        "return yaml.safe_load(yaml.safe_dump({'a': [1, 'b']}))",
        {"a": [1, "b"]},
        "all but the `C` loaders and dumpers",
        warns=NATIVE_PART,
    ),
    Package(
        "requests",
        "import requests",
        "return requests.Request('GET', 'https://a.example/', params={'q': 'x y'}).prepare().url",
        "https://a.example/?q=x+y",
        "requests and responses as values; there is no network to send them through",
    ),
    Package(
        "sortedcontainers",
        "import sortedcontainers",
        "return list(sortedcontainers.SortedSet([3, 1, 2]))",
        [1, 2, 3],
        "all",
    ),
    Package(
        "tabulate",
        "import tabulate",
        "return tabulate.tabulate([[1, 2]], headers=['a', 'b'], tablefmt='plain')",
        "  a    b\n  1    2",
        "all",
    ),
    Package(
        "tomlkit",
        "import tomlkit",
        "return tomlkit.dumps({'a': [1, 2]})",
        "a = [1, 2]\n",
        "all",
    ),
    Package(
        "tzdata",
        "import datetime, zoneinfo",
        "return datetime.datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo('Asia/Tokyo')).isoformat()",
        "2026-07-01T00:00:00+09:00",
        "`zoneinfo` knows all zones",
    ),
    Package(
        "urllib3",
        "import urllib3",
        "return urllib3.util.parse_url('https://a.example:8/b?c').netloc",
        "a.example:8",
        "what parses and encodes; there is no network",
    ),
)  # fmt: skip

# Refused by name: no release of theirs does without native code.
NATIVE: Final = ("cryptography", "lxml", "numpy", "orjson", "pandas", "pillow")

# Of the twenty, those that `make test-long` builds: a native part, data files, late imports, metadata.
QUICK: Final = ("jinja2", "markdown", "python-dateutil", "pytz", "pyyaml")


def trial(actor_type: str, packages: Sequence[Package]) -> str:
    """A module whose actor has a method for each of these packages: `p0`, `p1`, ..."""
    methods = [f"    def p{at}(self):\n{textwrap.indent(each.shows, ' ' * 8)}\n" for at, each in enumerate(packages)]
    imports = "\n".join(each.imports for each in packages)
    return f"{imports}\nfrom holdfast import StatefulActor\n\nclass {actor_type}(StatefulActor):\n{''.join(methods)}"


def table() -> str:
    """The table of docs/packages.md."""
    rows = "".join(f"| {each.name} | {each.works} | {_build(each)} |\n" for each in PACKAGES)
    return f"| package | what works | the build |\n| --- | --- | --- |\n{rows}"


def _build(package: Package) -> str:
    return {NATIVE_PART: "drops a native part", OLDER: "takes an older release"}.get(package.warns, "")

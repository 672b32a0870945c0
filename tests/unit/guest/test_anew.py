"""What a module may not draw or read as it is imported, and what a sandbox seeds anew."""

from __future__ import annotations

import os
import random
import sysconfig
import types
from collections.abc import Iterator

import pytest

from holdfast import _reseeding as _anew
from holdfast._describe import RuleError
from holdfast._reseeding import Watch, seed_anew

DRAWN = "numbers are drawn from a generator"
ASKED = "random bytes are asked of the system"


@pytest.fixture(autouse=True)
def _library_of_this_python(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    library = (sysconfig.get_path("stdlib"), "<frozen ", _anew.__file__)
    monkeypatch.setattr(_anew, "_NOT_AUTHORS", library)
    monkeypatch.setattr(_anew, "_generators", ())
    state = random.getstate()
    yield
    random.setstate(state)


def imported(source: str) -> tuple[types.ModuleType, Watch]:
    module = types.ModuleType("app")
    with Watch() as watch:
        exec(compile(source, "src/app.py", "exec"), module.__dict__)
    return module, watch


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("import secrets\nKEY = secrets.token_hex()", 2, ASKED),
        ("import os\n\nSALT = os.urandom(16)", 3, ASKED),
        ("from os import urandom\nclass A:\n    salt = urandom(16)", 3, ASKED),
        ("import uuid\nID = uuid.uuid4()", 2, ASKED),
        ("import random\nS = random.SystemRandom().random()", 2, ASKED),
        ("import random\nN = random.randint(1, 6)", 2, DRAWN),
        ("from random import random\nN = random()", 2, DRAWN),
        ("import random\nL = [1, 2, 3]\nrandom.shuffle(L)", 3, DRAWN),
        ("import random\nR = random.Random()\nN = R.gauss(0, 1)", 3, DRAWN),
        ("import random\nrandom.seed(42)", 2, "random.seed"),
        ("import time\nBEGAN = time.time()", 2, "time.time"),
        ("from time import monotonic as now\nclass A:\n    began = now()", 3, "now"),
        ("import datetime\ndef f(at=datetime.datetime.now()):\n    pass", 2, "datetime.datetime.now"),
        ("from datetime import date\nTODAY = date.today()", 2, "date.today"),
        ("import time\nYEAR = time.gmtime().tm_year", 2, "time.gmtime"),
    ],
)
def test_what_would_be_the_same_in_every_sandbox_is_refused_with_file_and_line(
    source: str, line: int, message: str
) -> None:
    module, watch = imported(source)

    with pytest.raises(RuleError) as caught:
        watch.check(iter([(module, "src/app.py", source)]))

    assert (caught.value.file, caught.value.line) == ("src/app.py", line)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    "source",
    [
        "import random, os\nR = random.Random()\nN = random.Random(42).random()\nos.urandom(1)",
        "import random\nrandom.seed()\ndef f():\n    return random.random()",
        "import time\nEPOCH = time.gmtime(0)\ndef f():\n    return time.time()\nlater = lambda: time.time()",
        "import time\nif __name__ == '__main__':\n    print(time.time())",
        "import datetime\nBORN = datetime.date(2026, 11, 1)\nclock = datetime.datetime.now",
    ],
)
def test_what_is_the_same_on_purpose_or_comes_later_is_let_in(source: str) -> None:
    module, watch = imported(source)

    watch.check(iter([(module, "src/app.py", source)]))


def test_generators_without_a_seed_of_their_own_are_seeded_anew_and_others_are_not() -> None:
    source = "import random\nR = random.Random()\nG = random.Random(42)\nclass L(random.Random):\n    pass\nS = [L()]"
    module, watch = imported(source)
    watch.keep()
    generators = [random, module.R, module.S[0], module.G]
    before = [each.getstate() for each in generators]

    seed_anew()

    assert [each.getstate() == state for each, state in zip(generators, before, strict=True)] == [False] * 3 + [True]


def test_after_the_imports_random_is_what_it_was_before() -> None:
    before = dict(vars(random)), dict(vars(random.Random)), os.urandom

    module, watch = imported("from random import random, seed\nfrom os import urandom")

    assert before == (dict(vars(random)), dict(vars(random.Random)), os.urandom)
    assert 0 <= module.random() < 1
    assert len(module.urandom(16)) == 16
    module.seed(1)
    watch.check(iter([]))

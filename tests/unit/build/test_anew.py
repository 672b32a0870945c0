"""What a build has seeded is seeded anew in each sandbox; what it drew is refused, by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_host.build.errors import BuildError
from holdfast_host.build.project import build_project
from tests.unit.build import joint
from tests.unit.build.test_build import project

DICEBOX = "import random\nGENERATOR = random.Random()\n"

APP = """
import os, random, secrets, uuid
from random import randint, random as drawn

from holdfast import StatefulActor
from dicebox import GENERATOR

R = random.Random()
ASKED_FOR = random.Random(42)

def rolling():
    inner = random.Random()
    return lambda: inner.random()

roll = rolling()

class Loaded(random.Random):
    pass

class Anew(StatefulActor):
    dice = Loaded()
    cards = [{"deck": random.Random()}]

    def numbers(self):
        own = [R.random(), roll(), self.dice.random(), self.cards[0]["deck"].random(), GENERATOR.random()]
        return [*own, randint(0, 1 << 60), drawn(), random.random(), secrets.token_hex(), str(uuid.uuid4()),
                os.urandom(16).hex()]

    def asked_for(self):
        return [ASKED_FOR.random(), ASKED_FOR.randint(0, 1000)]
"""


@pytest.mark.slow
def test_every_generator_that_a_build_seeded_draws_other_numbers_in_each_sandbox() -> None:
    first, second = (joint.sandbox("Anew", name).call("numbers") for name in ("one", "two"))
    asked = [joint.sandbox("Anew", name).call("asked_for") for name in ("one", "two")]

    assert all(a != b for a, b in zip(first, second, strict=True)), (first, second)
    assert asked[0] == asked[1] == [0.6394267984578837, 25]  # who gives a seed means it: as random.Random(42) ever was


@pytest.mark.slow
@pytest.mark.builds
def test_a_module_that_draws_as_it_is_built_is_refused_by_file_and_line(tmp_path: Path) -> None:
    app = "import secrets\n\nfrom holdfast import StatefulActor\n\nKEY = secrets.token_bytes(32)\n"
    app += "\nclass Trial(StatefulActor):\n    pass\n"
    directory = project(tmp_path / "p", app)

    with pytest.raises(BuildError, match=r"^src/app\.py:5: random bytes are asked .* the same in every sandbox"):
        build_project(directory)

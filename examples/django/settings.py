"""Settings of a backend with Django that calls the actors of `examples/account`: what it needs for that alone."""

import os

SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "of an example")
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
ROOT_URLCONF = "views"
MIDDLEWARE = ["views.carry_on", "views.answer_failures"]

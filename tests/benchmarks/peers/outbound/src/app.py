"""An actor that asks outside, one request after the other."""

import time

from holdfast import StatefulActor, http


class Asker(StatefulActor):
    """Says how long each took."""

    def times(self, url: str, count: int) -> list[float]:
        """Seconds of each of so many requests."""
        took = []
        for _ in range(count):
            began = time.perf_counter()
            http.post(url, body="{}")
            took.append(time.perf_counter() - began)
        return took

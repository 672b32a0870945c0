"""Texts that are to take over the terminal of whoever operates the host."""

from holdfast import ActorError, AlarmInfo, StatefulActor

# A title, colours, a C1 sequence, bidirectional marks, moves within the line, invisible marks; and a line of its own.
LINE = "\x1b]0;owned\x07\x1b[31;7;5mred\x9b2J\x85\u202egnp\u2066\u2028over\rwrite\b\x7f\u200b\ufeff"
EVIL = f"{LINE}\nFORGED"


class HostileText(StatefulActor):
    """Each method puts the text somewhere else."""

    def paint(self, text: str = EVIL) -> dict[str, str]:
        self.ctx.storage.put(LINE, {EVIL: text})
        print(EVIL)
        return {EVIL: text}

    def refuse(self) -> None:
        raise ActorError(EVIL, code="code", status=409)

    def fail(self) -> None:
        raise ValueError(EVIL)

    def fail_later(self) -> None:
        self.ctx.storage.set_alarm(1_000_000_000)

    def alarm(self, info: AlarmInfo) -> None:
        raise ValueError(EVIL)

    paint.__doc__ = LINE

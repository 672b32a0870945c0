;;@in-call
(unreachable)

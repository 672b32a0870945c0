;;@imports
(import "holdfast:actor/sockets@1.0.0" (instance))

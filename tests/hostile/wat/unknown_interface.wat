;;@imports
(import "holdfast:actor/telepathy@1.0.0" (instance))

;;@imports
(import "system" (func (param "command" string)))

;;@imports
(import "holdfast:actor/log@1.0.0" (instance
  (export "write" (func (param "level" string) (param "text" (stream u8))))))

;;@imports
(import "holdfast:actor/storage@1.0.0" (instance
  (export "steal" (func (param "key" string) (result (result string (error string)))))))

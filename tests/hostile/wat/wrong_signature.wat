;; One of our imports with a number where a text belongs.
;;@imports
(import "holdfast:actor/storage@1.0.0" (instance
  (export "get" (func (param "key" u32) (result (result string (error string)))))))

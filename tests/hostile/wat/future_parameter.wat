;; One of our imports with a future: it would abort the process that serves it.
;;@imports
(import "holdfast:actor/storage@1.0.0" (instance
  (export "get" (func (param "key" (future string)) (result (result string (error string)))))))

;; It asks for more memory than a guest may have, at once.
;;@core-fields
(memory 2000)

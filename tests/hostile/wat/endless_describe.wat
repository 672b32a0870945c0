;; It never finishes to describe itself.
;;@in-describe
(loop $again (br $again))

;;@replace
holdfast:actor/instance@1.0.0
;;@by
holdfast:actor/another@1.0.0

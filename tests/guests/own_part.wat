  ;; The end of a component that calls a part of itself: build.rs puts it behind a pre-hook that does nothing. The component model lets only
  ;; components that are side by side call each other. Were it otherwise, this would hand over a list of a thousand texts.
  (component $sink
    (core module $m
      (memory (export "memory") 2)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
      (func (export "take") (param i32 i32)))
    (core instance $i (instantiate $m))
    (func (export "take") (param "texts" (list string))
      (canon lift (core func $i "take") (memory $i "memory") (realloc (func $i "realloc")))))
  (instance $sink (instantiate $sink))
  (core module $memory_of_source (memory (export "memory") 2))
  (core instance $memory_of_source (instantiate $memory_of_source))
  (core func $take_texts (canon lower (func $sink "take") (memory $memory_of_source "memory") string-encoding=utf16))
  (core module $source
    (import "" "memory" (memory 2))
    (import "" "take" (func $take (param i32 i32)))
    (func $start (local $at i32)
      (loop $more
        (i32.store (local.get $at) (i32.const 65536))
        (i32.store offset=4 (local.get $at) (i32.const 1000))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $more (i32.lt_u (local.get $at) (i32.const 8000))))
      (call $take (i32.const 0) (i32.const 1000)))
    (start $start))
  (core instance (instantiate $source
    (with "" (instance
      (export "memory" (memory $memory_of_source "memory"))
      (export "take" (func $take_texts))))))

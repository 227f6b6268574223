  ;; The end of a component with two others side by side in it, which build.rs puts behind a pre-hook that does nothing: one hands the other VALUE
  ;; while the component is instantiated, and so in every call. Whatever the host writes for the one that takes it, it writes to its second page.
  (component $sink
    (core module $m
      (memory (export "memory") SINK_PAGES)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
      (func (export "take") (param i32 i32)))
    (core instance $i (instantiate $m))
    (func (export "take") (param "value" VALUE)
      (canon lift (core func $i "take") (memory $i "memory") (realloc (func $i "realloc")) string-encoding=SINK_ENCODING)))
  (component $source
    (import "take" (func $sink (param "value" VALUE)))
    (core module $memory_of_source (memory (export "memory") SOURCE_PAGES) (data (i32.const 0) "DATA"))
    (core instance $memory_of_source (instantiate $memory_of_source))
    (core func $take (canon lower (func $sink) (memory $memory_of_source "memory") string-encoding=SOURCE_ENCODING))
    (core module $source
      (import "" "memory" (memory SOURCE_PAGES))
      (import "" "take" (func $take (param i32 i32)))
      ;; Pairs of an address and a length, all the same.
      (func $list (param $at i32) (param $pairs i32) (param $address i32) (param $length i32)
        (loop $more
          (i32.store (local.get $at) (local.get $address))
          (i32.store offset=4 (local.get $at) (local.get $length))
          (local.set $at (i32.add (local.get $at) (i32.const 8)))
          (br_if $more (local.tee $pairs (i32.sub (local.get $pairs) (i32.const 1))))))
      (func $start START)
      (start $start))
    (core instance (instantiate $source
      (with "" (instance
        (export "memory" (memory $memory_of_source "memory"))
        (export "take" (func $take)))))))
  (instance $sink (instantiate $sink))
  (instance (instantiate $source (with "take" (func $sink "take"))))

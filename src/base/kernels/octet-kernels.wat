;; Two loops that look at each octet of each message, sixteen octets at a time (WebAssembly SIMD).
;; scripts/build-kernels.ts assembles this file into octet-kernels.wasm.ts.
;;
;; Memory, in octets:
;;       0  256 rows of 8: for each set of octets that go from 8, the indexes of those that stay, then 0x80
;;    2048  i32: where the line began at which `scan` stopped
;;    2052  i32: length of the longest line that `scan` saw the end of
;;    4096  in: 65,536 octets, and 64 of padding
;;   69696  out: likewise
(module
  (memory (export "memory") 3)

  ;; Relaxed body canonicalisation (RFC 6376 section 3.4.4 a) from `in` to `out`. An octet of WSP stays
  ;; if the next octet is neither WSP nor CR, and becomes SP: the last of each run, unless a line ends
  ;; there. `in` ends in an octet that is neither WSP nor CR, and CR stands before LF only.
  ;;
  ;; n: octets in `in`, 1 to 65,536. Result: octets in `out`.
  (func (export "relax") (param $n i32) (result i32)
    (local $i i32) (local $o i32) (local $gone i32) (local $half i32)
    (local $v v128) (local $next v128) (local $tab v128)
    ;; Padding that stays, so that the last round may go over the end.
    (v128.store (i32.add (i32.const 4096) (local.get $n)) (v128.const i64x2 0x7878787878787878 0x7878787878787878))
    (v128.store offset=16 (i32.add (i32.const 4096) (local.get $n)) (v128.const i64x2 0x7878787878787878 0x7878787878787878))
    (loop $round
      (local.set $v (v128.load offset=4096 align=1 (local.get $i)))
      (local.set $next (v128.load offset=4097 align=1 (local.get $i)))
      (local.set $tab (i8x16.eq (local.get $v) (i8x16.splat (i32.const 0x09))))
      (local.set $gone
        (i8x16.bitmask
          (v128.and
            (v128.or (local.get $tab) (i8x16.eq (local.get $v) (i8x16.splat (i32.const 0x20))))
            (v128.or
              (i8x16.eq (local.get $next) (i8x16.splat (i32.const 0x20)))
              (v128.or
                (i8x16.eq (local.get $next) (i8x16.splat (i32.const 0x09)))
                (i8x16.eq (local.get $next) (i8x16.splat (i32.const 0x0d))))))))
      ;; TAB and SP differ in 0x29.
      (local.set $v (v128.xor (local.get $v) (v128.and (local.get $tab) (i8x16.splat (i32.const 0x29)))))
      (if (i32.eqz (local.get $gone))
        (then
          (v128.store offset=69696 align=1 (local.get $o) (local.get $v))
          (local.set $o (i32.add (local.get $o) (i32.const 16))))
        (else
          (local.set $half (i32.and (local.get $gone) (i32.const 0xff)))
          (v128.store64_lane offset=69696 align=1 0
            (local.get $o)
            (i8x16.swizzle (local.get $v) (v128.load64_zero (i32.shl (local.get $half) (i32.const 3)))))
          (local.set $o (i32.sub (i32.add (local.get $o) (i32.const 8)) (i32.popcnt (local.get $half))))
          (local.set $half (i32.shr_u (local.get $gone) (i32.const 8)))
          (v128.store64_lane offset=69696 align=1 0
            (local.get $o)
            (i8x16.swizzle (local.get $v)
              (i8x16.add (v128.load64_zero (i32.shl (local.get $half) (i32.const 3))) (i8x16.splat (i32.const 8)))))
          (local.set $o (i32.sub (i32.add (local.get $o) (i32.const 8)) (i32.popcnt (local.get $half))))))
      (local.set $i (i32.add (local.get $i) (i32.const 16)))
      (br_if $round (i32.lt_u (local.get $i) (local.get $n))))
    ;; The padding that the last round took along.
    (i32.sub (local.get $o) (i32.sub (local.get $i) (local.get $n))))

  ;; Finds the next octet of SMTP content that cannot pass as it is: NUL, CR without LF, LF without CR,
  ;; or a dot at the start of a line. Line ends CRLF before it are counted in.
  ;;
  ;; at: where to begin; nothing but a whole CRLF ends a line from there on. n: octets in `in`, at most
  ;; 65,536. atLineStart: 1 if the octet at `at` is the first of a line. line: where the current line
  ;; began, negative if in an earlier block. Result: its index, or n; 2048 and 2052 are set.
  (func (export "scan") (param $at i32) (param $n i32) (param $atLineStart i32) (param $line i32) (result i32)
    (local $hits i32) (local $longest i32) (local $octet i32)
    (local $v v128)
    ;; Behind the end stands nothing that could complete a CRLF or begin a line.
    (i32.store offset=4096 align=1 (local.get $n) (i32.const 0))
    (block $found
      (if (i32.and
            (local.get $atLineStart)
            (i32.eq (i32.load8_u offset=4096 (local.get $at)) (i32.const 0x2e)))
        (then (br $found)))
      (loop $round
        (if (i32.ge_s (local.get $at) (local.get $n))
          (then (local.set $at (local.get $n)) (br $found)))
        (local.set $v (v128.load offset=4096 align=1 (local.get $at)))
        (local.set $hits
          (i8x16.bitmask
            (v128.or
              (i8x16.eq (local.get $v) (i8x16.splat (i32.const 0x0d)))
              (v128.or
                (i8x16.eq (local.get $v) (i8x16.splat (i32.const 0x0a)))
                (i8x16.eq (local.get $v) (i8x16.splat (i32.const 0)))))))
        (if (i32.eqz (local.get $hits))
          (then
            (local.set $at (i32.add (local.get $at) (i32.const 16)))
            (br $round)))
        (local.set $at (i32.add (local.get $at) (i32.ctz (local.get $hits))))
        (br_if $found (i32.ge_s (local.get $at) (local.get $n)))
        (br_if $found (i32.ne (i32.load16_u offset=4096 align=1 (local.get $at)) (i32.const 0x0a0d)))
        (if (i32.gt_s (i32.sub (local.get $at) (local.get $line)) (local.get $longest))
          (then (local.set $longest (i32.sub (local.get $at) (local.get $line)))))
        (local.set $at (i32.add (local.get $at) (i32.const 2)))
        (local.set $line (local.get $at))
        (br_if $round (i32.ne (i32.load8_u offset=4096 (local.get $at)) (i32.const 0x2e)))))
    (if (i32.gt_s (local.get $at) (local.get $n)) (then (local.set $at (local.get $n))))
    (i32.store (i32.const 2048) (local.get $line))
    (i32.store (i32.const 2052) (local.get $longest))
    (local.get $at)))

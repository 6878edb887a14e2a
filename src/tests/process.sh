#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# usage: process.sh MODEL CTL CONFORMANCE
# The programs as a user starts them: what they print, when they end, what they leave behind.
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

model=$1 ctl=$2 conformance=$3

start() { # OPTION...
    : >"$dir/out" # the background job empties it later than we look
    "$model" --socket "$dir/s" "$@" >"$dir/out" 2>"$dir/err" &
    pid=$!
    tries=0
    until grep -q listening "$dir/out" || test $tries -gt 100; do
        tries=$((tries + 1))
        sleep 0.05
    done
}

# Each refusal: exit status 1, and a text that names option and value.
refused() { # EXPECTED-TEXT OPTION...
    expected=$1
    shift
    timeout 5 "$model" "$@" >"$dir/out" 2>"$dir/err"
    status=$?
    test $status -eq 1 && grep -qF -- "$expected" "$dir/err" && ! test -s "$dir/out"
    check $? "refused: $* ($expected)"
}

refused '--socket PATH is required'
refused '--hdm-size 100M: must be a multiple of 256M' --socket "$dir/s" --hdm-size 100M
refused "--hdm-size: 'lots'" --socket "$dir/s" --hdm-size lots
refused "--contract 'both': must be live or shadow" --socket "$dir/s" --contract both
refused '--decoders 11: a CXL device can have 1, 2, 4, 6, 8 or 10' --socket "$dir/s" --decoders 11
refused '--decoder-skip 1M: must be a multiple of 256M' --socket "$dir/s" --decoder-skip 1M
refused '--bar-size 64K: must be a power of two from 256K' --socket "$dir/s" --bar-size 64K
refused '--page-size 2M: must be 4K or 64K' --socket "$dir/s" --page-size 2M
refused '--vendor-id 0x12345: must be at most 0xffff' --socket "$dir/s" --vendor-id 0x12345
refused "--fault 'none': no such fault" --socket "$dir/s" --fault none
refused '--host-base 0x1000: must be a multiple of 256M' --socket "$dir/s" --host-base 0x1000
refused 'exists and is not a socket' --socket "$dir"
refused 'No such file or directory' --socket "$dir/no/such/folder"
refused 'cannot write' --socket "$dir/s" --trace "$dir/no/such/folder"
test ! -e "$dir/s"
check $? 'a refusal leaves no socket behind'

# The conformance program's own arguments; a device that is not there is said once.
unfit() { # STATUS EXPECTED-TEXT OPTION...
    wanted=$1 expected=$2
    shift 2
    timeout 5 "$conformance" "$@" >"$dir/out" 2>"$dir/err"
    status=$?
    test $status -eq "$wanted" && test "$(grep -cF -- "$expected" "$dir/err")" -eq 1 && ! test -s "$dir/out"
    check $? "conformance ends with $wanted: $* ($expected)"
}
both='one of --socket PATH and --vfio DDDD:BB:DD.F is required'
unfit 2 "$both"
unfit 2 "$both" --socket "$dir/s" --vfio 0000:01:00.0
unfit 2 "'--vfio' is not an option, or its value is missing" --vfio
unfit 2 "--vfio '01:00.0': not a PCI function, expected one like 0000:01:00.0" --vfio 01:00.0
unfit 2 "'--nonsense' is not an option" --nonsense
unfit 1 'there is no PCI function ffff:ff:1f.7: no /sys/bus/pci/devices/ffff:ff:1f.7' --vfio ffff:ff:1f.7

for signal in TERM INT; do
    start --control "$dir/c" --trace "$dir/t"
    test "$(cat "$dir/out")" = "cxl-type2-model: listening on $dir/s"
    check $? 'one line says where it listens'
    kill -s $signal $pid
    wait $pid
    check $? "SIG$signal ends it with status 0"
    pid=
    test ! -e "$dir/s" && test ! -e "$dir/c"
    check $? 'no socket is left behind'
done

start --control "$dir/c" --hdm-size 1T
rss=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status")
test "$rss" -lt 32768
check $? "1 TiB of device memory costs less than 32 MiB ($rss KiB)"
test "$("$ctl" "$dir/c" poke 0xfffffffffe 0a0b)" = ok
check $? 'ctl pokes the last bytes'
test "$("$ctl" "$dir/c" peek 0xfffffffffe 2)" = 0a0b
check $? 'ctl peeks them'
! "$ctl" "$dir/c" peek 1T 1 >"$dir/out"
check $? 'ctl fails where the model answers with an error'
grep -q '^error: ' "$dir/out"
check $? 'ctl prints the error'
! "$ctl" "$dir/nobody" state 2>"$dir/err" && grep -q "$dir/nobody" "$dir/err"
check $? 'ctl names a socket that nobody listens on'
refused 'another process listens' --socket "$dir/s"
timeout 60 "$conformance" --socket "$dir/s" --gtest_filter='*Item14*' >"$dir/out"
check $? 'a client resets it'
test "$("$ctl" "$dir/c" peek 0xfffffffffe 2)" = 0000
check $? 'its memory is clear'
"$ctl" "$dir/c" log | grep -q '"command":"DEVICE_RESET"'
check $? 'the log tells of the reset'
kill -9 $pid
wait $pid 2>/dev/null
pid=
start
kill -0 $pid
check $? 'the stale socket of a killed model is replaced'
kill $pid
wait $pid
pid=

# A trace that cannot be written any more is given up, and said to be; the device goes on.
told_once() { # TEXT
    test "$(grep -cF -- "$1" "$dir/err")" -eq 1
}
start --control "$dir/c" --trace /dev/full
timeout 60 "$conformance" --socket "$dir/s" --gtest_filter='*Item14*' >"$dir/out"
check $? 'a trace on a full device does not end the model'
told_once "--trace '/dev/full': No space left on device"
check $? 'that it is full is said, once'
kill $pid
wait $pid
check $? 'and it ends as ever'
start --control "$dir/c" --trace "$dir/t"
prlimit --pid "$pid" --fsize=100
timeout 60 "$conformance" --socket "$dir/s" --gtest_filter='*Item01*' >"$dir/out"
"$ctl" "$dir/c" state >/dev/null
check $? 'a limit to the size of files does not end the model'
told_once "--trace '$dir/t': File too large"
check $? 'that the trace has reached it is said, once'
test "$(wc -c <"$dir/t")" -eq 100
check $? 'what fits is there'
kill $pid
wait $pid
pid=
(ulimit -f 8 && timeout 5 "$model" --socket "$dir/s" >"$dir/out" 2>"$dir/err")
test $? -eq 1 && told_once '256M of memory: File too large; see ulimit -f'
check $? 'a limit below the device memory is named'

# In the background it returns when it listens, and whoever reads its output is not kept.
said=$(timeout 20 "$model" --socket "$dir/s" --background --pid-file "$dir/pid" 2>"$dir/err")
check $? '--background returns'
test "$said" = "cxl-type2-model: listening on $dir/s" && test -S "$dir/s"
check $? 'when it listens'
pid=$(cat "$dir/pid")
timeout 60 "$conformance" --socket "$dir/s" --gtest_filter='*Item01*' >"$dir/out"
check $? 'and it serves'
kill "$pid"
tries=0
while test -e "$dir/pid" && test $tries -lt 100; do
    tries=$((tries + 1))
    sleep 0.05
done
test ! -e "$dir/pid" && test ! -e "$dir/s"
check $? 'the file with its process id goes with it'
pid=
refused 'cannot write' --socket "$dir/s" --background --pid-file "$dir/no/such/folder"
test ! -e "$dir/s"
check $? 'without that file it does not start'
refused '--socket PATH is required' --background

echo "1..$number"
test $failures -eq 0

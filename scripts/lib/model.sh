# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Sourced after lib.sh: model devices, for as long as a script wants them.

model_pids=()

# start_model LOG OPTION...: one more model device, which listens when this returns; sets
# `model_pid`. What it says goes to LOG. Fails where it does not start, and LOG says why.
start_model() {
    local log=$1; shift
    "$BUILD/bin/cxl-type2-model" --background --pid-file "$log.pid" "$@" </dev/null >"$log" 2>&1 || return
    model_pid=$(cat "$log.pid")
    model_pids+=("$model_pid")
}

# runs PID: it has not ended. Nobody may have reaped one that has.
runs() { grep -qs '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status"; }

# end_models: they end, and their sockets are gone.
end_models() {
    local pid
    for pid in "${model_pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${model_pids[@]}"; do
        for _ in $(seq 60); do
            if ! runs "$pid"; then break; fi
            sleep 0.05
        done
        kill -KILL "$pid" 2>/dev/null || true
    done
    model_pids=()
}

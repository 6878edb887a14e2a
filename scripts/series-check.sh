# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Sourced by scripts/series: proves that the series is sound, in TAP.
. "$(dirname "${BASH_SOURCE[0]}")/tap.sh"

check_order() {
    local d
    series_names | sort | uniq -d | sed 's/$/: twice in series\/order/'
    for d in $(series_names); do
        case $d in *[!a-z0-9-]*) echo "$d: a name has small letters, digits and dashes only" ;; esac
        if [ ! -d "$SERIES/$d" ]; then echo "$d: in series/order, but there is no series/$d"; fi
    done
    for d in "$SERIES"/*/; do
        [ -d "$d" ] || continue
        d=$(basename "$d")
        series_names | grep -qxF -- "$d" || echo "series/$d is not in series/order"
    done
}

# QEMU's way: what is to be built is described before it is built, and expected ACPI
# tables come when nothing behind them can change a table any more.
check_kinds() {
    local name f seen_docs='' tables=''
    for name in $(series_names); do
        if [ -n "$tables" ]; then echo "$name: after $tables, which has the expected ACPI tables and must be last"; fi
        while read -r f; do
            case $f in
                docs/system/devices/*.rst) seen_docs=$name ;;
                hw/*cxl*|include/hw/*cxl*) [ -n "$seen_docs" ] || echo "$name: $f comes before the manual (docs/system/devices)" ;;
                tests/data/acpi/*) tables=$name ;;
            esac
        done < <(list_file "$name")
    done
}

check_messages() {
    local name m
    for name in $(series_names); do
        m=$SERIES/$name/message
        if [ ! -s "$m" ]; then echo "$name: no message"; continue; fi
        awk -v n="$name" '
            NR == 1 && !/^[^ ].*: / { print n ": the subject is not \"area: what\"" }
            NR == 2 && NF { print n ": the second line is not empty" }
            length > 76 { print n ": line " NR " is longer than 76 characters" }
            /^Signed-off-by:/ { print n ": Signed-off-by: whoever submits a patch signs it, not we" }
            END { if (NR < 3) print n ": no body (say why)" }' "$m"
    done
}

check_files() {
    local name f listed later
    listed=$(for name in $(series_names); do list_file "$name" | sed "s/\$/ $name/"; done)
    cut -d' ' -f1 <<<"$listed" | sort | uniq -d | grep . | while read -r f; do
        echo "$f: in more than one patch:$(awk -v f="$f" '$1 == f { printf " " $2 }' <<<"$listed")"
    done || true
    comm -23 <(overlay_files) <(cut -d' ' -f1 <<<"$listed" | sort -u) | sed 's/$/: in no patch (name it in series\/PATCH\/files)/'
    comm -13 <(overlay_files) <(cut -d' ' -f1 <<<"$listed" | sort -u) | grep . | sed 's/$/: named in series\/, but not among our files at QEMU'"'"'s paths/' || true
    for name in $(series_names); do
        list_empty "$name" | while read -r f; do
            series_names | sed "0,/^$name\$/d" | while read -r later; do list_file "$later"; done | grep -xF -- "$f" >/dev/null ||
                echo "$f: added empty by $name, filled by no later patch"
        done
    done
    overlay_files | while read -r f; do
        if [ -n "$(blob base "$f")" ]; then echo "$f: QEMU has a file of this name"; fi
    done
    for name in $(series_names); do
        if [ -z "$(list_file "$name")$(list_empty "$name")" ] && [ ! -s "$SERIES/$name/hunks" ]; then echo "$name: neither new files nor hunks"; fi
    done
}

# Everything below needs the branch and the mails.
check_export() { export_series; }

# What is in the prepared tree beside the base is exactly what the series adds.
check_prepared() {
    local f
    tree_index
    g diff --name-only --no-renames base series | while read -r f; do
        if [ "$(content "$QEMU/$f")" != "$(blob series "$f")" ]; then echo "$f: build/src/qemu differs from the series (make prepare, or make refresh)"; fi
    done
    comm -13 <(g diff --name-only --no-renames base series | sort) \
             <({ tree_git diff-files --name-only; tree_git ls-files --others --exclude-standard; } | sort -u) |
        while read -r f; do
            if [ -n "$f" ] && [ "$(content "$QEMU/$f")" != "$(blob base "$f")" ]; then echo "$f: in build/src/qemu, not in the series"; fi
        done
}

check_taking_off() {
    local mail
    export GIT_INDEX_FILE=$STATE/index.$$
    g read-tree series
    for mail in $(printf '%s\n' "$STATE"/patches/*.patch | grep -v /0000- | sort -r); do
        (cd / && g apply --cached -R --whitespace=nowarn "$mail") || echo "${mail##*/} does not come off"
    done
    [ "$(g write-tree)" = "$(g rev-parse 'base^{tree}')" ] || echo "the series taken off does not give the base"
    rm -f "$GIT_INDEX_FILE"
}

check_am() {
    local tree=$STATE/am
    rm -rf "$tree"
    g worktree prune
    g worktree add -q --detach "$tree" base
    apply_mails "$tree" || true
    [ "$(git -C "$tree" rev-parse 'HEAD^{tree}')" = "$(g rev-parse 'series^{tree}')" ] ||
        echo "git am of build/series/patches gives a tree that is not the series'"
    rm -rf "$tree"
    g worktree prune
}

# check_checkpatch NAME MAIL. series/checkpatch-allowed forgives a complaint:
#     PATCH | part of its text | why it is right here
check_checkpatch() {
    local name=$1 mail=$2 line what text forgiven
    # --no-signoff: whoever submits signs.
    (cd "$QEMU" && perl scripts/checkpatch.pl --no-signoff --terse --no-summary "$mail" 2>&1 || true) |
        sed "s|^$mail:||" | while read -r line; do
            forgiven=
            while IFS='|' read -r what text why; do
                case $what in ''|'#'*) continue ;; esac
                what=$(xargs <<<"$what") text=$(sed 's/^ *//; s/ *$//' <<<"$text")
                if [ "$what" = "$name" ] && [[ $line == *"$text"* ]] && [ -n "${why// /}" ]; then forgiven=1; fi
            done < <(cat "$SERIES/checkpatch-allowed" 2>/dev/null || true)
            if [ -n "$line" ] && [ -z "$forgiven" ]; then echo "$line"; fi
        done
}

check_series() {
    check "order and folders agree" check_order
    check "the manual first, the expected tables last" check_kinds
    check "messages have QEMU's form" check_messages
    check "each new file belongs to exactly one patch" check_files
    if [ -z "$(series_names)" ]; then tap_end; return; fi
    check "every hunk applies, without fuzz or offset" check_export
    if [ "$tap_last" = failed ]; then tap_end; return; fi
    check "base + series = prepared tree" check_prepared
    check "the series taken off gives the base" check_taking_off
    check "git am on the base gives the same tree" check_am
    local name n=0 mail
    for name in $(series_names); do
        n=$((n + 1))
        mail=$(printf '%s\n' "$STATE/patches/$(printf %04d $n)"-*.patch)
        check "checkpatch: $name" check_checkpatch "$name" "$mail"
    done
    tap_end
}

# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Sourced by scripts/series/series: proves that the series is sound, in TAP.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/tap.sh"

check_order() {
    local d
    series_names | sort | uniq -d | sed 's/$/: twice in series\/order/'
    for d in $(series_names); do
        case $d in *[!a-z0-9-]*) echo "$d: a name has small letters, digits and dashes only" ;; esac
        if [ ! -d "$SERIES/$d" ]; then echo "$d: in series/order, but there is no series/$d"; fi
    done
    for d in "$SERIES"/*/; do
        d=$(basename "$d")
        [ -d "$SERIES/$d" ] && [ "$d" != blocks ] || continue
        series_names | grep -qxF -- "$d" || echo "series/$d is not in series/order"
    done
}

# Every patch is in a block, a block stands on earlier ones, and has a letter.
check_blocks() {
    local block base seen=' '
    series_blocks | sort | uniq -d | sed 's/$/: a block of this name begins twice in series\/order/'
    order_lines | awk '$1 == "block" { block = 1; if (NF == 3 || (NF > 3 && $3 != "on")) print "series/order: \"" $0 "\": expected \"block NAME\" or \"block NAME on NAME...\"" }
                       !block { print $1 ": in no block" }'
    for block in $(series_blocks); do
        [ -n "$(series_names "$block")" ] || echo "block $block: no patch"
        [ -s "$SERIES/blocks/$block" ] || echo "block $block: no cover letter series/blocks/$block"
        for base in $(block_bases "$block"); do
            case $seen in *" $base "*) ;; *) echo "block $block: on $base, which is no block before it" ;; esac
        done
        seen="$seen$block "
    done
    for block in "$SERIES"/blocks/*; do
        [ -e "$block" ] || continue
        case $seen in *" ${block##*/} "*) ;; *) echo "series/blocks/${block##*/}: no such block in series/order" ;; esac
    done
}

# QEMU's way: what is to be built is described before it is built, and expected ACPI
# tables come when nothing behind them can change a table any more.
touched_by() { list_file "$1"; sed -n 's|^+++ b/||p' "$SERIES/$1/hunks" 2>/dev/null || true; }
check_kinds() {
    local name f seen_docs='' tables=''
    for name in $(series_names); do
        # Tests change no table.
        if [ -n "$tables" ] && touched_by "$name" | grep -qv '^tests/'; then
            echo "$name: after $tables, which has the expected ACPI tables: behind it come tests only"
        fi
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
    comm -23 <(overlay_files) <(cut -d' ' -f1 <<<"$listed" | sort -u) | sed 's/$/: in no patch (name it in series\/order)/'
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
    local commit
    export GIT_INDEX_FILE=$STATE/index.$$
    g read-tree series
    for commit in $(g rev-list base..series); do
        (cd / && g diff --binary --full-index --no-renames "$commit~" "$commit" | g apply --cached -R --whitespace=nowarn) ||
            echo "$(g show -s --format=%s "$commit") does not come off"
    done
    [ "$(g write-tree)" = "$(g rev-parse 'base^{tree}')" ] || echo "the series taken off does not give the base"
    rm -f "$GIT_INDEX_FILE"
}

# am_gives FROM TO BLOCK...: the mails of these blocks, on FROM, give the tree TO.
am_gives() {
    local tree=$STATE/am from=$1 to=$2 block; shift 2
    g worktree prune
    # Kept, since all of QEMU is in it and little of that changes.
    [ -e "$tree/.git" ] || { rm -rf "$tree"; g worktree add -q --detach "$tree" "$from"; }
    git -C "$tree" checkout -q -f --detach "$from"
    for block; do apply_mails "$tree" "$block" || break; done
    [ "$(git -C "$tree" rev-parse 'HEAD^{tree}')" = "$(g rev-parse "$to^{tree}")" ] ||
        echo "git am of $* on $from gives a tree that is not that of $to"
}
# A block's mails, on what the block says that it needs and nothing else.
check_am() { am_gives "on/$1" "blocks/$1" "$1"; }
# shellcheck disable=SC2046 # names have no spaces
check_am_all() { am_gives base series $(series_blocks); }

# check_checkpatch NAME MAIL. series/checkpatch-allowed forgives a complaint:
#     PATCH or * | part of its text | why it is right here
check_checkpatch() {
    local name=$1 mail=$2 line what text forgiven
    # --no-signoff: whoever submits signs.
    (cd "$QEMU" && perl scripts/checkpatch.pl --no-signoff --terse --no-summary "$mail" 2>&1 || true) |
        sed "s|^$mail:||" | while read -r line; do
            forgiven=
            while IFS='|' read -r what text why; do
                case $what in ''|'#'*) continue ;; esac
                what=$(xargs <<<"$what") text=$(sed 's/^ *//; s/ *$//' <<<"$text")
                if [[ $what == "$name" || $what == '*' ]] && [[ $line == *"$text"* ]] && [ -n "${why// /}" ]; then forgiven=1; fi
            done < <(cat "$SERIES/checkpatch-allowed" 2>/dev/null || true)
            if [ -n "$line" ] && [ -z "$forgiven" ]; then echo "$line"; fi
        done
}

check_series() {
    local names
    check "order and folders agree" check_order
    check "blocks have patches, letters and bases" check_blocks
    if [ "$tap_last" = failed ]; then tap_end; return; fi
    check "the manual first, the expected tables last" check_kinds
    check "messages have QEMU's form" check_messages
    check "each new file belongs to exactly one patch" check_files
    if [ -z "$(series_names)" ]; then tap_end; return; fi
    check "every hunk applies, without fuzz or offset; each block by itself" check_export
    if [ "$tap_last" = failed ]; then tap_end; return; fi
    check "base + series = prepared tree" check_prepared
    check "the series taken off gives the base" check_taking_off
    local block mail
    for block in $(series_blocks); do
        check "git am of $block by itself: the same tree" check_am "$block"
    done
    check "git am of all blocks, one after the other: base + series" check_am_all
    for block in $(series_blocks); do
        mapfile -t names < <(series_names "$block")
        for mail in $(mails_of "$block"); do
            check "checkpatch: ${names[0]}" check_checkpatch "${names[0]}" "$mail"
            names=("${names[@]:1}")
        done
    done
    tap_end
}

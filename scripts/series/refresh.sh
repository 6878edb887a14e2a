# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Sourced by scripts/series/series: brings edits made in build/src/qemu into series/.
#
# The patches become a list of trees, one after each patch. An edit enters at the
# patch it is meant for and is carried through all later ones; what then differs
# between two neighbours is that patch's new hunks.

refresh() {
    local offsets=0 wanted f name owner first i parent moved
    if [ "${1:-}" = --offsets ]; then offsets=1; shift; fi
    wanted=${1:-}
    local names=() trees=()
    mapfile -t names < <(series_names)
    if [ -n "$wanted" ] && ! printf '%s\n' "${names[@]}" | grep -qxF -- "$wanted"; then
        die "series/order names no patch $wanted"
    fi

    # shellcheck disable=SC2034 # read by patch_index
    if [ $offsets = 1 ]; then patch_index_offsets=1; fi
    while read -r _ i; do trees+=("$(g rev-parse "$i^{tree}")"); done < <(assemble hunks)
    [ ${#trees[@]} -eq ${#names[@]} ] || exit 1
    local base last
    base=$(g rev-parse 'base^{tree}')
    last=$base; if [ ${#trees[@]} -gt 0 ]; then last=${trees[-1]}; fi

    relink

    # --- what was edited: differs from what scripts/qemu/prepare wrote last (the base,
    # where it wrote nothing), and from what series/ says
    tree_index
    local edited=()
    declare -A was=()
    while read -r i f; do was[$f]=$i; done < <(cat "$STATE/written" 2>/dev/null || true)
    while read -r f; do
        if [ ! -e "$QEMU/$f" ]; then say "$f is gone from build/src/qemu: ignored (a hook removes no files)"; continue; fi
        if [ -L "$QEMU/$f" ]; then continue; fi
        : "${was[$f]:=$(blob base "$f")}"
        i=$(content "$QEMU/$f")
        if [ "$i" != "${was[$f]}" ] && [ "$i" != "$(blob "$last" "$f")" ]; then edited+=("$f"); fi
    done < <({ tree_git diff-files --name-only; g diff --name-only --no-renames "$base" "$last"; } | sort -u)
    while read -r f; do
        [ -L "$QEMU/$f" ] || say "new file in build/src/qemu: $f (move it to the same path of this repository, name it in a patch's \`files\`, run \`make prepare\`)"
    done < <(tree_git ls-files --others --exclude-standard)
    if [ ${#edited[@]} -eq 0 ] && [ $offsets = 0 ]; then
        [ $relinked = 1 ] || say "nothing edited in build/src/qemu"
        return
    fi

    # --- carry each edit through the patches
    export GIT_INDEX_FILE=$STATE/index.$$
    local tmp; tmp=$(mktemp -d "$STATE/refresh.XXXXXX")
    first=${#names[@]}
    for f in "${edited[@]}"; do
        owner=
        parent=$base
        for i in "${!names[@]}"; do
            if [ -n "$wanted" ]; then
                if [ "${names[i]}" = "$wanted" ]; then owner=$i; fi
            elif [ "$(blob "$parent" "$f")" != "$(blob "${trees[i]}" "$f")" ]; then owner=$i
            fi
            parent=${trees[i]}
        done
        [ -n "$owner" ] || { rm -rf "$tmp"; die "no patch touches $f yet: say which one shall, \`make refresh PATCH=NAME\`"; }
        say "$f -> series/${names[owner]}"
        if [ "$owner" -lt "$first" ]; then first=$owner; fi
        g cat-file blob "${was[$f]}" >"$tmp/was"
        local mode; mode=$(g ls-tree "$last" "$f" | cut -d' ' -f1)
        for ((i = owner; i < ${#names[@]}; i++)); do
            g cat-file blob "${trees[i]}:$f" >"$tmp/now"
            # What this patch had, plus the edit; the last one becomes the edited file.
            if ! git merge-file -q "$tmp/now" "$tmp/was" "$QEMU/$f"; then
                rm -rf "$tmp"
                die "the edit of $f collides with what a later patch does there: it can't go into ${names[owner]}; name a later patch with PATCH="
            fi
            g read-tree "${trees[i]}"
            g update-index --cacheinfo "$mode,$(g hash-object -w --no-filters "$tmp/now"),$f"
            trees[i]=$(g write-tree)
        done
    done
    rm -rf "$tmp" "$GIT_INDEX_FILE"
    unset GIT_INDEX_FILE
    if [ $offsets = 1 ]; then first=0; fi

    # --- and write the hunks that have changed
    for ((i = first; i < ${#names[@]}; i++)); do
        parent=$base; if [ "$i" -gt 0 ]; then parent=${trees[i - 1]}; fi
        name=$SERIES/${names[i]}/hunks
        hunks_between "$parent" "${trees[i]}" >"$STATE/hunks.new"
        if cmp -s "$STATE/hunks.new" "$name"; then continue; fi
        # One line of context fits in more than one place.
        moved=''; if [ $offsets = 1 ]; then moved=$(moved_hunks "$name" "$STATE/hunks.new"); fi
        [ -z "$moved" ] || die "series/${names[i]}/hunks would land in another function, nothing is written from there on:
$moved
Correct the line numbers of these hunks by hand."
        if [ ! -s "$STATE/hunks.new" ] && [ ! -e "$name" ]; then continue; fi
        say "writing series/${names[i]}/hunks"
        if [ -s "$STATE/hunks.new" ]; then cp "$STATE/hunks.new" "$name"; else rm -f "$name"; fi
    done
    rm -f "$STATE/hunks.new"
    # The edits are safe in series/ now: let scripts/qemu/prepare see these files as its own.
    for f in "${edited[@]}"; do
        sed -i "\\|^[0-9a-f]* $f\$|d" "$STATE/written"
        echo "$(content "$QEMU/$f") $f" >>"$STATE/written"
    done
    "$TOP/scripts/qemu/prepare"
}

# relink: files of ours that were edited in the tree by something that replaces the link
# there by a file, as `sed -i` and some editors do, come back to where they are at home.
relink() {
    local f; relinked=0
    for f in $(replaced_links); do
        if ! cmp -s "$QEMU/$f" "$TOP/$f"; then
            # The file in the tree was made of ours; what ours has become since it does not know.
            if [ "$TOP/$f" -nt "$QEMU/$f" ]; then
                die "$f is no link in build/src/qemu any more, and both were changed: bring them together here, remove build/src/qemu/$f, run \`make prepare\`"
            fi
            say "$f: taken back from build/src/qemu, a link again there"
            cat "$QEMU/$f" >"$TOP/$f"
        fi
        ln -sfrT "$TOP/$f" "$QEMU/$f"
        relinked=1
    done
}

# moved_hunks HUNKS HUNKS: where the two are not in the same function, as git names it; a
# hunk that was written by hand need not name one.
moved_hunks() {
    diff <(sed -n 's/^+++ //p; s/^@@ [^@]*@@ *//p' "$1") <(sed -n 's/^+++ //p; s/^@@ [^@]*@@ *//p' "$2") |
        awk '/^[0-9]/ { for (n in was) if (was[n] != "") print was[n] " -> " is[n]; delete was; delete is; a = b = 0 }
             /^</ { was[++a] = substr($0, 3) } /^>/ { is[++b] = substr($0, 3) }
             END { for (n in was) if (was[n] != "") print was[n] " -> " is[n] }' || true
}

# hunks_between TREE TREE: the difference with one line of context, the least that
# still pins a hunk to its place. Object ids say nothing here, binary files need them.
hunks_between() {
    local text binary
    text=$(g diff --numstat --no-renames --diff-filter=MD "$1" "$2" | awk '$1 != "-"' | cut -f3)
    binary=$(g diff --numstat --no-renames --diff-filter=MD "$1" "$2" | awk '$1 == "-"' | cut -f3)
    if [ -n "$text" ]; then
        # shellcheck disable=SC2086
        g diff -U1 --no-color --no-renames --no-ext-diff --diff-filter=MD "$1" "$2" -- $text | sed '/^index [0-9a-f]*\.\.[0-9a-f]*/d'
    fi
    if [ -n "$binary" ]; then
        # shellcheck disable=SC2086
        g diff --binary --full-index --no-color --no-renames --no-ext-diff --diff-filter=MD "$1" "$2" -- $binary
    fi
}

# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Sourced after lib.sh. The series as git sees it.
#
# build/series/git is a bare repository: tag `base` is the pristine QEMU tree,
# and on top of it patches become commits. All work happens in index files and
# trees there; the developer's own repository is never touched.
#
# series/order           names of the patches, in order, in blocks: a line "block NAME" or
#                        "block NAME on OTHER..." begins one, which by itself applies to
#                        QEMU, or to QEMU and the blocks that it names. Below a patch "+ PATH" for each
#                        new file of it; "+ PATH empty": the patch adds an empty file there, which
#                        a later patch with "+ PATH" fills (QEMU's way with the expected tables of
#                        bios-tables-test)
# series/blocks/NAME     the cover letter of a block
# series/NAME/message    commit message
# series/NAME/hunks      unified diff on files QEMU has (may be absent)

QEMU=$BUILD/src/qemu
SERIES=$TOP/series
STATE=$BUILD/series

# Folders of this repository whose files are QEMU's at the same path, but for tests/fuzz.
OVERLAY_DIRS=(accel backends docs/devel docs/interop docs/specs docs/system
              hw include linux-headers qapi system target tests util)

# Git must not look at the caller's repository, nor at personal settings that
# change what a diff or a commit looks like.
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY
g() {
    git --git-dir="$STATE/git" -c core.autocrlf=false -c core.fileMode=true -c core.safecrlf=false \
        -c core.attributesFile=/dev/null -c core.excludesFile=/dev/null -c commit.gpgSign=false \
        -c core.bare=false -c diff.noprefix=false -c diff.mnemonicPrefix=false -c diff.algorithm=myers \
        -c diff.suppressBlankEmpty=false -c gc.auto=0 -c core.hooksPath=/dev/null "$@"
}

# order_lines: series/order without comments; series_names [BLOCK...]: the patches, of all blocks or of these.
order_lines() { sed 's/#.*//' "$SERIES/order" 2>/dev/null | awk 'NF'; }
# shellcheck disable=SC2120 # scripts/series/series passes them
series_names() {
    order_lines | awk -v blocks=" $* " '$1 == "block" { block = $2; next } $1 == "+" { next } blocks == "  " || index(blocks, " " block " ") { print $1 }'
}
series_blocks() { order_lines | awk '$1 == "block" { print $2 }'; }
# block_bases NAME: what stands behind its "on"; block_needs NAME: these and what they need, in order.
block_bases() { order_lines | awk -v name="$1" '$1 == "block" && $2 == name { for (i = 4; i <= NF; i++) print $i }'; }
block_needs() {
    local all other
    # shellcheck disable=SC2046 # names have no spaces
    all=$(for other in $(block_bases "$1"); do block_needs "$other"; echo "$other"; done)
    series_blocks | grep -xF -e "$all" || true
}

# overlay_files: every file of ours that lies at one of QEMU's paths.
overlay_files() {
    local d have=()
    for d in "${OVERLAY_DIRS[@]}"; do if [ -d "$TOP/$d" ]; then have+=("$d"); fi; done
    [ ${#have[@]} -gt 0 ] || return 0
    (cd "$TOP" && find "${have[@]}" \( -name __pycache__ -o -path tests/fuzz \) -prune -o \
        -type f ! -name '*~' ! -name '.*.sw?' ! -name '*.orig' ! -name '*.rej' ! -name '.#*' -print) | sort
}

# our_tests BUILD: those of our test programs that this build folder of QEMU's knows.
our_tests() {
    local t
    for t in "$TOP"/tests/qtest/*-test.c "$TOP"/tests/unit/test-*.c; do
        t=${t#"$TOP"/}; t=${t%.c}
        if grep -q "^build $t:" "$1/build.ninja"; then echo "$t"; fi
    done
}

# replaced_links: files of ours in QEMU's tree where scripts/qemu/prepare laid links to them.
replaced_links() {
    local f
    { cat "$STATE/laid" 2>/dev/null || true; } | while read -r f; do
        if [ -f "$QEMU/$f" ] && [ ! -L "$QEMU/$f" ] && [ -f "$TOP/$f" ]; then echo "$f"; fi
    done
}

# series_import_base DIR: commits DIR's content as tag `base`.
series_import_base() {
    mkdir -p "$STATE"
    rm -rf "$STATE/git" "$STATE/index" "$STATE/applied" "$STATE/laid" "$STATE/written"
    git init -q --bare -b series "$STATE/git"
    g tag base "$(import_tree "$1" | base_commit)"
}

# import_tree DIR: DIR's content as a tree; prints its id.
import_tree() {
    local index=$STATE/index.import tree
    rm -f "$index"
    # -f: QEMU's own ignore rules name files that its tarballs contain.
    GIT_INDEX_FILE=$index g --work-tree="$1" add -A -f .
    tree=$(GIT_INDEX_FILE=$index g write-tree)
    rm -f "$index"
    echo "$tree"
}

base_commit() {
    local tree; read -r tree
    identity
    echo "Pristine base" | g commit-tree "$tree"
}

# Who and when stand in every commit. The name is the caller's, as git has it;
# the date is fixed, so that an unchanged series gives unchanged commits.
identity() {
    local name mail
    name=$(git config user.name || true)
    mail=$(git config user.email || true)
    export GIT_AUTHOR_NAME=${name:-Series} GIT_AUTHOR_EMAIL=${mail:-series@localhost}
    export GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL
    export GIT_AUTHOR_DATE="@1767225600 +0000" GIT_COMMITTER_DATE="@1767225600 +0000"
}

# patch_index NAME hunks|all: applies a patch to the index in $GIT_INDEX_FILE.
# `hunks` leaves new files out. No fuzz ever; an offset is an error, too, unless
# $patch_index_offsets is set.
patch_index() {
    local name=$1 what=$2 out f mode
    if [ -s "$SERIES/$name/hunks" ]; then
        out=$(cd / && g apply --cached --verbose --whitespace=nowarn "$SERIES/$name/hunks" 2>&1) ||
            die "series/$name/hunks does not apply:
$out"
        if [ -z "${patch_index_offsets:-}" ] && grep -q 'offset' <<<"$out"; then
            die "series/$name/hunks applies only at an offset; regenerate it with \`make refresh OFFSETS=1\`:
$(grep -B1 offset <<<"$out")"
        fi
    fi
    [ "$what" = all ] || return 0
    while read -r f; do
        [ -f "$TOP/$f" ] || die "series/order: $name has a file $f, which does not exist"
        mode=100644; if [ -x "$TOP/$f" ]; then mode=100755; fi
        printf '%s %s\t%s\n' "$mode" "$(g hash-object -w --no-filters "$TOP/$f")" "$f"
    done < <(list_file "$name") | g update-index --index-info
    while read -r f; do
        printf '100644 %s\t%s\n' "$(g hash-object -w --stdin </dev/null)" "$f"
    done < <(list_empty "$name") | g update-index --index-info
}

# list_file NAME: the new files of a patch; list_empty NAME: those it adds empty.
list_file() { order_lines | awk -v name="$1" '$1 != "+" { at = $1 } at == name && $1 == "+" && $3 != "empty" { print $2 }'; }
list_empty() { order_lines | awk -v name="$1" '$1 != "+" { at = $1 } at == name && $1 == "+" && $3 == "empty" { print $2 }'; }

# assemble hunks|all [PATCH...]: base plus patches, by default all; prints "NAME COMMIT" per patch.
assemble() {
    local what=$1 name commit tree; shift
    # shellcheck disable=SC2046 # likewise
    [ $# -gt 0 ] || set -- $(series_names)
    identity
    export GIT_INDEX_FILE=$STATE/index.$$
    commit=$(g rev-parse 'base^{commit}')
    g read-tree "$commit"
    for name; do
        patch_index "$name" "$what"
        tree=$(g write-tree)
        commit=$(g commit-tree -p "$commit" "$tree" <"$SERIES/$name/message") ||
            die "series/$name/message: no commit could be made of it"
        echo "$name $commit"
    done
    rm -f "$GIT_INDEX_FILE"
    unset GIT_INDEX_FILE
}

# tree_index: brings the index that knows the prepared tree's time stamps up to
# date, so that looking for changed files costs a stat per file and no more.
tree_git() { GIT_INDEX_FILE=$STATE/index g --work-tree="$QEMU" "$@"; }
tree_index() {
    if [ ! -e "$STATE/index" ]; then tree_git read-tree base; fi
    tree_git update-index -q --refresh >/dev/null || true
}

# blob TREE PATH: id of a file there, empty when there is none.
blob() { g rev-parse -q --verify "$1:$2" || true; }
# content PATH: id of what a file holds now, empty when there is none.
content() { if [ -e "$1" ]; then g hash-object --no-filters "$1"; fi; }

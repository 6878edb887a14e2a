# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Sourced after lib.sh. A private apt state below build/apt: its own list of
# suites, its own index, its own cache. The machine's apt is read (mirror,
# proxies), never changed, and nothing fetched through it gets installed.

APT_DIR=$BUILD/apt
APT_DL=$BUILD/dl
# Our archives: TYPE ARCHITECTURES SUITE
APT_SOURCES='deb-src - unstable
deb amd64,arm64 trixie
deb amd64,arm64 trixie-backports
deb amd64 bookworm-backports
deb arm64 bookworm'

# The mirror the machine itself uses for Debian. DEBIAN_MIRROR= overrides.
apt_mirror() {
    if [ -n "${DEBIAN_MIRROR:-}" ]; then echo "$DEBIAN_MIRROR"; return; fi
    local targets
    targets=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' \
              'Created-By: Packages' 2>/dev/null) || true
    # Before the first `apt-get update` of a machine origin and label are not
    # known; then take the first archive that ends in "debian".
    awk -F'|' '$1 == "Debian" && $2 == "Debian" { print $3; exit }' <<<"$targets" | grep . ||
        awk -F'|' '$3 ~ /\/debian\/?$/ { print $3; exit }' <<<"$targets" | grep . ||
        die "no Debian mirror in this machine's apt configuration; name one with DEBIAN_MIRROR=URL"
}

# Is there an index, of all archives?
apt_has_index() { [ "$(cat "$APT_DIR/updated" 2>/dev/null)" = "$APT_SOURCES" ]; }

# Sets the private state up, fetches the index when there is none. `apt_init
# again` fetches it anew.
apt_init() {
    export APT_CONFIG=$APT_DIR/apt.conf
    if [ "${1:-}" != again ] && apt_has_index; then return; fi
    local key=${DEBIAN_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg} mirror
    [ -e "$key" ] || die "$key is missing: install debian-archive-keyring, or name a keyring with DEBIAN_KEYRING=FILE"
    exec 8>"$BUILD/.lock-apt"
    flock 8
    # Another call may have fetched it meanwhile.
    if [ "${1:-}" != again ] && apt_has_index; then flock -u 8; return; fi
    mirror=$(unset APT_CONFIG; apt_mirror)
    mkdir -p "$APT_DIR/lists/partial" "$APT_DIR/cache/archives/partial" "$APT_DIR/parts"
    # What the machine says about acquiring (proxies, time-outs) holds here too;
    # its hooks after an update do not.
    {
        (unset APT_CONFIG; apt-config dump) |
            grep -E '^Acquire::(http|https|ftp|Retries|Check-Valid-Until|Check-Date|ForceIPv)' || true
        cat <<CONF
Dir::Etc::main "/dev/null";
Dir::Etc::parts "$APT_DIR/parts";
Dir::Etc::sourcelist "$APT_DIR/sources.list";
Dir::Etc::sourceparts "$APT_DIR/parts";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "$APT_DIR/parts";
Dir::State::Lists "$APT_DIR/lists";
Dir::State::status "/dev/null";
Dir::Cache "$APT_DIR/cache";
APT::Architectures { "amd64"; "arm64"; };
APT::Sandbox::User "$(id -un)";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
CONF
    } >"$APT_DIR/apt.conf"
    awk -v rest="signed-by=$key] $mirror" '{ print $1, "[" ($2 == "-" ? "" : "arch=" $2 " ") rest, $3, "main" }' \
        <<<"$APT_SOURCES" >"$APT_DIR/sources.list"
    say "fetching Debian's package index from $mirror"
    apt-get update -qq >&2 || die "the index could not be fetched from $mirror (DEBIAN_MIRROR=URL takes another mirror)"
    printf '%s\n' "$APT_SOURCES" >"$APT_DIR/updated"
    flock -u 8
}

# apt_resolve SUITE PKG[:ARCH]...: one line per package, "file sha256".
apt_resolve() {
    local suite=$1 p out; shift
    for p in "$@"; do
        out=$(cd /; apt-get --print-uris download "$p/$suite" 2>&1) ||
            die "no package $p in $suite: $out"
        awk '/SHA256:/ { sub("SHA256:", "", $4); print $2, $4; n++ } END { exit !n }' <<<"$out" ||
            die "the index of $suite names no SHA-256 for $p: $out"
    done
}

# apt_download SUITE PKG[:ARCH]...: puts the packages into build/dl, verified
# against the signed index; prints their paths.
apt_download() {
    local suite=$1 p file sum line tmp; shift
    mkdir -p "$APT_DL"
    for p in "$@"; do
        line=$(apt_resolve "$suite" "$p")
        file=${line% *} sum=${line#* }
        if [ ! -e "$APT_DL/$file" ]; then
            tmp=$(mktemp -d "$APT_DL/.part.XXXXXX")
            say "fetching $file"
            # An index that has aged names files the mirror no longer has: fetch
            # it anew once.
            if ! (cd "$tmp" && apt-get download -qq "$p/$suite" >&2); then
                apt_init again
                line=$(apt_resolve "$suite" "$p")
                file=${line% *} sum=${line#* }
                (cd "$tmp" && apt-get download -qq "$p/$suite" >&2) ||
                    { rm -rf "$tmp"; die "$p could not be downloaded from $suite"; }
            fi
            [ -e "$tmp/$file" ] || { rm -rf "$tmp"; die "$p: expected $file, got something else"; }
            mv "$tmp/$file" "$APT_DL/$file"
            rm -rf "$tmp"
        fi
        [ "$(sha256_of "$APT_DL/$file")" = "$sum" ] ||
            die "build/dl/$file has SHA-256 $(sha256_of "$APT_DL/$file"), Debian's signed index says $sum: remove the file and try again"
        printf '%s\n' "$APT_DL/$file"
    done
}

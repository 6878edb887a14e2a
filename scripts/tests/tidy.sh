#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# clang-tidy: what it looks at again, and that each family of its checks is there.
. "$(dirname "$0")/common"

# rooms: src/model with two units and a header of one of them, src/bench with one unit; built.
# clang-tidy is a script that finds fault with the word "bad" and notes what it looked at.
rooms() {
    rm -rf "$REPO"
    mkdir -p "$REPO"/{scripts,src/model,src/bench,build/cpp}
    cp "$TOP"/scripts/{lib.sh,tap.sh,check-tidy} "$REPO/scripts"
    cp "$TOP/.clang-tidy" "$REPO"
    echo "int one;" >"$REPO/src/model/one.h"
    echo '#include "one.h"' >"$REPO/src/model/one.cpp"
    echo "int two;" >"$REPO/src/model/two.cpp"
    echo "int three;" >"$REPO/src/bench/three.cpp"
    cat >"$REPO/scripts/clang-tidy" <<'SH'
#!/bin/bash
[ "$1" != --version ] || exec cat "$0"
file=${!#}
echo "$file" >>looked
if [ -e meanwhile ]; then . ./meanwhile; fi
if grep -H bad "$file"; then exit 1; fi
SH
    chmod +x "$REPO/scripts/clang-tidy"
    build
}
# build: as meson has it built, by a compiler that says what it read.
build() {
    printf '%s\n' 'rule cpp' "  command = c++ \$flags -MD -MF \$out.d -c \$in -o \$out" '  deps = gcc' "  depfile = \$out.d" >"$REPO/build/cpp/build.ninja"
    printf 'build %s.o: cpp ../../src/%s.cpp\n' model/one model/one model/two model/two bench/three bench/three >>"$REPO/build/cpp/build.ninja"
    compile
}
compile() { ninja -C "$REPO/build/cpp" >/dev/null; ninja -C "$REPO/build/cpp" -t compdb >"$REPO/build/cpp/compile_commands.json"; }
all=(src/bench/three.cpp src/model/one.cpp src/model/two.cpp)
# looks UNIT...: clang-tidy is silent, and has looked at these.
looks() {
    rm -f "$REPO/looked"
    works "$REPO/scripts/check-tidy"
    { cat "$REPO/looked" 2>/dev/null || true; } | sort | diff - <(printf '%s\n' "$@" | grep . | sort)
}

each_once() { rooms; looks "${all[@]}"; looks; }
changed_unit() { rooms; looks "${all[@]}"; echo "int more;" >>"$REPO/src/model/two.cpp"; build; looks src/model/two.cpp; }
changed_header() { rooms; looks "${all[@]}"; echo "int more;" >>"$REPO/src/model/one.h"; build; looks src/model/one.cpp; }
touched() { rooms; looks "${all[@]}"; touch "$REPO"/src/model/*; build; looks; }
changed_rules() { rooms; looks "${all[@]}"; echo "# more" >>"$REPO/.clang-tidy"; looks "${all[@]}"; }
changed_tool() { rooms; looks "${all[@]}"; echo "# more" >>"$REPO/scripts/clang-tidy"; looks "${all[@]}"; }
changed_flags() {
    rooms
    looks "${all[@]}"
    echo '  flags = -DMORE' >>"$REPO/build/cpp/build.ninja"
    compile
    looks src/bench/three.cpp
}
finding_stays() {
    rooms
    echo "int bad;" >>"$REPO/src/model/two.cpp"
    build
    fails "$REPO/scripts/check-tidy"
    said "src/model/two.cpp:int bad;"
    fails "$REPO/scripts/check-tidy"
    said "src/model/two.cpp:int bad;"
}
# Changed while it was looked at: what was looked at is not what is there.
changed_meanwhile() {
    rooms
    echo 'case $file in src/model/one.cpp) echo "int more;" >>src/model/one.h; rm meanwhile ;; esac' >"$REPO/meanwhile"
    looks "${all[@]}"
    build
    looks src/model/one.cpp
}
not_built() {
    rooms
    echo "int more;" >>"$REPO/src/model/two.cpp"
    fails "$REPO/scripts/check-tidy"
    said "build/cpp is not up to date"
    build
    echo '[]' >"$REPO/build/cpp/compile_commands.json"
    fails "$REPO/scripts/check-tidy"
    said "no unit is compiled"
}

# One fault for each family, some through a library's templates, one in a header; the real
# clang-tidy, by the real rules.
faults() {
    rm -rf "$SCRATCH/faults"
    mkdir -p "$SCRATCH/faults/src"
    cp "$TOP/.clang-tidy" "$SCRATCH/faults"
    printf '#pragma once\ninline int *in_header() { return 0; }\n' >"$SCRATCH/faults/src/bad.h"
    cat >"$SCRATCH/faults/src/bad.cpp" <<'CPP'
#include "bad.h"
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>
#include <vector>

struct Big {
    Big();
    Big(const Big &other);
    ~Big();
    int size() const;
};
void take(std::string text);

double half(int n) { return n / 2; }
int moved(std::string text) {
    take(std::move(text));
    return static_cast<int>(text.size());
}
int null() {
    int *p = nullptr;
    return *p;
}
int freed() {
    auto one = std::make_unique<int>(1);
    int *p = one.get();
    one.reset();
    return *p;
}
int inner() {
    const char *p = nullptr;
    {
        std::string text = "longer than what a string has room for";
        p = text.c_str();
    }
    return *p;
}
int undefined() {
    int i;
    return i;
}
int dead(int n) {
    int m = n;
    m = 3;
    return n;
}
int leak(int n) {
    void *p = malloc(8);
    return p == nullptr ? 1 : n;
}
struct Virtual {
    Virtual() { call(); }
    virtual ~Virtual() = default;
    virtual int call() { return 1; }
};
bool same(int a) { return a == a; }
void unused(int a) { take(""); }
int sum(const std::vector<Big> &all, Big one) {
    int n = one.size();
    for (const auto each : all) {
        n += each.size();
    }
    return n;
}
int braces(int a) {
    if (a > 1)
        return 1;
    else
        return 2;
}
int BadName() { return 1; }
bool boolean(bool a) {
    if (a) {
        return true;
    }
    return false;
}
bool empty(const std::vector<int> &all) { return all.size() == 0; }
void redundant(const std::string &text) { take(text.c_str()); }
CPP
    (cd "$SCRATCH/faults" && "$TOP/scripts/clang-tidy" --quiet "$PWD/src/bad.cpp" -- -std=c++20 >"$SCRATCH/out" 2>&1) || true
}
found() {
    local name
    faults
    for name in bugprone-{integer-division,use-after-move} \
        clang-analyzer-{core.NullDereference,core.uninitialized.UndefReturn,cplusplus.NewDelete,cplusplus.InnerPointer} \
        clang-analyzer-{deadcode.DeadStores,optin.cplusplus.VirtualCall,unix.Malloc} misc-{redundant-expression,unused-parameters} \
        modernize-use-nullptr performance-{for-range-copy,unnecessary-value-param} \
        readability-{braces-around-statements,container-size-empty,duplicate-include,else-after-return,identifier-naming} \
        readability-{redundant-string-cstr,simplify-boolean-expr}; do
        grep -q "error: .*\[$name," "$SCRATCH/out" || echo "$name finds nothing, or is no error"
    done
    grep -q '/src/bad\.h:2:.*\[modernize-use-nullptr,' "$SCRATCH/out" || echo "nothing is found in the header"
}

check "every unit is looked at, once" each_once
check "a changed unit is looked at again, and no other" changed_unit
check "a changed header, by the units that include it" changed_header
check "new dates are no change" touched
check "changed rules concern all" changed_rules
check "so does another clang-tidy" changed_tool
check "changed flags concern the units that have them" changed_flags
check "what was found is found again" finding_stays
check "what changes meanwhile is not vouched for" changed_meanwhile
check "without a build there is no verdict" not_built
check "each family of checks finds its fault, in headers of ours, too" found
tap_end

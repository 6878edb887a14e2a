#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# usage: conformance.sh MODEL CONFORMANCE CONTRACT
# The model keeps the contract in several shapes; and for every item of the list there is a fault
# that breaks the model in that respect and turns that item's test red.
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

model=$1 conformance=$2 contract=$3

report() { # RESULT TEXT
    number=$((number + 1))
    echo "$1 $number - $2"
    test "$1" = ok || failures=$((failures + 1))
}

# Every item of one model, green.
green() { # TEXT OPTION...
    text=$1
    shift
    if start_model --contract "$contract" "$@" && timeout 60 "$conformance" --socket "$dir/s" >"$dir/log" 2>&1; then
        report ok "$contract: every item holds, $text"
    else
        sed 's/^/# /' "$dir/log"
        report 'not ok' "$contract: every item holds, $text"
    fi
    end_model
}

green defaults
green '64 KiB pages' --page-size 64K
green 'four decoders, 1 GiB' --decoders 4
green 'two decoders that skip memory' --decoders 2 --decoder-skip 512M
green uncommitted --uncommitted
green 'no cache, large BAR' --no-cache --bar-size 256M
green '256 GiB' --hdm-size 256G
green 'reads of the memory that come short' --fault memory-read-short

# ITEM FAULT, contract by contract. An item of one generation is skipped on the other.
common='
Item01_RegionsExist memory-size-zero
Item01_RegionsExist region-index-out-of-range
Item01_RegionsExist no-cxl-flag
Item02_ComponentBarIsSparse sparse-covers-block
Item02_ComponentBarIsSparse sparse-missing
Item02_ComponentBarIsSparse sparse-unaligned
Item02_ComponentBarIsSparse sparse-overlap
Item03_MemoryMapsAndReadsBack memory-fd-read-only
Item03_MemoryMapsAndReadsBack memory-fd-unsealed
Item03_MemoryMapsAndReadsBack memory-read-empty
Item04_LargePageRoundTrips memory-fd-small
Item05_MemoryAsDmaBuf dma-buf-lies
Item06_CompRegsHoldDecoder0 comp-regs-small
Item06_CompRegsHoldDecoder0 comp-regs-read-short
Item07_CompRegsRefuseOddAccesses comp-regs-any-width
Item08_CompRegsEnd comp-regs-past-end
Item12_DvsecBodyReads dvsec-all-ones
Item13_CxlReset reset-fails
Item13_CxlReset cxl-reset-never-done
Item13_CxlReset cxl-reset-bit-sticks
Item14_DeviceReset reset-fails
Item14_DeviceReset no-reset-flag
Item16_LocatorLeadsToTheDecoders locator-bar-wrong
Item16_LocatorLeadsToTheDecoders cm-no-hdm
Item16_LocatorLeadsToTheDecoders decoder-size-wraps
Item16_LocatorLeadsToTheDecoders decoder-size-zero
Item18_DvsecWrites dvsec-capability-writable
Item18_DvsecWrites dvsec-control-read-only
Item19_RegionFlags comp-regs-mmap
'
live='
Item09_DecommitIsAbsorbed comp-regs-write-fails
Item10_CommitAndLockStay comp-regs-control-sticks
Item11_BaseIsAbsorbed comp-regs-base-sticks
Item15_BlockIsHiddenInBar block-visible-in-bar
Item17_SizeIsTheRegions decoder-size-too-large
'
shadow='
Shadow01_DeviceCapabilityNamesTheRegions device-cap-48
Shadow02_MemoryCanBeReadAndWritten memory-read-only
Shadow03_CommittedDecoderHasBaseZero shadow-base-not-zero
Shadow04_UnlockedDecoderCommitsBothWays decoder-never-commits
Shadow05_MmapOfTheBlockFails sparse-covers-block
Shadow06_DvsecLockFreezesControl dvsec-lock-ignored
Shadow07_SkipIsAbsorbed comp-regs-skip-sticks
'
case $contract in
live) table="$common$live" other=$shadow ;;
*) table="$common$shadow" other=$live ;;
esac

echo "$table" >"$dir/table"
while read -r item fault; do
    test -n "$item" || continue
    text="$contract: $item goes red with --fault $fault"
    if ! start_model --contract "$contract" --fault "$fault"; then
        report 'not ok' "$text"
        continue
    fi
    timeout 60 "$conformance" --socket "$dir/s" --gtest_filter="Conformance.$item" \
        >"$dir/log" 2>&1
    status=$?
    end_model
    # Red for what it asserts, not because the model could not be reached.
    if test $status -eq 1 && grep -q "FAILED.*$item" "$dir/log" &&
        ! grep -q 'cannot connect' "$dir/log"; then
        report ok "$text"
    else
        sed 's/^/# /' "$dir/log"
        report 'not ok' "$text"
    fi
done <"$dir/table"

# No item without its mutation.
"$conformance" --gtest_list_tests | grep '^ ' | while read -r item; do
    case "$table$other" in
    *"$item "*) ;;
    *) echo "$item" ;;
    esac
done >"$dir/missing"
if test -s "$dir/missing"; then
    sed 's/^/# no mutation for /' "$dir/missing"
    report 'not ok' "$contract: every item has its mutation"
else
    report ok "$contract: every item has its mutation"
fi

echo "1..$number"
test $failures -eq 0

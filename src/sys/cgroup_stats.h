// Parsers of control group statistics files: pure functions on text. Unknown lines and malformed numbers are
// skipped, since kernels add keys as they please.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sys/cgroup.h"

namespace berth::sys {

/// "123\n" -> 123; "max\n" -> UINT64_MAX; anything else 0.
uint64_t parse_cgroup_number(std::string_view text);
/// The value behind `key` in "key value" lines; empty when absent.
std::string_view find_cgroup_value(std::string_view text, std::string_view key);
/// "key value" lines.
std::map<std::string, uint64_t> parse_flat_keyed(std::string_view text);
/// Numbers between spaces or newlines: "12 34 56" -> {12, 34, 56}
std::vector<uint64_t> parse_number_list(std::string_view text);
/// v1 blkio lines: "8:0 Read 4096"; the closing "Total" line is left out, ops become lower case.
std::vector<CgroupBlockEntry> parse_v1_block_entries(std::string_view text);
/// v2 io.stat lines: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6".
void parse_v2_io_stat(std::string_view text, std::vector<CgroupBlockEntry>& bytes,
                      std::vector<CgroupBlockEntry>& operations);

}  // namespace berth::sys

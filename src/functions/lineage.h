// Lineage: the part of a trace header that says which functions a chain of events has run, and how often:
// "Lineage=a87bd80c:1|68fd508a:5" (AWS X-Ray, tracing header). AWS's SDKs pass the header of the event on
// with every call, so that a function that calls itself without end is noticed. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace berth::functions {

/// Runs of one function in one chain, after which AWS stops it.
inline constexpr uint32_t longest_loop = 16;

/// How often the chain has run this function; 0 where the header has no lineage, or none that can be read.
uint32_t runs_of(std::string_view trace_header, std::string_view function_arn);

/// The header with one run more of this function. A chain is remembered by its last functions, at most 16.
std::string with_run_of(std::string_view trace_header, std::string_view function_arn);

}  // namespace berth::functions

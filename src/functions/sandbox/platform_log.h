// The lines that the platform writes into a function's log: INIT_START, START, END, REPORT, in AWS's text
// form or as JSON documents, which are also what the Telemetry API delivers. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "functions/model.h"

namespace berth::functions {

enum class ReportStatus { Success, Error, Failure, Timeout };
std::string_view to_string(ReportStatus status);

/// What REPORT says of one event.
struct EventReport {
  std::string request_id;
  uint64_t duration_us = 0;
  uint64_t billed_ms = 0;
  uint32_t memory_mebibytes = 0;
  uint64_t memory_peak_bytes = 0;
  uint64_t init_us = 0;  ///< 0: none
  ReportStatus status = ReportStatus::Success;
  std::string error_type = {};
  std::string trace_id = {};  ///< XRAY TraceId, when traced actively
};

/// One line for the log, newline included.
std::string start_line(LogFormat format, Timestamp time, std::string_view request_id,
                       std::string_view version);
std::string end_line(std::string_view request_id);
std::string report_line(LogFormat format, Timestamp time, const EventReport& report);
std::string init_start_line(LogFormat format, Timestamp time, std::string_view runtime,
                            const FunctionVersion& function, std::string_view initialization);
/// Of an init that failed or took too long. `phase` "init" or "invoke"; `status` "error" or "timeout".
std::string init_report_line(LogFormat format, Timestamp time, uint64_t duration_us, std::string_view phase,
                             std::string_view status, std::string_view error_type);

/// "2026-11-28T06:00:00.123Z"
std::string to_milliseconds(Timestamp time);

/// YYYY/MM/DD/[version]<32 hex digits>
std::string make_log_stream(Timestamp time, std::string_view version, std::string_view random_hex);

}  // namespace berth::functions

// The platform's log lines.
#include "functions/sandbox/platform_log.h"

#include <ctime>

#include "base/format.h"
#include "base/json.h"

namespace berth::functions {
namespace {

double milliseconds(uint64_t microseconds) {
  return static_cast<double>(microseconds) / 1000;
}

uint64_t mebibytes(uint64_t bytes) {
  return (bytes + (1 << 20) - 1) >> 20;
}

std::string document(Timestamp time, std::string_view type, Json record) {
  return to_json(Json{{"time", to_milliseconds(time)}, {"type", type}, {"record", std::move(record)}}) + "\n";
}

/// Two digits behind the point, as AWS rounds.
double rounded(uint64_t microseconds) {
  return static_cast<double>((microseconds + 5) / 10) / 100;
}

std::string report_document(Timestamp time, const EventReport& report) {
  Json metrics = {{"durationMs", rounded(report.duration_us)},
                  {"billedDurationMs", report.billed_ms},
                  {"memorySizeMB", report.memory_mebibytes},
                  {"maxMemoryUsedMB", mebibytes(report.memory_peak_bytes)}};
  if (report.init_us > 0) metrics["initDurationMs"] = rounded(report.init_us);
  Json record = {{"requestId", report.request_id},
                 {"metrics", std::move(metrics)},
                 {"status", to_string(report.status)}};
  if (!report.error_type.empty()) record["errorType"] = report.error_type;
  return document(time, "platform.report", std::move(record));
}

}  // namespace

std::string_view to_string(ReportStatus status) {
  switch (status) {
    case ReportStatus::Success:
      return "success";
    case ReportStatus::Error:
      return "error";
    case ReportStatus::Failure:
      return "failure";
    case ReportStatus::Timeout:
      return "timeout";
  }
  return "";
}

std::string to_milliseconds(Timestamp time) {
  int64_t total = to_unix_nanoseconds(time) / 1'000'000;
  time_t seconds = total / 1000;
  tm parts{};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, total % 1000);
}

std::string make_log_stream(Timestamp time, std::string_view version, std::string_view random_hex) {
  time_t seconds = to_unix_nanoseconds(time) / 1'000'000'000;
  tm parts{};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:04}/{:02}/{:02}/[{}]{}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     version, random_hex);
}

std::string start_line(LogFormat format, Timestamp time, std::string_view request_id,
                       std::string_view version) {
  if (format == LogFormat::Json) {
    return document(time, "platform.start", {{"requestId", request_id}, {"version", version}});
  }
  return fmt::format("START RequestId: {} Version: {}\n", request_id, version);
}

std::string end_line(std::string_view request_id) {
  return fmt::format("END RequestId: {}\n", request_id);
}

std::string report_line(LogFormat format, Timestamp time, const EventReport& report) {
  if (format == LogFormat::Json) return report_document(time, report);
  std::string line = fmt::format(
      "REPORT RequestId: {}\tDuration: {:.2f} ms\tBilled Duration: {} ms\tMemory Size: {} MB\tMax Memory "
      "Used: "
      "{} MB\t",
      report.request_id, milliseconds(report.duration_us), report.billed_ms, report.memory_mebibytes,
      mebibytes(report.memory_peak_bytes));
  auto out = std::back_inserter(line);
  if (report.init_us > 0) fmt::format_to(out, "Init Duration: {:.2f} ms\t", milliseconds(report.init_us));
  // What a runtime reports of its handler is no failure of the platform's.
  if (report.status == ReportStatus::Failure && !report.error_type.empty()) {
    fmt::format_to(out, "Status: error\tError Type: {}\t", report.error_type);
  }
  if (report.status == ReportStatus::Timeout) line += "Status: timeout\t";
  if (!report.trace_id.empty()) fmt::format_to(out, "\nXRAY TraceId: {}\t", report.trace_id);
  line += '\n';
  return line;
}

std::string init_start_line(LogFormat format, Timestamp time, std::string_view runtime,
                            const FunctionVersion& function, std::string_view initialization) {
  std::string arn = fmt::format("arn:aws:lambda:{}::runtime:{}", function.realm.region, runtime);
  if (format == LogFormat::Json) {
    return document(time, "platform.initStart",
                    {{"initializationType", initialization},
                     {"phase", "init"},
                     {"runtimeVersion", runtime},
                     {"runtimeVersionArn", arn},
                     {"functionName", function.name},
                     {"functionVersion", function.version}});
  }
  return fmt::format("INIT_START Runtime Version: {}\tRuntime Version ARN: {}\n", runtime, arn);
}

std::string init_report_line(LogFormat format, Timestamp time, uint64_t duration_us, std::string_view phase,
                             std::string_view status, std::string_view error_type) {
  if (format == LogFormat::Json) {
    Json record = {{"initializationType", "on-demand"},
                   {"phase", phase},
                   {"status", status},
                   {"metrics", {{"durationMs", rounded(duration_us)}}}};
    if (!error_type.empty()) record["errorType"] = error_type;
    return document(time, "platform.initReport", std::move(record));
  }
  std::string line = fmt::format("INIT_REPORT Init Duration: {:.2f} ms\tPhase: {}\tStatus: {}",
                                 milliseconds(duration_us), phase, status);
  if (!error_type.empty()) line += fmt::format("\tError Type: {}", error_type);
  return line + "\n";
}

}  // namespace berth::functions

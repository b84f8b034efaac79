// AuditLog: who did what, one JSON object a line: everything that changes something, enters a container or
// takes content out of one. Looking at lists and states is not recorded.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "io/http_server.h"
#include "sys/fd.h"

namespace berth::api {

class AuditLog {
 public:
  /// Appends to the file (made with 0600). Writes go to the kernel at once, one per entry.
  static Result<std::unique_ptr<AuditLog>> open(std::string path);
  /// Opens the path anew, for a file that was moved away. On failure the old one stays in use.
  Result<void> reopen();
  /// One entry, unless the request only looks.
  void record(const io::Exchange& exchange, int status, Timestamp began);

 private:
  AuditLog(std::string path, sys::UniqueFd file) : path_(std::move(path)), file_(std::move(file)) {}
  std::string path_;
  sys::UniqueFd file_;
};

/// What a request is about: a container's, image's, volume's or network's name as the client wrote it; empty
/// when it names none. Pure.
std::string audited_object(const io::HttpRequestHead& request);
/// Whether a request belongs into the audit log. Pure.
bool is_audited(const io::HttpRequestHead& request);

}  // namespace berth::api
